//! Keeps watched pages up to date: each is rendered once a second at most, once for all who watch it, and only if something
//! has changed. Nothing is rendered while nobody watches.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use super::pages::View;
use super::parts::{Change, Rendering};
use super::{Dashboard, kernels};
use crate::pool::{Snapshot, WaiterView};

/// Operators are few; each holds a connection.
pub const WATCHERS_MAX: usize = 32;
/// People do not see more.
const RENDERED_EVERY: Duration = Duration::from_secs(1);
/// Ages are told by the minute, and change without anything having happened.
const AGES_EVERY: Duration = Duration::from_secs(15);
/// A browser that falls behind by more is sent everything.
const BEHIND_MAX: usize = 8;

/// A page as somebody may see it: whether orders are offered.
type Key = (View, bool);

pub(super) struct Live {
    pages: Mutex<Pages>,
    permits: Arc<Semaphore>,
}

#[derive(Default)]
struct Pages {
    watched: BTreeMap<Key, Watched>,
    is_running: bool,
}

struct Watched {
    rendering: Rendering,
    changes: broadcast::Sender<Arc<str>>,
}

/// One browser's part in a page.
pub(super) struct Watch {
    pub key: Key,
    /// Everything, as of now.
    pub whole: Arc<str>,
    pub changes: broadcast::Receiver<Arc<str>>,
    _permit: OwnedSemaphorePermit,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            pages: Mutex::default(),
            permits: Arc::new(Semaphore::new(WATCHERS_MAX)),
        }
    }
}

impl Live {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything a page shows; `None` if nobody watches it any more.
    pub fn whole(&self, key: &Key) -> Option<Arc<str>> {
        let pages = self.pages();
        let watched = pages.watched.get(key)?;
        Some(event(&watched.rendering.whole()))
    }
}

/// `None` where as many watch as may.
pub(super) fn watch(dashboard: &Arc<Dashboard>, key: Key) -> Option<Watch> {
    let permit = dashboard.live.permits.clone().try_acquire_owned().ok()?;
    let is_known = dashboard.live.pages().watched.contains_key(&key);
    // Rendered before the lock is taken: others are watching other pages.
    let fresh = (!is_known).then(|| Rendering::of(key.0.parts(&dashboard.scene(), key.1)));
    let mut pages = dashboard.live.pages();
    let watched = pages.watched.entry(key.clone());
    let watched = watched.or_insert_with(|| Watched {
        rendering: fresh.unwrap_or_default(),
        changes: broadcast::Sender::new(BEHIND_MAX),
    });
    let watch = Watch {
        key,
        whole: event(&watched.rendering.whole()),
        changes: watched.changes.subscribe(),
        _permit: permit,
    };
    if !std::mem::replace(&mut pages.is_running, true) {
        tokio::spawn(render(dashboard.clone()));
    }
    Some(watch)
}

/// What a rendering was made of, as far as it tells whether another would differ.
struct Made {
    snapshot: Arc<Snapshot>,
    waiters: Vec<WaiterView>,
    newest: u64,
    at: Instant,
}

/// Until nobody watches any page.
async fn render(dashboard: Arc<Dashboard>) {
    let mut made: Option<Made> = None;
    loop {
        let pause = tokio::time::sleep(RENDERED_EVERY);
        let is_over = dashboard.ending.run_until_cancelled(pause).await.is_none();
        let keys: Vec<Key> = {
            let mut pages = dashboard.live.pages();
            pages
                .watched
                .retain(|_, watched| watched.changes.receiver_count() > 0);
            if is_over || pages.watched.is_empty() {
                pages.is_running = false;
                pages.watched.clear();
                return;
            }
            pages.watched.keys().cloned().collect()
        };
        if keys.iter().any(|(view, _)| view.shows_kernels()) {
            kernels::refresh(&dashboard);
        }
        if !is_due(&dashboard, made.as_ref()) {
            continue;
        }
        let scene = dashboard.scene();
        for key in keys {
            let rendering = Rendering::of(key.0.parts(&scene, key.1));
            put(&dashboard.live, &key, rendering);
        }
        made = Some(Made {
            newest: scene.events.last().map_or(0, |event| event.number),
            snapshot: scene.snapshot,
            waiters: scene.waiters,
            at: Instant::now(),
        });
    }
}

fn is_due(dashboard: &Dashboard, made: Option<&Made>) -> bool {
    let Some(made) = made else { return true };
    let pool = &dashboard.state.pool;
    let waiters = pool.lines().views();
    made.at.elapsed() >= AGES_EVERY
        || !Arc::ptr_eq(&made.snapshot, &pool.snapshot())
        // How long people have waited is told to some seconds.
        || !waiters.is_empty()
        || waiters != made.waiters
        || made.newest != *dashboard.state.events.newest().borrow()
}

/// In one step, so that whoever begins to watch misses nothing and is told nothing twice.
fn put(live: &Live, key: &Key, rendering: Rendering) {
    let mut pages = live.pages();
    let Some(watched) = pages.watched.get_mut(key) else {
        return;
    };
    if let Some(change) = rendering.changed_since(&watched.rendering) {
        // Nobody may be left.
        drop(watched.changes.send(event(&change)));
    }
    watched.rendering = rendering;
}

/// As an event stream has it. JSON holds no line ends.
fn event(change: &Change) -> Arc<str> {
    let json = serde_json::to_string(change).unwrap_or_default();
    format!("data: {json}\n\n").into()
}
