//! May this file say who logs in? Owner and mode of the file and of every folder up to the person's home, as sshd's
//! `StrictModes` asks; then the file is opened so that what was checked is what is read.
//!
//! Blocking: called on a thread that may hang with its file system. Knows nothing of what the file holds.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// A key file larger than this grants nothing.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Whose file it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A person: everything up to and including `home` belongs to root or to them. `uid` is theirs where the gate knows
    /// the account; elsewhere the home's owner is taken for the person.
    Person { home: PathBuf, uid: Option<u32> },
    /// The operator's own list: everything up to `/` belongs to root or to the account the gate runs as.
    Operator,
    /// The same of a gate that runs as this account.
    OperatorOf(u32),
}

/// Why a file grants nothing. Each says the object and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("cannot read {path}: {source}; the gate's account needs to read it")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0} is not a regular file")]
    NotRegular(PathBuf),
    #[error("{path} belongs to uid {uid}, not to root or {owner}; run: chown {owner} {path}")]
    Owner { path: PathBuf, uid: u32, owner: u32 },
    #[error("{0} can be written by its group or by others; run: chmod go-w {0}")]
    Writable(PathBuf),
    #[error(
        "{0} can be written by anybody, so anybody could make a home there; run: chmod o-w {0}"
    )]
    HomesWritable(PathBuf),
    #[error("{path} is larger than {limit} bytes; remove keys that are no longer used")]
    TooLarge { path: PathBuf, limit: u64 },
}

/// Reads a person's file after the checks. `Ok(None)` if there is none.
pub fn read(path: &Path, owner: &Owner) -> Result<Option<Vec<u8>>, Refusal> {
    read_at_most(path, owner, FILE_BYTES_MAX)
}

/// The same for a file of another size.
pub fn read_at_most(path: &Path, owner: &Owner, limit: u64) -> Result<Option<Vec<u8>>, Refusal> {
    let resolved = match path.canonicalize() {
        Ok(resolved) => resolved,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(source) => {
            return Err(Refusal::Unreadable {
                path: path.into(),
                source,
            });
        }
    };
    let found = stat(&resolved)?;
    // Opening a device or a FIFO may already have an effect, or wait for ever.
    if !found.is_file() {
        return Err(Refusal::NotRegular(resolved));
    }
    let (uid, last) = judge_owner(owner, &found)?;
    let mut folders = resolved.ancestors();
    if let Some(file) = folders.next() {
        check(file, &found, uid, false)?;
    }
    // Outside the home (a symbolic link led there, or the list is the operator's) nothing vouches for what lies above.
    let last = last.filter(|home| resolved.starts_with(home));
    for folder in
        folders.take_while(|folder| last.as_deref().is_none_or(|home| folder.starts_with(home)))
    {
        check(folder, &stat(folder)?, uid, last.is_none())?;
    }
    read_checked(&resolved, uid, limit).map(Some)
}

/// Whose uid (besides root) may own the path, and the last folder to check.
fn judge_owner(owner: &Owner, file: &Metadata) -> Result<(u32, Option<PathBuf>), Refusal> {
    let (home, uid) = match owner {
        Owner::Person { home, uid } => (home, uid),
        Owner::Operator => return Ok((nix::unistd::geteuid().as_raw(), None)),
        Owner::OperatorOf(uid) => return Ok((*uid, None)),
    };
    let unreadable = |source| Refusal::Unreadable {
        path: home.clone(),
        source,
    };
    let home = home.canonicalize().map_err(unreadable)?;
    if let Some(uid) = uid {
        return Ok((*uid, Some(home)));
    }
    // The account is unknown here, so whoever owns the home is taken for the person: nobody else may make homes.
    if let Some(homes) = home.parent()
        && stat(homes)?.mode() & OTHER_WRITE != 0
    {
        return Err(Refusal::HomesWritable(homes.into()));
    }
    let found = stat(&home)?;
    let uid = if found.is_file() {
        file.uid()
    } else {
        found.uid()
    };
    Ok((uid, Some(home)))
}

/// `may_be_sticky`: a shared folder such as `/tmp` is harmless above a path whose every part is checked as well, since
/// in it nobody can rename what is not theirs.
fn check(path: &Path, found: &Metadata, owner: u32, may_be_sticky: bool) -> Result<(), Refusal> {
    let uid = found.uid();
    if uid != 0 && uid != owner {
        return Err(Refusal::Owner {
            path: path.into(),
            uid,
            owner,
        });
    }
    let is_writable = found.mode() & (GROUP_WRITE | OTHER_WRITE) != 0;
    if is_writable && !(may_be_sticky && found.mode() & STICKY != 0) {
        return Err(Refusal::Writable(path.into()));
    }
    Ok(())
}

/// Opens without following a link or waiting for a peer, and looks again at what was opened.
fn read_checked(path: &Path, owner: u32, limit: u64) -> Result<Vec<u8>, Refusal> {
    let unreadable = |source| Refusal::Unreadable {
        path: path.into(),
        source,
    };
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file: File = file.map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(Refusal::NotRegular(path.into()));
    }
    check(path, &found, owner, false)?;
    let mut text = Vec::new();
    // One byte more than allowed tells a file of just that size from a larger one; its stated size may change meanwhile.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > limit) {
        return Err(Refusal::TooLarge {
            path: path.into(),
            limit,
        });
    }
    Ok(text)
}

fn stat(path: &Path) -> Result<Metadata, Refusal> {
    path.symlink_metadata()
        .map_err(|source| Refusal::Unreadable {
            path: path.into(),
            source,
        })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests;
