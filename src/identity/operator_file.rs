//! A file of the operator's that every login asks: authorities, revoked keys. Followed, so that no login waits for its disk.
//!
//! As with people's files, nothing is believed whose owner or mode lets somebody else write it: what was read before then stays
//! in force. Deliberately absent: what to do without the file; the caller decides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::strict_modes::{self, Owner, Refusal};
use crate::files::{FileFaults, Followed};

/// A revocation list with a million fingerprints stays below.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("there is no file {0}; make it, or remove it from the config")]
    Missing(PathBuf),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{path}: {why}")]
    Broken { path: PathBuf, why: String },
}

pub(super) type Parse<T> = fn(&[u8]) -> Result<T, String>;

/// # Errors
/// When it is of no use.
pub(super) fn open<T: 'static>(
    key: &str,
    path: &Path,
    parse: Parse<T>,
    faults: &FileFaults,
) -> Result<Arc<Followed<T>>, FileError> {
    let load = move |path: &Path| load(path, parse);
    Followed::open(key, path, load, faults.clone()).map(Arc::new)
}

/// `None` for as long as it never was of use, which `meanwhile` puts in words.
pub(super) fn open_if_sound<T: 'static>(
    key: &str,
    path: &Path,
    parse: Parse<T>,
    meanwhile: &'static str,
    faults: &FileFaults,
) -> Arc<Followed<Option<T>>> {
    let load = move |path: &Path| load(path, parse).map(Some);
    Arc::new(Followed::open_or(
        key,
        path,
        load,
        (None, meanwhile),
        faults.clone(),
    ))
}

/// # Errors
/// Why it is of no use, as it is now, to a gate that runs as this account.
pub(super) fn judge<T>(path: &Path, parse: Parse<T>, account: u32) -> Result<(), FileError> {
    load_of(path, parse, &Owner::OperatorOf(account)).map(drop)
}

fn load<T>(path: &Path, parse: Parse<T>) -> Result<T, FileError> {
    load_of(path, parse, &Owner::Operator)
}

fn load_of<T>(path: &Path, parse: Parse<T>, owner: &Owner) -> Result<T, FileError> {
    let text = strict_modes::read_at_most(path, owner, BYTES_MAX)?;
    let text = text.ok_or_else(|| FileError::Missing(path.into()))?;
    parse(&text).map_err(|why| FileError::Broken {
        path: path.into(),
        why,
    })
}

#[cfg(test)]
mod tests;
