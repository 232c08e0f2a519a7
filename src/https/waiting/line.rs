//! The lines of all pools, what somebody in one is told, and bounds on those who are held or watch.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outlook::{Outlook, Wake};
use crate::https::pages::words::Words;
use crate::https::route::Ask;
use crate::net::source::Source;
use crate::pool::{Queue, Snapshot, Waiter};
use crate::telemetry::metrics::Metrics;

/// The cookie of a browser that waits. Random and kept in no table but the line's: it only says whose place it is.
pub const TICKET: &str = "__Host-poolgate-wait";
/// Requests held at once; all others see a page at once.
const HELD_MAX: usize = 512;
/// Pages that watch the line, in all and from one source; all others ask by themselves now and then.
const STREAMS_MAX: usize = 4000;
const STREAMS_PER_SOURCE_MAX: usize = 600;
/// Seconds left are told so coarsely, for a page is read out when it changes.
const LEFT_STEP_S: u64 = 5;

pub struct Waiting {
    lines: Mutex<HashMap<Arc<str>, Line>>,
    /// Tickets in all lines.
    count: AtomicUsize,
    held: Arc<Semaphore>,
    streams: Arc<Mutex<HashMap<Source, usize>>>,
    metrics: Metrics,
}

#[derive(Default)]
struct Line {
    queue: Queue,
    wake: Wake,
}

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// How many stand in front; `None` for whom there is no room even in the line.
    pub ahead: Option<usize>,
    outlook: Outlook,
    left_s: Option<u64>,
}

/// The same in words, as pages and their script take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    pub title: &'static str,
    pub say: String,
    pub more: String,
    /// Of `Words::steps`; negative where none is shown.
    pub step: i8,
}

/// A page that watches, until it is dropped.
pub struct StreamGuard {
    source: Source,
    streams: Arc<Mutex<HashMap<Source, usize>>>,
}

impl Waiting {
    pub fn new(metrics: Metrics) -> Self {
        Self {
            lines: Mutex::default(),
            count: AtomicUsize::new(0),
            held: Arc::new(Semaphore::new(HELD_MAX)),
            streams: Arc::default(),
            metrics,
        }
    }

    /// Nobody waits anywhere: what every request asks first.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// How many stand in front of this one; `None` without a ticket.
    pub fn ahead(&self, ask: &Ask) -> Option<usize> {
        let waiter = super::waiter(ask, ask.ticket)?;
        self.lines().get(&ask.pool)?.queue.ahead(&waiter)
    }

    /// All who wait in a pool.
    #[cfg(test)]
    pub fn ahead_in(&self, pool: &str) -> usize {
        self.lines().get(pool).map_or(0, |line| line.queue.len())
    }

    /// The same, and all who wait for one without a ticket.
    pub fn ahead_of_all_but(&self, ask: &Ask) -> usize {
        let all = || {
            self.lines()
                .get(&ask.pool)
                .map_or(0, |line| line.queue.len())
        };
        self.ahead(ask).unwrap_or_else(all)
    }

    /// Takes a ticket, or finds the one that is there.
    pub fn join(
        &self,
        pool: &Arc<str>,
        waiter: Waiter,
        peer: SocketAddr,
        snapshot: &Snapshot,
    ) -> Stand {
        let (now, outlook) = (Instant::now(), Outlook::of(snapshot, pool));
        let source = Source::of(peer.ip()).address();
        let mut lines = self.lines();
        let line = lines.entry(pool.clone()).or_default();
        line.wake.note(outlook.is_open, now);
        let joined = line.queue.join(waiter, source, now);
        let left_s = line.wake.left_s(now);
        self.recount(&lines);
        drop(lines);
        if let Err(full) = joined {
            tracing::debug!(%pool, %peer, %full, "somebody finds no room in the line");
            self.metrics.count_limit("https.queue");
        }
        Stand {
            ahead: joined.ok(),
            outlook,
            left_s,
        }
    }

