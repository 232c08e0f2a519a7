//! Gates that gave their place away and keep their sessions: each answers at a socket in the state folder, where whoever has the
//! place finds it, also after the gate that took the place from it was killed.
//!
//! A gate moves its socket there before it lets go of the state folder's lock: whoever holds the lock finds them all.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::{Link, STEP};
use crate::app::rotations::Rotations;
use crate::net::handover::OLDER;
use crate::shared_pool::SharedPool;

/// Where a gate with this process's number answers once it has given its place away.
pub(super) fn path(state_dir: &Path, pid: u32) -> PathBuf {
    state_dir.join(OLDER).join(pid.to_string())
}

/// Makes the folder early: when it is needed the disk may be full.
pub(super) fn make_folder(state_dir: &Path) -> Result<()> {
    let folder = state_dir.join(OLDER);
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder);
    made.with_context(|| format!("state_dir: cannot make the folder {}", folder.display()))
}

/// Links to all that are still there, or may be: as many as hand-overs left, which are few. Those that answer in time are known
/// when this returns; the others may hold anybody.
///
/// # Errors
/// When the folder cannot be read.
pub(super) async fn meet(
    state_dir: &Path,
    pool: &SharedPool,
    rotations: &Rotations,
) -> Result<Vec<Link>> {
    let mut meeting = JoinSet::new();
    for pid in pids(&state_dir.join(OLDER))? {
        let (path, rotated) = (path(state_dir, pid), rotations.subscribe());
        let mut link = Link::new(pool.clone(), path, pid, rotated);
        meeting.spawn(async move {
            // Who fails or takes longer is asked again for as long as it is there.
            match tokio::time::timeout(STEP, link.meet()).await {
                Ok(Ok(false)) => {
                    link.forget();
                    None
                }
                _ => Some(link),
            }
        });
    }
    Ok(meeting.join_all().await.into_iter().flatten().collect())
}

fn pids(folder: &Path) -> Result<Vec<u32>> {
    let failed = || format!("state_dir: cannot read {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(failed)?,
    };
    let mut pids = Vec::new();
    for entry in entries {
        let name = entry.with_context(failed)?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(pids)
}

/// A gate that was killed leaves its socket behind.
pub(super) fn forget_socket(path: &Path) {
    let found = fs::symlink_metadata(path);
    if found.is_ok_and(|found| found.file_type().is_socket()) {
        // The next start asks there again and finds the same.
        drop(fs::remove_file(path));
    }
}
