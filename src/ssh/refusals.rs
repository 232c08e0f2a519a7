//! What was refused within one session: counted by kind, and of each kind the first told in full.
//!
//! A client may ask for what it may not have as often as it likes: the log and the audit log get one line a session and
//! kind, and how often it was stands in the audit line of the session's end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::policy::Refusal;
use crate::pool::{InstanceId, SessionId};
use crate::telemetry::audit::{AuditEvent, AuditLog};
use crate::telemetry::metrics::Metrics;

/// Of a refusal's text, bytes that go into the audit log: names of hosts may be far longer than any that exists.
const TEXT_MAX: usize = 300;

/// Whose session it is, as the audit lines say.
pub(super) struct Whose {
    pub session: SessionId,
    pub user: Arc<str>,
    pub peer: SocketAddr,
    pub instance: InstanceId,
}

/// Shared by the relay and by whoever writes the session's end.
pub struct Refusals {
    whose: Whose,
    audit: AuditLog,
    metrics: Metrics,
    /// Kinds are few: each is a word of the program's.
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Refusals {
    pub(super) fn new(whose: Whose, audit: AuditLog, metrics: Metrics) -> Self {
        Self {
            whose,
            audit,
            metrics,
            counts: Mutex::default(),
        }
    }

    pub(super) fn note(&self, refusal: &Refusal) {
        self.metrics.count_refusal(refusal.what);
        let is_first = {
            let mut counts = self.locked();
            let count = counts.entry(refusal.what).or_default();
            *count += 1;
            *count == 1
        };
        if !is_first {
            return;
        }
        let Whose {
            session,
            user,
            peer,
            instance,
        } = &self.whose;
        let end = refusal.text.floor_char_boundary(TEXT_MAX);
        let cause = refusal.text.get(..end).unwrap_or_default();
        tracing::info!(%session, %user, what = refusal.what, reason = cause, "refused within a session");
        self.audit.write(&AuditEvent::RefusedRequest {
            session: session.to_string(),
            user: Some(user.to_string()),
            protocol: "ssh",
            peer: *peer,
            pool: instance.pool.to_string(),
            instance: instance.name.to_string(),
            what: refusal.what,
            cause: cause.to_owned(),
        });
    }

    /// How often each kind was refused so far.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Default for Refusals {
    fn default() -> Self {
        let whose = Whose {
            session: SessionId(1),
            user: "alice".into(),
            peer: ([192, 0, 2, 7], 4000).into(),
            instance: InstanceId {
                pool: "main".into(),
                name: "vm1".into(),
            },
        };
        let audit = AuditLog::open(None).unwrap();
        Self::new(whose, audit, Metrics::new())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_kind_is_told_once_and_counted_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.jsonl");
        let audit = AuditLog::open(Some(&file)).unwrap();
        let refusals = Refusals {
            audit: audit.clone(),
            ..Refusals::default()
        };
        let wanted = Refusal {
            what: "local-forwarding",
            text: "é".repeat(5000),
        };
        for _ in 0..1000 {
            refusals.note(&wanted);
        }
        refusals.note(&Refusal::sessions_over());
        assert!(audit.flush(Duration::from_secs(10)));
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["event"], "refused-request");
        assert_eq!(lines[0]["what"], "local-forwarding");
        assert_eq!(lines[0]["user"], "alice");
        assert_eq!(lines[0]["cause"].as_str().unwrap().len(), TEXT_MAX);
        assert_eq!(lines[1]["what"], "session");
        let counts = BTreeMap::from([("local-forwarding", 1000), ("session", 1)]);
        assert_eq!(refusals.counts(), counts);
    }
}
