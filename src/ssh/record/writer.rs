//! The thread that writes one pool's recordings, and what a session and it know of each other.
//!
//! The relay only queues: a slow disk never holds it up. What may wait is bounded in bytes, for one recording and for all
//! of a pool; what does not fit makes the recording faulty, and the session decides what that means. Every event is
//! written at once and whole, so that after a crash all but the last moments can be played.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use zeroize::Zeroizing;

use super::cast::{Cast, Size, Terminal};
use super::fault::RecordingFault;
use super::folder::{Folder, Part};
use crate::telemetry::audit::RecordingNote;
use crate::telemetry::metrics::Metrics;

/// What may wait for the disk, in bytes: some seconds of a terminal that scrolls as fast as it can.
const QUEUED_MAX: usize = 8 << 20;
/// The same over all recordings of a pool.
const QUEUED_ALL_MAX: usize = 128 << 20;
/// What an order takes in memory beside its bytes.
const ORDER_BYTES: usize = 96;
/// Kept free below `file_max` for the note that says why a recording ends.
const NOTE_BYTES: u64 = 512;

/// The way to the thread; it ends when the last of these is gone.
pub(super) struct Queue {
    orders: Sender<Order>,
    queued: Arc<AtomicUsize>,
    next: AtomicU64,
}

struct Order {
    recording: Arc<Recording>,
    at: Duration,
    event: Event,
}

enum Event {
    Begin(Box<Beginning>),
    Output(Vec<u8>),
    Input(Zeroizing<Vec<u8>>),
    Resize(Size),
    End,
}

/// What a recording begins with.
pub(super) struct Beginning {
    pub terminal: Terminal,
    /// The file's name without its ending.
    pub stem: String,
    pub title: String,
    pub unix_s: u64,
}

impl Event {
    fn bytes(&self) -> usize {
        let carried = match self {
            Self::Output(bytes) => bytes.len(),
            Self::Input(bytes) => bytes.len(),
            Self::Begin(_) | Self::Resize(_) | Self::End => 0,
        };
        carried + ORDER_BYTES
    }
}

/// One terminal's recording, as its session sees it.
pub(super) struct Recording {
    number: u64,
    queued: AtomicUsize,
    /// Nothing more is to be queued: it is finished or faulty.
    is_over: AtomicBool,
    progress: Mutex<Progress>,
    session: Arc<Signal>,
}

/// What a session hears of all its recordings without looking at each.
#[derive(Default)]
pub(super) struct Signal {
    /// Woken when a file is open, when a recording is faulty, and when one is closed.
    pub changed: Notify,
    /// Recordings whose files are not open yet.
    pub opening: AtomicUsize,
    pub is_failing: AtomicBool,
}

#[derive(Default)]
struct Progress {
    stage: Stage,
    file: Option<String>,
    bytes: u64,
    fault: Option<RecordingFault>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Opening,
    Writing,
    Closed,
}

impl Recording {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what happens is still written down.
    pub fn is_wanted(&self) -> bool {
        !self.is_over.load(Relaxed)
    }

    pub fn is_closed(&self) -> bool {
        self.progress().stage == Stage::Closed
    }

    /// It was to be open long ago.
    pub fn fail_to_open(&self) {
        if self.progress().stage == Stage::Opening {
            self.fail(RecordingFault::Slow);
        }
    }

    pub fn note(&self) -> RecordingNote {
        let progress = self.progress();
        let cause = match (&progress.fault, progress.stage) {
            (Some(fault), _) => Some(fault.to_string()),
            (None, Stage::Closed) => None,
            (None, _) => Some(RecordingFault::Slow.to_string()),
        };
        RecordingNote {
            file: progress.file.clone(),
            bytes: progress.bytes,
            truncated: cause.is_some(),
            cause,
        }
    }

    /// Notes the first fault; later ones follow from it.
    pub fn fail(&self, fault: RecordingFault) {
        self.is_over.store(true, Relaxed);
        self.progress().fault.get_or_insert(fault);
        self.session.is_failing.store(true, Relaxed);
        self.session.changed.notify_waiters();
    }

    fn set_stage(&self, stage: Stage) {
        self.progress().stage = stage;
        self.session.changed.notify_waiters();
    }
}

