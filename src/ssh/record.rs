//! Recording of terminals: which sessions are recorded, and one session's terminals on their way to the disk.
//!
//! Only what a terminal shows is kept, and what was typed as far as it was echoed; commands without a terminal, files and
//! forwarded connections are not. A session that must be recorded and cannot be is ended; nothing of a terminal is shown
//! or taken before its file is open. Off by default, and then no session carries any of this.

mod cast;
mod echo;
mod fault;
mod folder;
mod people;
mod text;
mod watcher;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cast::Terminal;
use fault::RecordingFault;
use folder::{Folder, Room};
use people::People;
use watcher::Watcher;
use writer::{Beginning, Limits, Queue, Recording, Signal};

use super::channels::Observer;
use crate::config::{OnFailure, PoolConfig, RecordingConfig};
use crate::telemetry::audit::RecordingNote;
use crate::telemetry::metrics::Metrics;

/// Terminals of one session that are recorded, one after the other or at once: each is a file and a note in the audit line.
const TERMINALS_MAX: usize = 256;
/// How long a file may take to open before the disk counts as too slow, and to close before the audit line is written.
const PATIENCE: Duration = Duration::from_secs(10);

/// The recorders of all pools that record anything.
#[derive(Default)]
pub(super) struct Recorders {
    pools: BTreeMap<String, Arc<PoolRecorder>>,
}

struct PoolRecorder {
    config: RecordingConfig,
    queue: Queue,
    metrics: Metrics,
    people: People,
    on_failure: OnFailure,
    with_input: bool,
}

impl Recorders {
    /// Those of `before` whose settings have not changed go on.
    ///
    /// # Errors
    /// When a thread cannot start. A folder that cannot be used is no error: it is logged, and each terminal follows
    /// `on_failure`.
    pub fn start(
        pools: &BTreeMap<String, PoolConfig>,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let mut started = BTreeMap::new();
        for (name, pool) in pools {
            if let Some(config) = &pool.recording {
                let known = before.and_then(|before| before.pools.get(name));
                let recorder = match known.filter(|known| known.config == *config) {
                    Some(known) => known.clone(),
                    None => Arc::new(PoolRecorder::start(name, config, metrics)?),
                };
                started.insert(name.clone(), recorder);
            }
        }
        Ok(Self { pools: started })
    }

    /// `None` if this person's terminals are not recorded there.
    pub async fn session(
        &self,
        pool: &str,
        user: &str,
        session: &str,
        instance: &str,
    ) -> Option<SessionRecorder> {
        let pool = self.pools.get(pool)?;
        if !pool.people.has(user).await {
            return None;
        }
        let shared = Shared {
            pool: pool.clone(),
            user: user.to_owned(),
            session: session.to_owned(),
            title: format!("{user} on {instance}"),
            signal: Arc::default(),
            recordings: Mutex::default(),
        };
        Some(SessionRecorder {
            shared: Arc::new(shared),
        })
    }
}

impl PoolRecorder {
    fn start(name: &str, config: &RecordingConfig, metrics: &Metrics) -> anyhow::Result<Self> {
        let room = Room {
            folder_max: config.folder_max,
            free_min: config.free_min,
        };
        let limits = Limits {
            file_max: config.file_max,
            with_input: config.input,
        };
        let folder = Folder::new(config.folder.clone(), room);
        Ok(Self {
            config: config.clone(),
            queue: Queue::start(name, folder, limits, metrics.clone())?,
            metrics: metrics.clone(),
            people: People::new(&config.users, &config.unix_groups),
            on_failure: config.on_failure,
            with_input: config.input,
        })
    }
}

/// One session's recordings, as its connection's task sees them; `observer` feeds them.
#[derive(Clone)]
pub(super) struct SessionRecorder {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Arc<PoolRecorder>,
    user: String,
    session: String,
    title: String,
    signal: Arc<Signal>,
    /// All of this session, for its audit line.
    recordings: Mutex<Vec<Arc<Recording>>>,
}

impl SessionRecorder {
    pub fn observer(&self) -> Box<dyn Observer> {
        Box::new(Watcher::new(self.shared.clone()))
    }

    /// Whether the relay has to wait for a file to open.
    pub fn is_opening(&self) -> bool {
        self.must_record() && self.shared.signal.opening.load(Relaxed) > 0
    }

    /// Waits until `is_opening` is no longer what it was.
    pub async fn opening_changed(&self, was_opening: bool) {
        loop {
            let changed = self.shared.signal.changed.notified();
            if self.is_opening() != was_opening {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the session has to end for want of a recording. A file that does not open in time is a fault.
    pub async fn failed(&self) {
        if !self.must_record() {
            return std::future::pending().await;
        }
        loop {
            let changed = self.shared.signal.changed.notified();
            if self.shared.signal.is_failing.load(Relaxed) {
                return;
            }
            if !self.is_opening() {
                changed.await;
            } else if tokio::time::timeout(PATIENCE, changed).await.is_err() {
                let recordings = self.shared.recordings();
                recordings
                    .iter()
                    .for_each(|recording| recording.fail_to_open());
            }
        }
    }

    /// Says what there is once it is on the disk or the patience is over; to be asked when the observer is gone.
    pub async fn finish(self) -> Vec<RecordingNote> {
        let closed = async {
            loop {
                let changed = self.shared.signal.changed.notified();
                if self
                    .shared
                    .recordings()
                    .iter()
                    .all(|recording| recording.is_closed())
                {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(PATIENCE, closed).await.is_err() {
            let session = &self.shared.session;
            tracing::error!(
                session,
                "recordings could not be closed within {PATIENCE:?}"
            );
        }
        let recordings = self.shared.recordings();
        recordings
            .iter()
            .map(|recording| recording.note())
            .collect()
    }

    fn must_record(&self) -> bool {
        self.shared.pool.on_failure == OnFailure::Refuse
    }
}

impl Shared {
    fn recordings(&self) -> MutexGuard<'_, Vec<Arc<Recording>>> {
        self.recordings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, terminal: Terminal) -> Option<Arc<Recording>> {
        let mut recordings = self.recordings();
        if recordings.len() >= TERMINALS_MAX {
            self.pool.metrics.count_limit("recording.terminals");
            // The last of them tells of those after it.
            if let Some(last) = recordings.last() {
                last.fail(RecordingFault::TooManyTerminals);
            }
            return None;
        }
        let at = jiff::Timestamp::now();
        let beginning = Beginning {
            terminal,
            stem: folder::stem(at, &self.user, &self.session, recordings.len() + 1),
            title: self.title.clone(),
            unix_s: u64::try_from(at.as_second()).unwrap_or(0),
        };
        let recording = self.pool.queue.begin(beginning, self.signal.clone());
        recordings.push(recording.clone());
        Some(recording)
    }
}
