//! The audit log: one JSON line for every login that was admitted or refused, one for every session's end, and one for
//! each kind of thing that was refused within a session. They go to a file, to journald and to syslog, as configured.
//!
//! A login never waits for any of them: see `lines`. What may never be in a line: passwords, keys, cookies.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::daemons::Daemons;
use super::events::EventKind;
use super::journald::Entry;
use super::lines::{Kind, LineLog};
use super::rotation::Rotation;
use super::syslog::Facility;
use crate::config::{AuditConfig, LogFile};

/// What happened; becomes one line of JSON with a time stamp.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum AuditEvent {
    /// A session began.
    Login {
        session: String,
        user: Option<String>,
        protocol: &'static str,
        peer: SocketAddr,
        /// How the name was proved, such as `publickey ED25519 SHA256:...` or `password (instance)`.
        proof: String,
        pool: String,
        instance: String,
        /// Why this instance.
        reason: String,
        /// The client's software, as it named itself.
        client: String,
    },
    /// A login was refused.
    Refused {
        user: Option<String>,
        protocol: &'static str,
        peer: SocketAddr,
        cause: String,
        client: String,
    },
    /// Something asked for within a session was refused, for the first time in it; `End` says how often in all.
    RefusedRequest {
        session: String,
        user: Option<String>,
        protocol: &'static str,
        peer: SocketAddr,
        pool: String,
        instance: String,
        /// Its kind, as `poolgate_ssh_refusals_total` has it.
        what: &'static str,
        cause: String,
    },
    /// A pool was resized, or something about its machines was decided.
    Fleet {
        pool: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        instance: Option<String>,
        kind: EventKind,
        text: String,
    },
    /// An operator had the gate do something, or tried.
    Order {
        by: String,
        role: &'static str,
        /// `socket`, `bearer` or `session`.
        via: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
        action: &'static str,
        target: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Only what would be done was asked for.
        is_dry_run: bool,
        /// Why it was not done.
        #[serde(skip_serializing_if = "Option::is_none")]
        refusal: Option<String>,
    },
    /// A browser's session of an operator began.
    AdminLogin {
        by: String,
        role: &'static str,
        /// `token`, or `oidc`: by a provider of accounts.
        way: &'static str,
        peer: SocketAddr,
    },
    /// Somebody who wanted to be an operator showed nothing that counts.
    AdminRefused { peer: SocketAddr, cause: String },
    /// An operator asked for what their role does not include.
    AdminForbidden {
        by: String,
        role: &'static str,
        via: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        peer: Option<SocketAddr>,
        /// The method and the route.
        asked: String,
        /// The least role that has it.
        needed: &'static str,
    },
    /// A session ended.
    End {
        session: String,
        user: Option<String>,
        protocol: &'static str,
        peer: SocketAddr,
        pool: String,
        instance: String,
        duration_s: f64,
        bytes_in: u64,
        bytes_out: u64,
        cause: String,
        /// What was refused within it, and how often; absent where nothing was.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        refusals: BTreeMap<&'static str, u64>,
        /// The recordings of its terminals; absent where this person is not recorded.
        #[serde(skip_serializing_if = "Option::is_none")]
        recordings: Option<Vec<RecordingNote>>,
    },
}

/// One terminal's recording.
#[derive(Debug, Serialize)]
pub struct RecordingNote {
    /// Its name in the pool's folder of recordings; `None` if it was never opened.
    pub file: Option<String>,
    pub bytes: u64,
    /// Something is missing, and why.
    pub truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// Where audit lines go; cheap to clone. The file is closed when the last clone is gone.
#[derive(Clone)]
pub struct AuditLog {
    places: Arc<RwLock<Arc<Places>>>,
}

/// What takes the place of what is there; dropped, it changes nothing.
pub struct NextAudit(Places);

struct Places {
    config: AuditConfig,
    file: LineLog,
    daemons: Arc<Daemons>,
    /// Lines that places of before have lost.
    lost_before: u64,
}

const TO_FILE: Kind = Kind {
    key: "audit.file",
    thread: "audit",
    complaint: "audit lines are lost: free the disk or raise its speed",
};
const TO_JOURNALD: Kind = Kind {
    key: "audit.to",
    thread: "audit-journald",
    complaint: "audit lines are lost on their way to journald: is it at work?",
};
const TO_SYSLOG: Kind = Kind {
    key: "audit.to",
    thread: "audit-syslog",
    complaint: "audit lines are lost on their way to syslog: is its daemon at work?",
};
/// What syslog calls a notice.
const SEVERITY: u8 = 5;

impl AuditLog {
    /// Opens the file for appending, mode 0600 if it is new, in a folder made if need be; `None` keeps no audit log.
    ///
    /// # Errors
    /// When the file cannot be opened or the writer thread cannot start.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let path = path.map(Path::to_path_buf);
        Self::of_config(&AuditConfig {
            file: LogFile {
                path,
                ..LogFile::default()
            },
            to: Vec::new(),
        })
    }

