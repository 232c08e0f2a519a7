//! What is wrong at the moment with files that the configuration names: each told once, in the log, as an event (and so to the
//! audit log and webhooks) and in the figures, and standing for whoever asks until it is mended.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::pool::rfc3339;
use crate::telemetry::events::{EventKind, Events};
use crate::telemetry::metrics::Metrics;

/// A file whose newest content is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileFault {
    /// Of the configuration, as `ssh.auth.revoked_keys`.
    pub key: String,
    #[schema(value_type = String)]
    pub file: PathBuf,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: SystemTime,
    /// What is wrong with which key, what to write, and what is in force meanwhile.
    pub why: String,
}

/// By key and file.
type Standing = BTreeMap<(String, PathBuf), FileFault>;

/// All of a gate's; cheap to clone.
#[derive(Clone, Default)]
pub struct FileFaults {
    standing: Arc<Mutex<Standing>>,
    /// Where it is told besides the log.
    told: Option<(Events, Metrics)>,
}

impl FileFaults {
    pub fn new(events: Events, metrics: Metrics) -> Self {
        Self {
            standing: Arc::default(),
            told: Some((events, metrics)),
        }
    }

    /// The newest content of the key's file is of no use; `meanwhile` says what is in force.
    pub fn refuse(&self, key: &str, file: &Path, why: &dyn fmt::Display, meanwhile: &str) {
        let why = format!("{}; {meanwhile}", with_key(key, why.to_string()));
        if !self.put(key, file, &why) {
            return;
        }
        tracing::error!(error = why, file = %file.display(), "a file is of no use");
        if let Some((events, metrics)) = &self.told {
            metrics.count_file_read("refused");
            events.tell("", None, EventKind::ReloadRefused, why);
        }
    }

    /// It was read again, and counts.
    pub fn take(&self, key: &str, file: &Path) {
        self.settle(key, file);
        if let Some((events, metrics)) = &self.told {
            metrics.count_file_read("taken");
            let text = format!("{key}: {} was read again", file.display());
            events.tell("", None, EventKind::Reload, text);
        }
    }

    /// Nothing is wrong with it any more, which need not be told.
    pub fn settle(&self, key: &str, file: &Path) {
        let mut standing = self.standing();
        standing.remove(&(key.to_owned(), file.to_path_buf()));
        self.count(&standing);
    }

    /// Every file that is named was read, and none of them is at fault.
    pub fn settle_all(&self) {
        let mut standing = self.standing();
        standing.clear();
        self.count(&standing);
    }

    /// By key.
    pub fn now(&self) -> Vec<FileFault> {
        self.standing().values().cloned().collect()
    }

    /// Whether it is news.
    fn put(&self, key: &str, file: &Path, why: &str) -> bool {
        let mut standing = self.standing();
        let id = (key.to_owned(), file.to_path_buf());
        let before = standing.get(&id);
        if before.is_some_and(|before| before.why == why) {
            return false;
        }
        let since = before.map_or_else(SystemTime::now, |before| before.since);
        let fault = FileFault {
            key: key.to_owned(),
            file: file.to_path_buf(),
            since,
            why: why.to_owned(),
        };
        standing.insert(id, fault);
        self.count(&standing);
        true
    }

    fn count(&self, standing: &Standing) {
        if let Some((_, metrics)) = &self.told {
            metrics.set_file_faults(standing.len());
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same, beginning with the key that is at fault: this one, if it does not name another that belongs to it.
fn with_key(key: &str, why: String) -> String {
    let is_key = |word: &str| word.contains('.') && !word.contains([' ', '/']);
    match why.split_once(": ") {
        Some((word, _)) if is_key(word) => why,
        _ => format!("{key}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::audit::AuditLog;

    #[test]
    fn a_fault_is_told_once_and_stands_until_it_is_mended() {
        let events = Events::new(AuditLog::open(None).unwrap());
        let faults = FileFaults::new(events.clone(), Metrics::new());
        let (x, y) = (Path::new("/x"), Path::new("/y"));
        let refuse = |key: &str, file: &Path, why: &str| {
            faults.refuse(key, file, &why, "the old one counts");
        };
        refuse("a.b", x, "a.b: /x is empty");
        refuse("a.b", x, "a.b: /x is empty");
        refuse("a.b", y, "cannot be read");
        let standing = faults.now();
        assert_eq!(standing.len(), 2);
        assert_eq!(standing[0].why, "a.b: /x is empty; the old one counts");
        let since = standing[0].since;
        refuse("a.b", x, "/x is torn");
        assert_eq!(faults.now()[0].since, since, "still at fault");
        faults.take("a.b", x);
        assert_eq!(&*faults.now()[0].file, y);
        faults.settle_all();
        assert_eq!(faults.now(), []);
        let told: Vec<_> = events
            .after(0)
            .into_iter()
            .map(|event| (event.kind, event.text))
            .collect();
        assert_eq!(told.len(), 4, "{told:?}");
        let first = "a.b: /x is empty; the old one counts".to_owned();
        assert_eq!(told[0], (EventKind::ReloadRefused, first));
        let last = "a.b: /x was read again".to_owned();
        assert_eq!(told[3], (EventKind::Reload, last));
    }
}
