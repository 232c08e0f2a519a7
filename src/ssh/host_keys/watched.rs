//! A file that is parsed again when it has changed, so that keys can be added without a restart.
//!
//! A file that has become unreadable or faulty trusts nothing: every use reports it until it is set right.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::HostKeyError;
use crate::ssh::wire::keys::key_type;

/// Holds the keys of some 20,000 instances.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Turns a file's text into what it says; an error names line and reason.
type Parse<T> = fn(&str) -> Result<T, (usize, &'static str)>;

pub struct Watched<T> {
    path: PathBuf,
    parse: Parse<T>,
    known: Mutex<Option<(Stamp, Arc<T>)>>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    pub fn of(found: &Metadata) -> Self {
        Self {
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }
}

impl<T> Watched<T> {
    /// Reads the file once, so that its faults are told at start.
    pub fn open(path: &Path, parse: Parse<T>) -> Result<Self, HostKeyError> {
        let watched = Self {
            path: path.to_path_buf(),
            parse,
            known: Mutex::default(),
        };
        watched.current()?;
        Ok(watched)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says at this moment.
    pub fn current(&self) -> Result<Arc<T>, HostKeyError> {
        let unusable = |source| HostKeyError::File {
            path: self.path.clone(),
            source,
        };
        let stamp = Stamp::of(&std::fs::metadata(&self.path).map_err(unusable)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = known.as_ref().filter(|(of, _)| *of == stamp) {
            return Ok(value.clone());
        }
        let text = read_text(&self.path)?;
        let value = (self.parse)(&text).map_err(|(line, reason)| HostKeyError::Line {
            path: self.path.clone(),
            line,
            reason,
        })?;
        let value = Arc::new(value);
        *known = Some((stamp, value.clone()));
        Ok(value)
    }
}

/// A whole file as text, up to `FILE_BYTES_MAX`.
pub fn read_text(path: &Path) -> Result<String, HostKeyError> {
    let unusable = |source| HostKeyError::File {
        path: path.to_path_buf(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unusable)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unusable)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_BYTES_MAX) {
        return Err(HostKeyError::TooMuch {
            path: path.to_path_buf(),
            limit: FILE_BYTES_MAX,
            what: "bytes",
        });
    }
    let not_text = |_| {
        unusable(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not UTF-8 text",
        ))
    };
    String::from_utf8(bytes).map_err(not_text)
}

/// The blob of a key written as `TYPE BASE64`, if the two agree.
pub fn parse_key(kind: &str, base64: &str) -> Option<Vec<u8>> {
    let blob = STANDARD.decode(base64).ok()?;
    (key_type(&blob).ok()? == kind).then_some(blob)
}