    /// Where somebody with a ticket stands, who is there by asking; `None` without one.
    pub fn watch(&self, pool: &Arc<str>, waiter: &Waiter, snapshot: &Snapshot) -> Option<Stand> {
        let (now, outlook) = (Instant::now(), Outlook::of(snapshot, pool));
        let mut lines = self.lines();
        let line = lines.get_mut(pool)?;
        line.wake.note(outlook.is_open, now);
        let ahead = line.queue.touch(waiter, now)?;
        let stand = Stand {
            ahead: Some(ahead),
            outlook,
            left_s: line.wake.left_s(now),
        };
        if stand.is_ready() {
            line.queue.call(waiter, now);
        }
        Some(stand)
    }

    /// This one has a seat.
    pub fn leave(&self, ask: &Ask) {
        if self.is_empty() {
            return;
        }
        let Some(waiter) = super::waiter(ask, ask.ticket) else {
            return;
        };
        let mut lines = self.lines();
        if let Some(line) = lines.get_mut(&ask.pool) {
            line.queue.leave(&waiter);
        }
        self.recount(&lines);
    }

    /// Forgets those who are gone, and notes which pools are open again.
    pub fn sweep(&self, snapshot: &Snapshot) {
        let now = Instant::now();
        let mut lines = self.lines();
        for (pool, line) in lines.iter_mut() {
            line.queue.expire(now);
            if Outlook::of(snapshot, pool).is_open {
                line.wake.note(true, now);
            }
        }
        self.recount(&lines);
    }

    pub fn outlook(&self, snapshot: &Snapshot, pool: &str) -> Outlook {
        Outlook::of(snapshot, pool)
    }

    /// Leave to be held; `None` where so many are that this one is shown the page.
    pub fn hold(&self) -> Option<OwnedSemaphorePermit> {
        self.held.clone().try_acquire_owned().ok()
    }

    /// Leave to watch; `None` where so many do that this one asks by itself.
    pub fn stream(&self, peer: SocketAddr) -> Option<StreamGuard> {
        let source = Source::of(peer.ip());
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let of_source = streams.get(&source).copied().unwrap_or(0);
        let in_all: usize = streams.values().sum();
        if in_all >= STREAMS_MAX || of_source >= STREAMS_PER_SOURCE_MAX {
            self.metrics.count_limit("https.wait_streams");
            return None;
        }
        streams.insert(source, of_source.saturating_add(1));
        Some(StreamGuard {
            source,
            streams: self.streams.clone(),
        })
    }

    fn recount(&self, lines: &HashMap<Arc<str>, Line>) {
        let mut count = 0_usize;
        for (pool, line) in lines {
            count = count.saturating_add(line.queue.len());
            self.metrics.set_queue(pool, line.queue.len());
        }
        self.count.store(count, Ordering::Relaxed);
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Arc<str>, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stand {
    pub const CROWDED: Self = Self {
        ahead: None,
        outlook: Outlook {
            is_open: true,
            free: 0,
            is_hub_starting: false,
            is_likely: false,
        },
        left_s: None,
    };

    /// There is a free seat for this one.
    pub fn is_ready(&self) -> bool {
        self.ahead.is_some_and(|ahead| ahead < self.outlook.free)
    }

    pub fn told(&self, words: &Words) -> Told {
        let outlook = &self.outlook;
        let (title, say, step) = match self.ahead {
            _ if self.is_ready() => (words.starting, words.ready_say.to_owned(), 2),
            _ if !outlook.is_open && outlook.is_hub_starting => {
                (words.starting, words.hub_say.to_owned(), 1)
            }
            _ if !outlook.is_open => (words.starting, words.starting_say.to_owned(), 0),
            None => (words.full, words.crowd_say.to_owned(), -1),
            Some(0) => (words.full, words.next_say.to_owned(), -1),
            Some(ahead) => {
                let place = ahead.saturating_add(1).to_string();
                (words.full, words.line_say.replace("{n}", &place), -1)
            }
        };
        let more = match self.left_s.filter(|_| step == 0 || step == 1) {
            None => String::new(),
            Some(0) => words.longer_more.to_owned(),
            Some(left) => {
                let coarse = left.div_ceil(LEFT_STEP_S).saturating_mul(LEFT_STEP_S);
                words.left_more.replace("{n}", &coarse.to_string())
            }
        };
        Told {
            title,
            say,
            more,
            step,
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                streams.remove(&self.source);
            }
        }
    }
}
