//! Notices that the configuration's file has changed, once it stands still: who saves it in several steps, or replaces it, is not read
//! midway.
//!
//! It looks instead of being told: a look every two seconds costs nothing and sees what editors, mounts and links do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::files::{Settling, Stamp};

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Calls `changed` each time the file has changed and stood still for one look, until `ending`. An empty path is never looked at.
pub(super) async fn follow<F, T>(file: PathBuf, ending: CancellationToken, changed: F)
where
    F: Fn() -> T,
    T: Future<Output = ()>,
{
    if file.as_os_str().is_empty() {
        return;
    }
    let mut settling = Settling::new(stamp(&file).await);
    loop {
        let pause = tokio::time::sleep(LOOK_EVERY);
        if ending.run_until_cancelled(pause).await.is_none() {
            return;
        }
        if settling.has_settled(stamp(&file).await) {
            changed().await;
        }
    }
}

async fn stamp(file: &Path) -> Option<Stamp> {
    let file = file.to_owned();
    // A file system that hangs must not hold up a thread that serves people.
    let looked = tokio::task::spawn_blocking(move || Stamp::at(&file));
    looked.await.ok().flatten()
}