    /// As `open`, with the places and the rotation that are configured.
    ///
    /// # Errors
    /// As `open`.
    pub fn of_config(config: &AuditConfig) -> io::Result<Self> {
        let places = Places::open(config, None)?;
        Ok(Self {
            places: Arc::new(RwLock::new(Arc::new(places))),
        })
    }

    /// Opens what is configured otherwise than by now; nothing is changed yet.
    ///
    /// # Errors
    /// As `open`.
    pub fn prepare(&self, config: &AuditConfig) -> io::Result<NextAudit> {
        Places::open(config, Some(&self.places())).map(NextAudit)
    }

    /// Lines go to these places from here on; those that wait at others are still written.
    pub fn change(&self, next: NextAudit) {
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        *places = Arc::new(next.0);
    }

    fn places(&self) -> Arc<Places> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.clone()
    }

    /// Queues one line; never blocks.
    pub fn write(&self, event: &AuditEvent) {
        let places = self.places();
        let (file, Daemons { journald, syslog }) = (&places.file, &*places.daemons);
        if !file.is_kept() && journald.is_empty() && syslog.is_empty() {
            return;
        }
        let time = Timestamp::now();
        let line = render(event, time);
        if let Ok(line) = &line {
            for journald in journald {
                journald.put(entry(line));
            }
            for syslog in syslog {
                syslog.send(Facility::AuthPriv, SEVERITY, "audit", time, line);
            }
        }
        file.write(line.map(|line| line + "\n"));
    }

    /// Opens the path anew, for log rotation. When that fails the old file stays in use.
    ///
    /// # Errors
    /// When the file cannot be opened, or the writer is so far behind that it takes no orders.
    pub fn reopen(&self) -> io::Result<()> {
        self.places().file.reopen()
    }

    /// Waits until every line queued so far is written or lost; false when that takes longer than `timeout` anywhere.
    /// Blocks the calling thread: for shutdown.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.places().queues().all(|lines| lines.flush(timeout))
    }

    /// Whether the newest lines could not be written, be it to one place of several.
    pub fn is_failing(&self) -> bool {
        self.places().queues().any(LineLog::is_failing)
    }

    /// Lines lost since the start, each counted for each place.
    pub fn lost(&self) -> u64 {
        self.places().lost()
    }
}

impl Places {
    /// What `before` has alike is taken over from it.
    fn open(config: &AuditConfig, before: Option<&Self>) -> io::Result<Self> {
        let kept = before.filter(|before| before.config.file == config.file);
        let file = match kept {
            Some(before) => before.file.clone(),
            None => {
                let rotation = Rotation::of_config(&config.file);
                LineLog::open_rotated(config.file.path.as_deref(), rotation, &TO_FILE)?
            }
        };
        let kept = before.filter(|before| before.config.to == config.to);
        let daemons = match kept {
            Some(before) => before.daemons.clone(),
            None => Arc::new(Daemons::open(&config.to, &TO_JOURNALD, &TO_SYSLOG)?),
        };
        let mut places = Self {
            config: config.clone(),
            file,
            daemons,
            lost_before: 0,
        };
        // Those of places that stay are counted there.
        let lost = before.map_or(0, Self::lost);
        places.lost_before = lost.saturating_sub(places.lost());
        Ok(places)
    }

    fn lost(&self) -> u64 {
        let now: u64 = self.queues().map(LineLog::lost).sum();
        now.saturating_add(self.lost_before)
    }

