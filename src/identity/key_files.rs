//! Finds a person's `authorized_keys` and asks them whether a key may log in.
//!
//! Files lie on shared storage that may hang: they are read off the runtime's threads, under a time limit, and what was
//! read serves for a few seconds. A person with keys, one without and a name nobody has take the same path. Refusals go
//! to the operator's log with their reason; whoever knocks hears nothing of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::authorized_keys::{self, AuthorizedLine, KeyLine};
use super::strict_modes;

mod pattern;

pub use pattern::{Pattern, PatternError};

/// How long what was read serves: a key that was removed stops working after this.
const FRESH: Duration = Duration::from_secs(5);
/// How long one look at the files may take, a queue for a reader included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Threads that may be inside the file system at once; a hung one keeps its place until the file system answers.
const READERS_MAX: usize = 16;
/// People whose files are remembered.
const PEOPLE_MAX: usize = 1024;
/// Larger collections of keys are read anew each time, which bounds the memory of `PEOPLE_MAX` of them.
const KEPT_BYTES_MAX: usize = 32 * 1024;

/// Who may log in with which key, by the files under the configured patterns.
pub struct KeyFinder {
    patterns: Arc<[Pattern]>,
    people: Mutex<HashMap<String, Arc<Person>>>,
    readers: Arc<Semaphore>,
}

/// What was read for one name. Held while somebody reads, so that one name never occupies a second reader.
type Person = tokio::sync::Mutex<Option<Read>>;

#[derive(Clone)]
struct Read {
    at: Instant,
    files: Arc<[Listing]>,
}

/// One file's keys.
struct Listing {
    path: PathBuf,
    lines: Vec<KeyLine>,
}

impl KeyFinder {
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

    /// The line that lets this key's owner in as `user`, if there is one. The same question for a key that is only
    /// offered and for one that signed: what differs is what the caller may do with the answer.
    pub async fn authorize(
        &self,
        user: &str,
        key_blob: &[u8],
        client: IpAddr,
        now: SystemTime,
    ) -> Option<AuthorizedLine> {
        if !pattern::is_plain_name(user) {
            return None;
        }
        let Ok(files) = tokio::time::timeout(TIMEOUT, self.files_of(user)).await else {
            tracing::warn!(
                user,
                "authorized_keys could not be read within {TIMEOUT:?}: is the storage reachable?"
            );
            return None;
        };
        files?
            .iter()
            .find_map(|file| file.authorize(user, key_blob, client, now))
    }

    async fn files_of(&self, user: &str) -> Option<Arc<[Listing]>> {
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
    fn person(&self, user: &str) -> Option<Arc<Person>> {
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

fn is_fresh_or_busy(person: &Arc<Person>) -> bool {
    let Ok(read) = person.try_lock() else {
        return true;
    };
    read.as_ref().is_some_and(|read| read.at.elapsed() < FRESH)
}

fn keep(known: &mut OwnedMutexGuard<Option<Read>>, files: &Arc<[Listing]>) {
    let kept: usize = files
        .iter()
        .flat_map(|file| &file.lines)
        .map(bytes_of)
        .sum();
    if kept <= KEPT_BYTES_MAX {
        **known = Some(Read {
            at: Instant::now(),
            files: files.clone(),
        });
    }
}

/// About what a line takes in memory, options at their longest.
fn bytes_of(line: &KeyLine) -> usize {
    let limits = &line.options.restrictions;
    let lists = limits.permit_open.len() + limits.permit_listen.len() + limits.environment.len();
    let command = limits.force_command.as_ref().map_or(0, String::len);
    size_of::<KeyLine>() + line.key_blob.len() + command + lists * 64
}

/// Blocking.
fn read_files(patterns: &[Pattern], user: &str) -> Arc<[Listing]> {
    let mut listings = Vec::new();
    for pattern in patterns {
        let Some((path, owner)) = pattern.expand(user) else {
            continue;
        };
        match strict_modes::read(&path, &owner) {
            Ok(Some(text)) => listings.push(Listing::parse(path, user, &text)),
            Ok(None) => tracing::debug!(user, path = %path.display(), "no such key file"),
            Err(refusal) => tracing::warn!(user, reason = %refusal, "key file ignored"),
        }
    }
    listings.into()
}

impl Listing {
    fn parse(path: PathBuf, user: &str, text: &[u8]) -> Self {
        let parsed = authorized_keys::parse(text);
        for (line, reason) in parsed.skipped.iter().take(20) {
            tracing::warn!(user, path = %path.display(), line, %reason, "line of a key file ignored");
        }
        Self {
            path,
            lines: parsed.lines,
        }
    }

    fn authorize(
        &self,
        user: &str,
        key_blob: &[u8],
        client: IpAddr,
        now: SystemTime,
    ) -> Option<AuthorizedLine> {
        let listed = self.lines.iter().filter(|line| line.key_blob == key_blob);
        for line in listed {
            match authorized_keys::judge(line, user, client, now) {
                Ok(authorized) => return Some(authorized),
                Err(reason) => {
                    let (path, line) = (self.path.display(), line.number);
                    tracing::info!(user, %path, line, %reason, "listed key refused");
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