impl Queue {
    /// Starts the thread, which first sets right what a crash has left in the folder.
    pub fn start(pool: &str, folder: Folder, limits: Limits, metrics: Metrics) -> io::Result<Self> {
        let (orders, ordered) = channel();
        let queued = Arc::default();
        let writer = Writer {
            pool: pool.to_owned(),
            folder,
            limits,
            open: HashMap::new(),
            queued: Arc::clone(&queued),
            metrics,
        };
        std::thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || writer.run(&ordered))?;
        Ok(Self {
            orders,
            queued,
            next: AtomicU64::new(0),
        })
    }

    pub fn begin(&self, beginning: Beginning, session: Arc<Signal>) -> Arc<Recording> {
        session.opening.fetch_add(1, Relaxed);
        let recording = Arc::new(Recording {
            number: self.next.fetch_add(1, Relaxed),
            queued: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            progress: Mutex::default(),
            session,
        });
        self.push(
            &recording,
            Duration::ZERO,
            Event::Begin(Box::new(beginning)),
        );
        recording
    }

    pub fn output(&self, recording: &Arc<Recording>, at: Duration, bytes: &[u8]) {
        if self.has_room(recording, at, bytes) {
            self.push(recording, at, Event::Output(bytes.to_vec()));
        }
    }

    pub fn input(&self, recording: &Arc<Recording>, at: Duration, bytes: &[u8]) {
        if self.has_room(recording, at, bytes) {
            // Keys may be a password's until the echo has told.
            self.push(recording, at, Event::Input(bytes.to_vec().into()));
        }
    }

    pub fn resize(&self, recording: &Arc<Recording>, at: Duration, size: Size) {
        if self.has_room(recording, at, &[]) {
            self.push(recording, at, Event::Resize(size));
        }
    }

    /// Also for a faulty one: what it holds is still to be closed.
    pub fn end(&self, recording: &Arc<Recording>, at: Duration) {
        recording.is_over.store(true, Relaxed);
        self.push(recording, at, Event::End);
    }

    fn has_room(&self, recording: &Arc<Recording>, at: Duration, bytes: &[u8]) -> bool {
        if recording.is_over.load(Relaxed) {
            return false;
        }
        let more = bytes.len() + ORDER_BYTES;
        let fits = recording.queued.load(Relaxed) + more <= QUEUED_MAX
            && self.queued.load(Relaxed) + more <= QUEUED_ALL_MAX;
        if !fits {
            recording.fail(RecordingFault::Slow);
            self.end(recording, at);
        }
        fits
    }

    fn push(&self, recording: &Arc<Recording>, at: Duration, event: Event) {
        let bytes = event.bytes();
        recording.queued.fetch_add(bytes, Relaxed);
        self.queued.fetch_add(bytes, Relaxed);
        let order = Order {
            recording: recording.clone(),
            at,
            event,
        };
        if self.orders.send(order).is_err() {
            recording.fail(RecordingFault::NoWriter);
            recording.set_stage(Stage::Closed);
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub file_max: u64,
    pub with_input: bool,
}

struct Writer {
    pool: String,
    folder: Folder,
    limits: Limits,
    open: HashMap<u64, Open>,
    queued: Arc<AtomicUsize>,
    metrics: Metrics,
}

struct Open {
    part: Part,
    cast: Cast,
    bytes: u64,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        match self.folder.recover() {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                pool = self.pool,
                count,
                "recordings that a crash cut short are set right"
            ),
            Err(fault) => {
                tracing::error!(pool = self.pool, error = %fault, "recordings cannot be kept")
            }
        }
        let mut lines = Vec::new();
        while let Ok(Order {
            recording,
            at,
            event,
        }) = orders.recv()
        {
            let bytes = event.bytes();
            lines.clear();
            self.follow(&recording, at, event, &mut lines);
            recording.queued.fetch_sub(bytes, Relaxed);
            self.queued.fetch_sub(bytes, Relaxed);
        }
    }

    fn follow(&mut self, recording: &Recording, at: Duration, event: Event, lines: &mut Vec<u8>) {
        let followed = match event {
            Event::Begin(beginning) => {
                let begun = self.begin(recording, &beginning, lines);
                recording.session.opening.fetch_sub(1, Relaxed);
                begun.map(|()| recording.set_stage(Stage::Writing))
            }
            Event::End => return self.close(recording, at, lines),
            event => {
                let Some(open) = self.open.get_mut(&recording.number) else {
                    return;
                };
                match event {
                    Event::Output(bytes) => open.cast.output(at, &bytes, lines),
                    Event::Input(bytes) => open.cast.input(at, &bytes, lines),
                    Event::Resize(size) => open.cast.resize(at, size, lines),
                    Event::Begin(_) | Event::End => {}
                }
                self.append(recording, lines)
            }
        };
        if let Err(fault) = followed {
            recording.fail(fault);
            lines.clear();
            self.close(recording, at, lines);
        }
    }

    fn begin(
        &mut self,
        recording: &Recording,
        beginning: &Beginning,
        lines: &mut Vec<u8>,
    ) -> Result<(), RecordingFault> {
        let part = self.folder.create(&beginning.stem)?;
        let (terminal, title) = (&beginning.terminal, &beginning.title);
        let cast = Cast::begin(
            terminal,
            title,
            beginning.unix_s,
            self.limits.with_input,
            lines,
        );
        let open = Open {
            part,
            cast,
            bytes: 0,
        };
        recording.progress().file = Some(open.part.name.clone());
        self.open.insert(recording.number, open);
        self.append(recording, lines)
    }

    fn append(&mut self, recording: &Recording, lines: &[u8]) -> Result<(), RecordingFault> {
        let Some(open) = self.open.get_mut(&recording.number) else {
            return Ok(());
        };
        let count = lines.len() as u64;
        if open.bytes + count + NOTE_BYTES > self.limits.file_max {
            return Err(RecordingFault::FileFull);
        }
        self.folder.take(count)?;
        open.append(lines)
    }

    /// Says in the file itself if it is not all, and gives it its final name.
    fn close(&mut self, recording: &Recording, at: Duration, lines: &mut Vec<u8>) {
        let Some(mut open) = self.open.remove(&recording.number) else {
            // It was closed by a fault, or never opened.
            return self.note_end(recording);
        };
        open.cast.finish(at, lines);
        if let Some(fault) = &recording.progress().fault {
            let note = match fault.limit() {
                Some(limit) => format!("the recording ends here: {limit}"),
                None => "the recording ends here: it could not be written".to_owned(),
            };
            lines.clear();
            open.cast.mark(at, &note, lines);
        }
        let is_faulty = recording.progress().fault.is_some();
        let finished = open
            .append(lines)
            .and_then(|()| self.folder.finish(&open.part));
        recording.progress().bytes = open.bytes;
        self.metrics.count_recorded_bytes(open.bytes);
        if let Err(fault) = finished.or_else(|fault| match is_faulty {
            // The note is a courtesy.
            true => self.folder.finish(&open.part).map_err(|_| fault),
            false => Err(fault),
        }) {
            recording.fail(fault);
        }
        self.note_end(recording);
    }

    fn note_end(&self, recording: &Recording) {
        if recording.is_closed() {
            return;
        }
        {
            let progress = recording.progress();
            let file = progress.file.as_deref();
            match &progress.fault {
                None => self.metrics.count_recording("complete"),
                Some(fault) => {
                    if let Some(limit) = fault.limit() {
                        self.metrics.count_limit(limit);
                    }
                    self.metrics.count_recording(if file.is_some() {
                        "truncated"
                    } else {
                        "failed"
                    });
                    tracing::error!(pool = self.pool, file, error = %fault, "a terminal is not recorded to its end");
                }
            }
        }
        recording.set_stage(Stage::Closed);
    }
}

impl Open {
    fn append(&mut self, lines: &[u8]) -> Result<(), RecordingFault> {
        let Part { file, path, .. } = &mut self.part;
        if let Err(error) = file.write_all(lines) {
            // Half a line would make the file unreadable.
            drop(file.set_len(self.bytes));
            return Err(RecordingFault::Write {
                path: path.clone(),
                error,
            });
        }
        self.bytes += lines.len() as u64;
        Ok(())
    }
}
