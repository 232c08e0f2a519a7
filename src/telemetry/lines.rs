//! Lines for a file or for a daemon's socket, written by a thread of their own, so that nobody waits for either.
//!
//! They go through a bounded queue, and when that is full or the other side refuses, lines are counted as lost and the log says
//! so. What is in a line is its writer's business. Others may rotate a file and order the path to be opened anew; `rotation`
//! does it without them.

mod datagrams;
mod file;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::datagrams::ToSocket;
use self::file::ToFile;
use super::rotation::Rotation;

/// What a log of lines is called, in messages and by the system.
pub struct Kind {
    /// The config key that names where its lines go.
    pub key: &'static str,
    pub thread: &'static str,
    /// What the log says when lines are lost.
    pub complaint: &'static str,
}

/// Where lines go; cheap to clone. The file is closed when the last clone is gone.
#[derive(Clone)]
pub struct LineLog {
    sink: Option<Arc<Sink>>,
}

impl LineLog {
    /// Opens the file for appending, mode 0600 if it is new, in a folder made if need be; `None` keeps nothing.
    ///
    /// # Errors
    /// When the file cannot be opened or the writer thread cannot start.
    pub fn open(path: Option<&Path>, kind: &'static Kind) -> io::Result<Self> {
        Self::open_rotated(path, None, kind)
    }

    /// As `open`; the file is rotated.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_rotated(
        path: Option<&Path>,
        rotation: Option<Rotation>,
        kind: &'static Kind,
    ) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { sink: None });
        };
        let out = ToFile::open(path, rotation, kind)?;
        Self::start(Some(path.to_path_buf()), kind, Box::new(out))
    }

    /// Each line is a datagram for the socket at this path.
    ///
    /// # Errors
    /// When there can be no socket, or no thread.
    pub fn to_unix(path: &Path, kind: &'static Kind) -> io::Result<Self> {
        Self::start(None, kind, Box::new(ToSocket::unix(path)?))
    }

    /// Each line is a datagram for this address.
    ///
    /// # Errors
    /// When there can be no socket, or no thread.
    pub fn to_udp(address: SocketAddr, kind: &'static Kind) -> io::Result<Self> {
        Self::start(None, kind, Box::new(ToSocket::udp(address)?))
    }

    pub fn is_kept(&self) -> bool {
        self.sink.is_some()
    }

    /// Queues one line, with its newline if it is for a file; never blocks. One that could not be rendered counts as lost.
    pub fn write(&self, line: serde_json::Result<String>) {
        match (&self.sink, line) {
            (None, _) => {}
            (Some(_), Ok(line)) => self.put(line.into_bytes()),
            (Some(sink), Err(error)) => sink.state.lose(1, &error.to_string()),
        }
    }

    /// As `write`, of what is rendered already.
    pub fn put(&self, line: Vec<u8>) {
        let Some(sink) = &self.sink else { return };
        if sink.queue.try_send(Order::Line(line)).is_err() {
            sink.state.lose(1, "their queue is full");
        }
    }

    /// Opens the path anew, for log rotation. When that fails the old file stays in use.
    ///
    /// # Errors
    /// When the file cannot be opened, or the writer is so far behind that it takes no orders.
    pub fn reopen(&self) -> io::Result<()> {
        let Some((sink, path)) = self.sink.as_ref().and_then(|sink| {
            let path = sink.path.as_ref()?;
            Some((sink, path))
        }) else {
            return Ok(());
        };
        let file = file::open_append(path, sink.state.kind)?;
        sink.queue
            .try_send(Order::Reopen(file))
            .map_err(|_| io::Error::other("its queue is full"))
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

    fn start(path: Option<PathBuf>, kind: &'static Kind, out: Box<dyn Out>) -> io::Result<Self> {
        let (queue, orders) = sync_channel(QUEUE_LINES);
        let state = Arc::new(State::new(kind));
        let writer = Writer {
            out,
            state: Arc::clone(&state),
        };
        std::thread::Builder::new()
            .name(kind.thread.to_owned())
            .spawn(move || writer.run(&orders))?;
        let sink = Sink { queue, path, state };
        Ok(Self {
            sink: Some(Arc::new(sink)),
        })
    }
}

/// Where the writer's lines go.
trait Out: Send {
    /// Each of them whole.
    ///
    /// # Errors
    /// How many are lost, and why.
    fn write(&mut self, lines: &[Vec<u8>]) -> Result<(), (u64, io::Error)>;

    /// Lines go to this file from here on.
    fn reopen(&mut self, _file: File) {}

    /// There has been nothing to write for a while.
    fn rest(&mut self) {}
}

/// What a busy gate writes while its disk makes it wait for a moment; about 4 MiB at worst.
const QUEUE_LINES: usize = 8192;
/// Lines written with one system call at most.
const BATCH_LINES: usize = 1024;
/// Whoever writes a line wakes the thread only if it sleeps, which costs them more than the line. So after each batch it
/// lets lines gather, and on a busy gate hardly anybody finds it asleep.
const GATHER: Duration = Duration::from_millis(5);
/// How often somebody without lines looks for what age alone brings about.
const REST: Duration = Duration::from_secs(600);
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

struct Sink {
    queue: SyncSender<Order>,
    path: Option<PathBuf>,
    state: Arc<State>,
}

enum Order {
    Line(Vec<u8>),
    Reopen(File),
    Flush(SyncSender<()>),
}

struct State {
    kind: &'static Kind,
    failing: AtomicBool,
    lost: AtomicU64,
    complained: Mutex<Option<Instant>>,
}

impl State {
    fn new(kind: &'static Kind) -> Self {
        Self {
            kind,
            failing: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            complained: Mutex::default(),
        }
    }

    fn lose(&self, lines: u64, cause: &str) {
        self.failing.store(true, Ordering::Relaxed);
        let lost = self.lost.fetch_add(lines, Ordering::Relaxed) + lines;
        if self.may_complain() {
            tracing::error!(lines_lost = lost, cause, "{}", self.kind.complaint);
        }
    }

    /// The lock is given back first: the complaint may be a line of the very log that is full.
    fn may_complain(&self) -> bool {
        let complained = self.complained.lock();
        let mut complained = complained.unwrap_or_else(PoisonError::into_inner);
        let may = complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY);
        if may {
            *complained = Some(Instant::now());
        }
        may
    }
}

struct Writer {
    out: Box<dyn Out>,
    state: Arc<State>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut batch = Vec::new();
        loop {
            let first = match orders.recv_timeout(REST) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.out.rest();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut order = Some(first);
            let mut after = None;
            while let Some(current) = order.take() {
                match current {
                    Order::Line(line) => batch.push(line),
                    other => {
                        after = Some(other);
                        break;
                    }
                }
                if batch.len() < BATCH_LINES {
                    order = orders.try_recv().ok();
                }
            }
            self.write_batch(&batch);
            batch.clear();
            match after {
                Some(Order::Reopen(file)) => self.out.reopen(file),
                // Whoever asked may have stopped waiting.
                Some(Order::Flush(done)) => drop(done.send(())),
                Some(Order::Line(_)) | None => {}
            }
            std::thread::sleep(GATHER);
        }
    }

    fn write_batch(&mut self, batch: &[Vec<u8>]) {
        if batch.is_empty() {
            return;
        }
        match self.out.write(batch) {
            Ok(()) => self.state.failing.store(false, Ordering::Relaxed),
            Err((lost, error)) => self.state.lose(lost, &error.to_string()),
        }
    }
}
