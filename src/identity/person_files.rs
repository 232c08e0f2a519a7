//! Files that say something about one person, on storage that may hang: found by pattern, checked, read, kept a moment.
//!
//! They are read off the runtime's threads, under a time limit. A person with a file, one without and a name nobody has
//! take the same path. What the lines mean is the caller's: `key_files` reads keys here, and the principals of
//! certificates.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::error::Elapsed;

use super::strict_modes::{self, Owner, Refusal};

mod pattern;

pub use pattern::{Pattern, PatternError};

/// How long what was read serves: a key that was removed stops working after this.
pub(super) const FRESH: Duration = Duration::from_secs(5);
/// How long one look at the files may take, a queue for a reader included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Threads that may be inside the file system at once; a hung one keeps its place until the file system answers.
const READERS_MAX: usize = 16;
/// People whose files are remembered.
pub(super) const PEOPLE_MAX: usize = 1024;
/// Larger collections of lines are read anew each time, which bounds the memory of `PEOPLE_MAX` of them.
const KEPT_BYTES_MAX: usize = 32 * 1024;
/// Lines of one file whose faults are logged.
const FAULTS_LOGGED_MAX: usize = 20;

/// A line of such a file.
pub(super) trait Line: Sized + Send + Sync + 'static {
    /// The lines of a file, and for those not understood their number and the reason.
    fn parse_file(text: &[u8]) -> (Vec<Self>, Vec<(usize, String)>);

    /// About what it takes in memory.
    fn bytes(&self) -> usize;
}

/// The files of all people under the configured patterns.
pub(super) struct PersonFiles<T> {
    patterns: Arc<[Pattern]>,
    pub(super) people: Mutex<HashMap<String, Arc<Person<T>>>>,
    readers: Arc<Semaphore>,
}

/// What was read for one name. Held while somebody reads, so that one name never occupies a second reader.
type Person<T> = tokio::sync::Mutex<Option<Read<T>>>;

pub(super) struct Read<T> {
    pub at: Instant,
    files: Arc<[Listing<T>]>,
}

/// One file's lines.
pub(super) struct Listing<T> {
    /// Of a pattern that leads to no file, the pattern.
    pub path: PathBuf,
    pub lines: Vec<T>,
    /// How many lines are not understood.
    pub skipped: usize,
    /// Why nothing was read, if nothing was.
    pub absence: Option<Absence>,
}

/// Why a pattern gives nothing for somebody.
#[derive(Debug, thiserror::Error)]
pub enum Absence {
    #[error(
        "leads nowhere: the gate's machine has no account of this name, whose home %h would be"
    )]
    NoAccount,
    #[error("is missing")]
    Missing,
    #[error("is ignored: {0}")]
    Ignored(#[from] Refusal),
}

impl<T: Line> PersonFiles<T> {
    /// `patterns` are paths with `%u` (login name), `%h` (home folder of the account on this machine) and `%%`.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        Ok(Self {
            patterns: patterns
                .iter()
                .map(|text| Pattern::parse(text))
                .collect::<Result<_, _>>()?,
            people: Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        })
    }

    pub fn is_configured(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// What the person's files hold; nothing where they cannot be read in time. The name is one that `is_plain_name`.
    pub async fn of(&self, user: &str) -> Arc<[Listing<T>]> {
        let Ok(files) = self.in_time(user).await else {
            tracing::warn!(
                user,
                "a person's files could not be read within {TIMEOUT:?}: is the storage reachable?"
            );
            return Arc::default();
        };
        files.unwrap_or_default()
    }

    /// The same; `None` where too many people's are being read.
    ///
    /// # Errors
    /// They cannot be read in time.
    pub async fn in_time(&self, user: &str) -> Result<Option<Arc<[Listing<T>]>>, Elapsed> {
        if !self.is_configured() {
            return Ok(Some(Arc::default()));
        }
        tokio::time::timeout(TIMEOUT, self.read(user)).await
    }

    async fn read(&self, user: &str) -> Option<Arc<[Listing<T>]>> {
        let person = self.person(user)?;
        let mut known = person.lock_owned().await;
        if let Some(read) = known.as_ref().filter(|read| read.at.elapsed() < FRESH) {
            return Some(read.files.clone());
        }
        *known = None;
        let reader = self.readers.clone().acquire_owned().await.ok()?;
        let (patterns, user) = (self.patterns.clone(), user.to_owned());
        // The guard and the permit go along: a caller that stops waiting must not let a second thread in after a hung one.
        let read = move || {
            let files = read_files(&patterns, &user);
            keep(&mut known, &files);
            drop(reader);
            files
        };
        tokio::task::spawn_blocking(read).await.ok()
    }

    /// The place of this name, or `None` if every place is in use by somebody who is reading.
    pub(super) fn person(&self, user: &str) -> Option<Arc<Person<T>>> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = people.get(user) {
            return Some(person.clone());
        }
        if people.len() >= PEOPLE_MAX {
            people.retain(|_, person| is_fresh_or_busy(person));
        }
        if people.len() >= PEOPLE_MAX {
            let idle = people.iter().find(|(_, person)| person.try_lock().is_ok());
            let idle = idle.map(|(user, _)| user.clone())?;
            people.remove(&idle);
        }
        Some(people.entry(user.to_owned()).or_default().clone())
    }
}

