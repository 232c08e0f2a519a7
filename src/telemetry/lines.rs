//! Lines for a file, written by a thread of their own, so that nobody waits for the disk.
//!
//! They go through a bounded queue, and when that is full or the disk refuses, lines are counted as lost and the log says
//! so. What is in a line is its writer's business. Others may rotate the file and order the path to be opened anew; `rotation`
//! does it without them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rotation::{Rotating, Rotation};

/// What a log of lines is called, in messages and by the system.
pub struct Kind {
    /// The config key of its file.
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
        make_folder(path, kind)?;
        let file = open_append(path, kind)?;
        let rotating = rotation.map(|rotation| Rotating::new(path, rotation, &file));
        Self::start(path.to_path_buf(), kind, file, rotating)
    }

    pub fn is_kept(&self) -> bool {
        self.sink.is_some()
    }

    /// Queues one line, which ends with its newline; never blocks. One that could not be rendered counts as lost.
    pub fn write(&self, line: serde_json::Result<String>) {
        let Some(sink) = &self.sink else { return };
        match line.map(|line| sink.queue.try_send(Order::Line(line))) {
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
        let file = open_append(&sink.path, sink.state.kind)?;
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

    fn start(
        path: PathBuf,
        kind: &'static Kind,
        out: File,
        rotating: Option<Rotating>,
    ) -> io::Result<Self> {
        let (queue, orders) = sync_channel(QUEUE_LINES);
        let state = Arc::new(State::new(kind));
        let writer = Writer {
            out,
            rotating,
            state: Arc::clone(&state),
            torn: false,
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

/// What a busy gate writes while its disk makes it wait for a moment; about 4 MiB at worst.
const QUEUE_LINES: usize = 8192;
/// Lines written with one system call at most.
const BATCH_LINES: usize = 1024;
/// Whoever writes a line wakes the thread only if it sleeps, which costs them more than the line. So after each batch it
/// lets lines gather, and on a busy gate hardly anybody finds it asleep.
const GATHER: Duration = Duration::from_millis(5);
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

struct Sink {
    queue: SyncSender<Order>,
    path: PathBuf,
    state: Arc<State>,
}

enum Order {
    Line(String),
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
        let mut complained = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *complained = Some(Instant::now());
            tracing::error!(lost, cause, "{}", self.kind.complaint);
        }
    }
}

struct Writer {
    out: File,
    rotating: Option<Rotating>,
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
                    self.take(out);
                }
                // Whoever asked may have stopped waiting.
                Some(Order::Flush(done)) => drop(done.send(())),
                Some(Order::Line(_)) | None => {}
            }
            std::thread::sleep(GATHER);
        }
    }

    fn take(&mut self, out: File) {
        if let Some(rotating) = &mut self.rotating {
            rotating.opened(&out);
        }
        self.out = out;
        self.torn = false;
    }

    fn rotate_if_due(&mut self, more: usize) {
        let kind = self.state.kind;
        let Some(rotating) = &mut self.rotating else {
            return;
        };
        match rotating.rotate_if_due(more, |path| open_append(path, kind)) {
            Ok(Some(out)) => self.take(out),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "{} could not be rotated; the old file stays in use", kind.key);
            }
        }
    }

    fn write_batch(&mut self, batch: &str, lines: u64) {
        if lines == 0 {
            return;
        }
        self.rotate_if_due(batch.len());
        let start = if self.torn { "\n" } else { "" };
        let written = self
            .out
            .write_all(start.as_bytes())
            .and_then(|()| self.out.write_all(batch.as_bytes()))
            .and_then(|()| self.out.flush());
        self.torn = written.is_err();
        match written {
            Ok(()) => {
                self.state.failing.store(false, Ordering::Relaxed);
                if let Some(rotating) = &mut self.rotating {
                    rotating.wrote(batch.len());
                }
            }
            Err(error) => self.state.lose(lines, &error.to_string()),
        }
    }
}

fn make_folder(file: &Path, kind: &Kind) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|error| {
        let what = format!(
            "{}: cannot make the folder {}: {error}",
            kind.key,
            folder.display()
        );
        io::Error::new(error.kind(), what)
    })
}

fn open_append(path: &Path, kind: &Kind) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).append(true).mode(0o600).open(path);
    opened.map_err(|error| {
        let what = format!("{}: cannot write to {}: {error}", kind.key, path.display());
        io::Error::new(error.kind(), what)
    })
}
