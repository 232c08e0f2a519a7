//! The audit log: one JSON line for every login that was admitted or refused, one for every session's end, and one for
//! each kind of thing that was refused within a session.
//!
//! A login never waits for the disk: lines go through a bounded queue to one writer thread, and when the queue is full or
//! the disk refuses, the line is counted as lost and the log says so. What may never be in a line: passwords, keys, cookies.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

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
    sink: Option<Arc<Sink>>,
}

impl AuditLog {
    /// Opens the file for appending, mode 0600 if it is new, in a folder made if need be; `None` keeps no audit log.
    ///
    /// # Errors
    /// When the file cannot be opened or the writer thread cannot start.
    pub fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { sink: None });
        };
        make_folder(path)?;
        let file = open_append(path)?;
        Self::start(path.to_path_buf(), Box::new(file))
    }

    /// Queues one line; never blocks.
    pub fn write(&self, event: &AuditEvent) {
        let Some(sink) = &self.sink else { return };
        match render(event).map(|line| sink.queue.try_send(Order::Line(line))) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => sink.state.lose(1, "their queue is full"),
            Err(error) => sink.state.lose(1, &error.to_string()),
        }
    }

    /// Opens the path anew, for log rotation. When that fails the old file stays in use.
    ///
    /// # Errors
    /// When the file cannot be opened, or the writer is so far behind that it takes no orders.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(sink) = &self.sink else {
            return Ok(());
        };
        let file = open_append(&sink.path)?;
        sink.queue
            .try_send(Order::Reopen(Box::new(file)))
            .map_err(|_| io::Error::other("the audit log's queue is full"))
    }

    /// Waits until every line queued so far is written or lost; false when that takes longer than `timeout`.
    /// Blocks the calling thread: for shutdown.
    pub fn flush(&self, timeout: Duration) -> bool {
        let Some(sink) = &self.sink else { return true };
        let (done, wait) = sync_channel(1);
        sink.queue.try_send(Order::Flush(done)).is_ok() && wait.recv_timeout(timeout).is_ok()
    }

    /// Whether the newest lines could not be written.
    pub fn is_failing(&self) -> bool {
        let state = self.sink.as_ref().map(|sink| &sink.state);
        state.is_some_and(|state| state.failing.load(Ordering::Relaxed))
    }

    /// Lines lost since the start.
    pub fn lost(&self) -> u64 {
        let state = self.sink.as_ref().map(|sink| &sink.state);
        state.map_or(0, |state| state.lost.load(Ordering::Relaxed))
    }

    fn start(path: PathBuf, out: Box<dyn Write + Send>) -> io::Result<Self> {
        let (queue, orders) = sync_channel(QUEUE_LINES);
        let state = Arc::new(State::default());
        let writer = Writer {
            out,
            state: Arc::clone(&state),
            torn: false,
        };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&orders))?;
        let sink = Sink { queue, path, state };
        Ok(Self {
            sink: Some(Arc::new(sink)),
        })
    }
}

/// Some seconds of logins at a rate no gate sustains; about 4 MiB at worst.
const QUEUE_LINES: usize = 8192;
/// Lines written with one system call at most.
const BATCH_LINES: usize = 256;
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

struct Sink {
    queue: SyncSender<Order>,
    path: PathBuf,
    state: Arc<State>,
}

enum Order {
    Line(String),
    Reopen(Box<dyn Write + Send>),
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct State {
    failing: AtomicBool,
    lost: AtomicU64,
    complained: Mutex<Option<Instant>>,
}

impl State {
    fn lose(&self, lines: u64, cause: &str) {
        self.failing.store(true, Ordering::Relaxed);
        let lost = self.lost.fetch_add(lines, Ordering::Relaxed) + lines;
        let mut complained = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            tracing::error!(
                lost,
                cause,
                "audit lines are lost: free the disk or raise its speed"
            );
        }
    }
}

struct Writer {
    out: Box<dyn Write + Send>,
    state: Arc<State>,
    /// A failed write may have left half a line, which the next one must not be joined to.
    torn: bool,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut batch = String::new();
        while let Ok(first) = orders.recv() {
            let mut lines = 0;
            let mut order = Some(first);
            let mut after = None;
            while let Some(current) = order.take() {
                match current {
                    Order::Line(line) => {
                        batch.push_str(&line);
                        lines += 1;
                    }
                    other => {
                        after = Some(other);
                        break;
                    }
                }
                if lines < BATCH_LINES {
                    order = orders.try_recv().ok();
                }
            }
            self.write_batch(&batch, lines as u64);
            batch.clear();
            match after {
                Some(Order::Reopen(out)) => {
                    self.out = out;
                    self.torn = false;
                }
                // Whoever asked may have stopped waiting.
                Some(Order::Flush(done)) => drop(done.send(())),
                Some(Order::Line(_)) | None => {}
            }
        }
    }

    fn write_batch(&mut self, batch: &str, lines: u64) {
        if lines == 0 {
            return;
        }
        let start = if self.torn { "\n" } else { "" };
        let written = self
            .out
            .write_all(start.as_bytes())
            .and_then(|()| self.out.write_all(batch.as_bytes()))
            .and_then(|()| self.out.flush());
        self.torn = written.is_err();
        match written {
            Ok(()) => self.state.failing.store(false, Ordering::Relaxed),
            Err(error) => self.state.lose(lines, &error.to_string()),
        }
    }
}

fn make_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|error| {
        let what = format!(
            "audit.file: cannot make the folder {}: {error}",
            folder.display()
        );
        io::Error::new(error.kind(), what)
    })
}

fn open_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).append(true).mode(0o600).open(path);
    opened.map_err(|error| {
        let what = format!("audit.file: cannot write to {}: {error}", path.display());
        io::Error::new(error.kind(), what)
    })
}

fn render(event: &AuditEvent) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        /// RFC 3339, UTC.
        time: String,
        #[serde(flatten)]
        event: &'a AuditEvent,
    }
    let time = format!("{:.3}", jiff::Timestamp::now());
    let mut line = serde_json::to_string(&Line { time, event })?;
    line.push('\n');
    Ok(line)
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