/// Login names are validated when they are parsed; a name that could leave its folder is stopped here all the same.
pub(super) fn is_plain_name(user: &str) -> bool {
    pattern::is_plain_name(user)
}

fn is_fresh_or_busy<T>(person: &Arc<Person<T>>) -> bool {
    let Ok(read) = person.try_lock() else {
        return true;
    };
    read.as_ref().is_some_and(|read| read.at.elapsed() < FRESH)
}

fn keep<T: Line>(known: &mut OwnedMutexGuard<Option<Read<T>>>, files: &Arc<[Listing<T>]>) {
    let lines = files.iter().flat_map(|file| &file.lines);
    let kept: usize = lines.map(Line::bytes).sum();
    if kept <= KEPT_BYTES_MAX {
        **known = Some(Read {
            at: Instant::now(),
            files: files.clone(),
        });
    }
}

/// Blocking.
fn read_files<T: Line>(patterns: &[Pattern], user: &str) -> Arc<[Listing<T>]> {
    let listings = patterns.iter().map(|pattern| {
        let (path, text) = find(pattern, user, None);
        match text {
            Ok(text) => Listing::parse(path, user, &text),
            Err(absence) => {
                let file = path.display();
                match &absence {
                    Absence::NoAccount => {}
                    Absence::Missing => tracing::debug!(user, %file, "no such file"),
                    Absence::Ignored(refusal) => {
                        tracing::warn!(user, reason = %refusal, "a person's file ignored");
                    }
                }
                Listing {
                    path,
                    lines: Vec::new(),
                    skipped: 0,
                    absence: Some(absence),
                }
            }
        }
    });
    listings.collect()
}

/// The file of this pattern for somebody, and what is in it. `account`: as whom a gate runs that is not this process. Blocking.
pub(super) fn find(
    pattern: &Pattern,
    user: &str,
    account: Option<u32>,
) -> (PathBuf, Result<Vec<u8>, Absence>) {
    let Some((path, owner)) = pattern.expand(user) else {
        return (pattern.text().into(), Err(Absence::NoAccount));
    };
    let owner = match (owner, account) {
        (Owner::Operator, Some(account)) => Owner::OperatorOf(account),
        (owner, _) => owner,
    };
    let text = strict_modes::read(&path, &owner).map_err(Absence::from);
    let text = text.and_then(|text| text.ok_or(Absence::Missing));
    (path, text)
}

impl<T: Line> Listing<T> {
    pub(super) fn parse(path: PathBuf, user: &str, text: &[u8]) -> Self {
        let (lines, skipped) = T::parse_file(text);
        log_skipped(user, &path, &skipped);
        Self {
            path,
            lines,
            skipped: skipped.len(),
            absence: None,
        }
    }
}

fn log_skipped(user: &str, path: &Path, skipped: &[(usize, String)]) {
    for (line, reason) in skipped.iter().take(FAULTS_LOGGED_MAX) {
        tracing::warn!(user, file = %path.display(), line, %reason, "line of a person's file ignored");
    }
}
