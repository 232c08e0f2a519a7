//! Notices that the configuration's file has changed, once it stands still: who saves it in several steps, or replaces it, is not read
//! midway.
//!
//! It looks instead of being told: a look every two seconds costs nothing and sees what editors, mounts and links do. What somebody
//! else had read meanwhile, such as an operator by their order, is no news.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::files::{Settling, Stamp};
use crate::net::current::Current;

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What the file was when it was last read, whatever came of that.
pub(super) type Read = Arc<Current<Option<Stamp>>>;

/// Calls `changed` each time the file is another than the one that was read and stood still for one look, until `ending`. An
/// empty path is never looked at.
pub(super) async fn follow<F, T>(file: PathBuf, read: Read, ending: CancellationToken, changed: F)
where
    F: Fn() -> T,
    T: Future<Output = ()>,
{
    if file.as_os_str().is_empty() {
        return;
    }
    let mut known = *read.get();
    let mut settling = Settling::new(known);
    loop {
        let pause = tokio::time::sleep(LOOK_EVERY);
        if ending.run_until_cancelled(pause).await.is_none() {
            return;
        }
        let is_read = *read.get();
        if is_read != known {
            known = is_read;
            settling = Settling::new(known);
        }
        if settling.has_settled(stamp(&file).await) {
            changed().await;
        }
    }
}

pub(super) async fn stamp(file: &Path) -> Option<Stamp> {
    let file = file.to_owned();
    // A file system that hangs must not hold up a thread that serves people.
    let looked = tokio::task::spawn_blocking(move || Stamp::at(&file));
    looked.await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(start_paused = true)]
    async fn what_is_read_by_order_is_no_news_and_what_comes_later_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("poolgate.toml");
        // Each is another file, whatever the clock of the file system.
        let write = |text: &str| {
            let next = dir.path().join(text);
            fs::write(&next, text).unwrap();
            fs::rename(&next, &file).unwrap();
        };
        write("first");
        let read: Read = Current::new(Arc::new(Stamp::at(&file)));
        let (ending, told) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let counting = told.clone();
        let following = follow(file.clone(), read.clone(), ending.clone(), move || {
            counting.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        });
        let following = tokio::spawn(following);
        let looks = async |count: u32| {
            tokio::time::sleep(LOOK_EVERY * count).await;
            told.load(Ordering::Relaxed)
        };
        // From here on always between two looks.
        tokio::time::sleep(LOOK_EVERY / 2).await;
        assert_eq!(looks(3).await, 0);
        write("by order");
        read.set(Arc::new(Stamp::at(&file)));
        assert_eq!(looks(4).await, 0, "it has been read");
        write("changed");
        assert_eq!(looks(4).await, 1, "told once, read or not");
        write("again");
        assert_eq!(looks(1).await, 1, "it may be moving");
        read.set(Arc::new(Stamp::at(&file)));
        assert_eq!(looks(4).await, 1, "read before it stood still");
        ending.cancel();
        following.await.unwrap();
    }
}