    fn queues(&self) -> impl Iterator<Item = &LineLog> {
        [&self.file].into_iter().chain(self.daemons.queues())
    }
}

/// Without a line end.
fn render(event: &AuditEvent, time: Timestamp) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        /// RFC 3339, UTC.
        time: String,
        #[serde(flatten)]
        event: &'a AuditEvent,
    }
    let time = format!("{time:.3}");
    serde_json::to_string(&Line { time, event })
}

/// The whole line as journald's message, and what is in it as fields, so that it can be searched for.
fn entry(line: &str) -> Vec<u8> {
    let mut entry = Entry::new(SEVERITY, line);
    let fields = serde_json::from_str(line).unwrap_or_default();
    if let Value::Object(fields) = fields {
        for (name, value) in &fields {
            match value {
                Value::String(text) => entry.field(name, text),
                Value::Null | Value::Array(_) | Value::Object(_) => {}
                Value::Bool(_) | Value::Number(_) => entry.field(name, &value.to_string()),
            }
        }
    }
    entry.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const WAIT: Duration = Duration::from_secs(10);

    fn refused(user: &str) -> AuditEvent {
        AuditEvent::Refused {
            user: Some(user.to_owned()),
            protocol: "ssh",
            peer: "192.0.2.7:4000".parse().unwrap(),
            cause: "no key of alice\nis known".to_owned(),
            client: "SSH-2.0-OpenSSH_9.9".to_owned(),
        }
    }

    #[test]
    fn writes_one_json_line_an_event_with_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let log = AuditLog::open(Some(&path)).unwrap();
        for user in ["alice", "bob"] {
            log.write(&refused(user));
        }
        assert!(log.flush(WAIT));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert_eq!(lines[0]["event"], "refused");
        assert_eq!(lines[0]["peer"], "192.0.2.7:4000");
        assert_eq!(lines[1]["user"], "bob");
        let time: jiff::Timestamp = lines[0]["time"].as_str().unwrap().parse().unwrap();
        assert!(time.duration_until(jiff::Timestamp::now()).as_secs() < 60);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!log.is_failing());
    }

    #[test]
    fn reopen_follows_a_rotated_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let log = AuditLog::open(Some(&path)).unwrap();
        log.write(&refused("alice"));
        assert!(log.flush(WAIT));
        std::fs::rename(&path, dir.path().join("audit.jsonl.1")).unwrap();
        log.reopen().unwrap();
        log.write(&refused("bob"));
        assert!(log.flush(WAIT));
        assert!(std::fs::read_to_string(&path).unwrap().contains("bob"));
    }

    #[test]
    fn another_place_takes_lines_from_then_on_and_none_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| AuditConfig {
            file: LogFile {
                path: Some(dir.path().join(name)),
                ..LogFile::default()
            },
            to: Vec::new(),
        };
        let log = AuditLog::of_config(&at("one")).unwrap();
        let clone = log.clone();
        clone.write(&refused("alice"));
        let next = log.prepare(&at("two/deep")).unwrap();
        clone.write(&refused("bob"));
        log.change(next);
        clone.write(&refused("carol"));
        assert!(log.flush(WAIT));
        let lines = |name: &str| {
            let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
            text.lines().count()
        };
        assert_eq!(lines("two/deep"), 1);
        // The old one is written to its end by its own thread.
        let until = std::time::Instant::now() + WAIT;
        while lines("one") != 2 {
            assert!(std::time::Instant::now() < until);
            std::thread::yield_now();
        }
        let folder = at("");
        assert!(log.prepare(&folder).is_err(), "a folder is no file");
        clone.write(&refused("dave"));
        assert!(log.flush(WAIT) && lines("two/deep") == 2);
    }

    #[test]
    fn a_full_disk_is_counted_and_told() {
        let log = AuditLog::open(Some(Path::new("/dev/full"))).unwrap();
        log.write(&refused("alice"));
        assert!(log.flush(WAIT));
        assert!(log.is_failing());
        assert_eq!(log.lost(), 1);
    }

    #[test]
    fn without_a_file_nothing_is_kept_and_nothing_fails() {
        let log = AuditLog::open(None).unwrap();
        log.write(&refused("alice"));
        assert!(log.flush(WAIT) && !log.is_failing() && log.reopen().is_ok());
    }
}
