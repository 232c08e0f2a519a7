//! Notices that a file has changed, once it stands still: who saves a file in several steps, or replaces it, is not read midway.
//!
//! It looks instead of being told: a look every two seconds costs nothing and sees what editors, mounts and links do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What tells one state of a file from another; `None` where there is none.
type Stamp = Option<(u64, u64, i64, i64)>;

/// Calls `changed` each time the file has changed and stood still for one look, until `ending`. An empty path is never looked at.
pub(super) async fn follow<F, T>(file: PathBuf, ending: CancellationToken, changed: F)
where
    F: Fn() -> T,
    T: Future<Output = ()>,
{
    if file.as_os_str().is_empty() {
        return;
    }
    let mut watched = Watched {
        known: stamp(&file).await,
        moving: None,
    };
    loop {
        let pause = tokio::time::sleep(LOOK_EVERY);
        if ending.run_until_cancelled(pause).await.is_none() {
            return;
        }
        if watched.has_settled(stamp(&file).await) {
            changed().await;
        }
    }
}

struct Watched {
    known: Stamp,
    /// Another one than the known, seen at the last look.
    moving: Option<Stamp>,
}

impl Watched {
    fn has_settled(&mut self, seen: Stamp) -> bool {
        let has_settled = seen != self.known && self.moving == Some(seen);
        self.moving = (seen != self.known).then_some(seen);
        if has_settled {
            self.known = seen;
            self.moving = None;
        }
        has_settled
    }
}

async fn stamp(file: &Path) -> Stamp {
    let file = file.to_owned();
    // A file system that hangs must not hold up a thread that serves people.
    let looked = tokio::task::spawn_blocking(move || fs::metadata(file).ok());
    let seen = looked.await.ok().flatten()?;
    Some((seen.ino(), seen.size(), seen.mtime(), seen.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_it_stands_still() {
        let (old, half, new) = (Some((1, 9, 0, 0)), Some((1, 3, 1, 0)), Some((2, 9, 1, 5)));
        let mut watched = Watched {
            known: old,
            moving: None,
        };
        let seen = [old, half, new, new, new, None, new, half, half];
        let settled = seen.map(|stamp| watched.has_settled(stamp));
        let expected = [false, false, false, true, false, false, false, false, true];
        assert_eq!(settled, expected);
    }
}
