//! Who owns the state folder: one gate at a time, which holds a lock that ends with its process, however abruptly.
//!
//! The lock is the system's (flock) on a file that is never removed: two gates could hold locks on two files of one name. It
//! can be handed to another process, which then holds the very same lock: there is no moment in between.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

const FILE_NAME: &str = "gate.lock";

#[derive(Debug)]
pub struct Lock {
    file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "state_dir: another gate ({owner}) uses {}, which it has locked by {}: stop that one, give this one a state_dir of its \
         own, or start it with --take-over to go on where the other is", .folder.display(), .file.display()
    )]
    Taken {
        folder: PathBuf,
        file: PathBuf,
        /// `pid 123`, as the other wrote it down.
        owner: String,
    },
    #[error("state_dir: cannot lock {}: {source}", .file.display())]
    Failed { file: PathBuf, source: io::Error },
}

impl Lock {
    /// Locks the folder for this process, whose number is written down for whoever finds it locked.
    ///
    /// # Errors
    /// When another process has it, or the system refuses.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(FILE_NAME);
        let failed = |source| LockError::Failed {
            file: path.clone(),
            source,
        };
        let mut file = open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = Self { file };
                if let Err(error) = lock.sign() {
                    // A full disk: what stands there is for people only.
                    tracing::warn!(file = %path.display(), %error, "this process's number cannot be written down");
                }
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => Err(LockError::Taken {
                folder: folder.to_owned(),
                owner: owner(&mut file),
                file: path,
            }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The lock that another process held and handed over.
    pub fn inherit(descriptor: OwnedFd) -> Self {
        let file = File::from(descriptor);
        Self { file }
    }

    /// Writes this process's number into it.
    ///
    /// # Errors
    /// When the disk is full or fails.
    pub fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "pid {}", std::process::id())
    }
}

/// Who holds the folder's lock, as that process wrote it down; `None` if nobody does. Makes no file, and holds the lock for no
/// longer than it takes to let go of it.
///
/// # Errors
/// When the file is there and cannot be opened.
pub fn holder(folder: &Path) -> io::Result<Option<String>> {
    let mut file = match File::open(folder.join(FILE_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(owner(&mut file))),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

fn owner(file: &mut File) -> String {
    let mut text = String::new();
    // What stands there is for people only.
    let _ = file.take(40).read_to_string(&mut text);
    match text.trim() {
        "" => "of unknown pid".to_owned(),
        owner => owner.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_until_the_last_holder_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(dir.path()).unwrap();
        let refused = Lock::take(dir.path()).unwrap_err().to_string();
        let own = format!("pid {}", std::process::id());
        assert!(refused.contains(&own), "{refused}");
        assert!(refused.contains("gate.lock") && refused.contains("--take-over"));
        let mut handed = Lock::inherit(lock.as_fd().try_clone_to_owned().unwrap());
        drop(lock);
        assert!(Lock::take(dir.path()).is_err(), "the other still holds it");
        handed.sign().unwrap();
        drop(handed);
        Lock::take(dir.path()).unwrap();
    }
}
