//! A file of the operator's that every login asks: authorities, revoked keys. Read anew when it changes.
//!
//! As with people's files, nothing is believed whose owner or mode lets somebody else write it, and a file system that
//! hangs costs a login its time and no more. Deliberately absent: what to do without the file; the caller decides.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::strict_modes::{self, Owner, Refusal};

/// How long the last look serves: a key that was revoked stops working after this.
const FRESH: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
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

type Parse<T> = fn(&[u8]) -> Result<T, String>;

pub(super) struct OperatorFile<T> {
    path: Arc<Path>,
    parse: Parse<T>,
    known: Arc<Mutex<Option<Known<T>>>>,
}

struct Known<T> {
    looked_at: Instant,
    stamp: Option<Stamp>,
    /// `None` if it could not be read or was not understood.
    content: Option<Arc<T>>,
}

/// Changes whenever the file or its owner and mode do.
#[derive(Clone, Copy, PartialEq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

impl<T: Send + Sync + 'static> OperatorFile<T> {
    pub fn new(path: PathBuf, parse: Parse<T>) -> Self {
        Self {
            path: path.into(),
            parse,
            known: Arc::default(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Blocking: whether it can be used, with the reason if not.
    pub fn check(&self) -> Result<(), FileError> {
        load(&self.path, self.parse).map(drop)
    }

    /// What it holds now; `None`, with a line in the log, if it cannot be read or understood.
    pub async fn read(&self) -> Option<Arc<T>> {
        let read = tokio::time::timeout(TIMEOUT, self.read_unbounded()).await;
        if read.is_err() {
            tracing::warn!(file = %self.path.display(), "not read within {TIMEOUT:?}: is the storage reachable?");
        }
        read.ok()?
    }

    async fn read_unbounded(&self) -> Option<Arc<T>> {
        let mut known = self.known.clone().lock_owned().await;
        if let Some(known) = known.as_ref()
            && known.looked_at.elapsed() < FRESH
        {
            return known.content.clone();
        }
        let (path, parse) = (self.path.clone(), self.parse);
        // The guard goes along: a caller that stops waiting must not let a second thread in after a hung one.
        let look = move || {
            let stamp = path.metadata().ok().map(|found| Stamp::of(&found));
            let content = match known.take() {
                Some(old) if old.content.is_some() && stamp.is_some() && old.stamp == stamp => {
                    old.content
                }
                _ => load(&path, parse)
                    .inspect_err(
                        |error| tracing::error!(%error, "a file of the config is of no use"),
                    )
                    .ok()
                    .map(Arc::new),
            };
            *known = Some(Known {
                looked_at: Instant::now(),
                stamp,
                content: content.clone(),
            });
            content
        };
        tokio::task::spawn_blocking(look).await.ok()?
    }
}

fn load<T>(path: &Path, parse: Parse<T>) -> Result<T, FileError> {
    let text = strict_modes::read_at_most(path, &Owner::Operator, BYTES_MAX)?;
    let text = text.ok_or_else(|| FileError::Missing(path.into()))?;
    parse(&text).map_err(|why| FileError::Broken {
        path: path.into(),
        why,
    })
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests;
