//! Browsers in the lines of the pools: what somebody there is told, and bounds on those who are held or watch.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::https::pages::words::Words;
use crate::https::route::Ask;
use crate::net::source::Source;
use crate::pool::{Outlook, Progress, Protocol, Snapshot, Stand, Waiter, WakeStage};
use crate::shared_pool::SharedPool;
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

#[derive(Clone)]
pub struct Waiting {
    pool: SharedPool,
    held: Arc<Semaphore>,
    streams: Arc<Mutex<HashMap<Source, usize>>>,
    metrics: Metrics,
}

/// Where somebody stands in words, as pages and their script take it.
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
    pub fn new(pool: SharedPool, metrics: Metrics) -> Self {
        Self {
            pool,
            held: Arc::new(Semaphore::new(HELD_MAX)),
            streams: Arc::default(),
            metrics,
        }
    }

    /// Nobody waits anywhere: what every request asks first.
    pub fn is_empty(&self) -> bool {
        self.pool.lines().is_empty()
    }

    /// How many stand in front of this one; `None` without a ticket.
    pub fn ahead(&self, ask: &Ask) -> Option<usize> {
        let waiter = super::waiter(ask, ask.ticket)?;
        self.pool.lines().ahead(&ask.pool, &waiter)
    }

    /// The free seats are for others who came first.
    pub fn is_behind(&self, ask: &Ask) -> bool {
        let waiter = super::waiter(ask, ask.ticket);
        let lines = self.pool.lines();
        let snapshot = self.pool.snapshot();
        lines.is_behind(&ask.pool, waiter.as_ref(), Protocol::Jupyter, &snapshot)
    }

    /// Takes a ticket, or finds the one that is there.
    pub fn join(
        &self,
        pool: &Arc<str>,
        waiter: &Waiter,
        peer: SocketAddr,
        snapshot: &Snapshot,
    ) -> Stand {
        let source = Source::of(peer.ip()).address();
        let by = (Protocol::Jupyter, source);
        let joined = self.pool.lines().join(pool, waiter, by, snapshot);
        joined.unwrap_or_else(|full| {
            tracing::debug!(%pool, %peer, reason = %full, "somebody finds no room in the line");
            self.metrics.count_limit("https.queue");
            Stand {
                outlook: self.outlook(snapshot, pool),
                ..Stand::CROWDED
            }
        })
    }

    /// Where somebody with a ticket stands, who is there by asking; `None` without one.
    pub fn watch(&self, pool: &Arc<str>, waiter: &Waiter, snapshot: &Snapshot) -> Option<Stand> {
        let lines = self.pool.lines();
        lines.watch(pool, waiter, Protocol::Jupyter, snapshot)
    }

    /// This one has a seat.
    pub fn leave(&self, ask: &Ask) {
        if self.is_empty() {
            return;
        }
        if let Some(waiter) = super::waiter(ask, ask.ticket) {
            let waited = self.pool.lines().leave(&ask.pool, &waiter);
            if let Some(waited) = waited {
                let metrics = &self.metrics;
                metrics.time_wait(&ask.pool, Protocol::Jupyter, waited);
            }
        }
    }

    pub fn outlook(&self, snapshot: &Snapshot, pool: &str) -> Outlook {
        Outlook::of(snapshot, pool, Protocol::Jupyter)
    }

    /// What somebody who stands there is told.
    pub fn tell(
        &self,
        pool: &str,
        stand: &Stand,
        snapshot: &Snapshot,
        words: &'static Words,
    ) -> Told {
        let seen = (&stand.outlook, stand.left_s);
        let progress = Progress::of(snapshot, pool, seen, SystemTime::now());
        Told::of(stand, progress.as_ref(), words)
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
}

impl Told {
    /// `progress` is of a pool that is resized.
    pub fn of(stand: &Stand, progress: Option<&Progress>, words: &Words) -> Self {
        let outlook = &stand.outlook;
        let (title, say, step) = match stand.ahead {
            _ if stand.is_ready() => (words.starting, words.ready_say.to_owned(), 2),
            _ if !outlook.is_open && outlook.is_hub_starting => {
                (words.starting, words.hub_say.to_owned(), 1)
            }
            _ if !outlook.is_open => (words.starting, say_of_wake(progress, words).to_owned(), 0),
            None => (words.full, words.crowd_say.to_owned(), -1),
            Some(0) => (words.full, words.next_say.to_owned(), -1),
            Some(ahead) => {
                let place = ahead.saturating_add(1).to_string();
                (words.full, words.line_say.replace("{n}", &place), -1)
            }
        };
        let more = match step {
            0 | 1 => more_of_wake(stand, progress, words),
            -1 => progress.map_or_else(String::new, |progress| more_of_full(progress, words)),
            _ => String::new(),
        };
        Self {
            title,
            say,
            more,
            step,
        }
    }
}

fn say_of_wake(progress: Option<&Progress>, words: &Words) -> &'static str {
    let Some(progress) = progress else {
        return words.starting_say;
    };
    match progress.stage {
        WakeStage::Asleep | WakeStage::Closed if progress.trouble.is_some() => words.trouble_say,
        WakeStage::Asleep => words.asleep_say,
        WakeStage::Closed => words.starting_say,
        WakeStage::Booting => words.booting_say,
        WakeStage::Starting => words.services_say,
    }
}

/// What stands in the way is told as it is, in whichever language; else the time that is left.
fn more_of_wake(stand: &Stand, progress: Option<&Progress>, words: &Words) -> String {
    if let Some(trouble) = progress.and_then(|progress| progress.trouble.clone()) {
        return trouble;
    }
    let left_s = progress.map_or(stand.left_s, |progress| progress.left_s);
    match left_s {
        None => String::new(),
        Some(0) => words.longer_more.to_owned(),
        Some(left) => words.left_more.replace("{n}", &coarse(left)),
    }
}

/// Of a machine that comes while people wait for a seat on those there are.
fn more_of_full(progress: &Progress, words: &Words) -> String {
    match (progress.stage, progress.left_s, &progress.trouble) {
        (WakeStage::Booting | WakeStage::Starting, Some(left @ 1..), _) => {
            words.another_more.replace("{n}", &coarse(left))
        }
        (WakeStage::Booting | WakeStage::Starting, _, _) => words.booting_say.to_owned(),
        (WakeStage::Asleep | WakeStage::Closed, _, trouble) => trouble.clone().unwrap_or_default(),
    }
}

fn coarse(left_s: u64) -> String {
    let coarse = left_s.div_ceil(LEFT_STEP_S).saturating_mul(LEFT_STEP_S);
    coarse.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::https::pages::words::LANGUAGES;

    const CLOSED: Stand = Stand {
        ahead: Some(0),
        outlook: Outlook {
            is_open: false,
            ..Stand::CROWDED.outlook
        },
        ..Stand::CROWDED
    };

    fn progress(stage: WakeStage, left_s: Option<u64>, trouble: Option<&str>) -> Progress {
        Progress {
            stage,
            left_s,
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn a_wake_is_told_stage_by_stage_in_every_language() {
        use WakeStage::{Asleep, Booting, Closed, Starting};
        for words in &LANGUAGES {
            let told = |progress: &Progress| Told::of(&CLOSED, Some(progress), words);
            for (stage, say) in [
                (Asleep, words.asleep_say),
                (Closed, words.starting_say),
                (Booting, words.booting_say),
                (Starting, words.services_say),
            ] {
                let found = told(&progress(stage, Some(61), None));
                assert_eq!((&*found.say, found.step), (say, 0));
                assert_eq!(found.more, words.left_more.replace("{n}", "65"));
            }
            assert_eq!(
                told(&progress(Booting, Some(0), None)).more,
                words.longer_more
            );
            let failed = told(&progress(Asleep, Some(9), Some("boots fail")));
            assert_eq!(
                (&*failed.say, &*failed.more),
                (words.trouble_say, "boots fail")
            );
            let nobody = Told::of(&CLOSED, None, words);
            assert_eq!((&*nobody.say, &*nobody.more), (words.starting_say, ""));
        }
    }

    #[test]
    fn who_waits_before_a_full_pool_hears_of_another_machine() {
        let [english, ..] = &LANGUAGES;
        let full = Stand {
            ahead: Some(2),
            ..Stand::CROWDED
        };
        let more = |progress| Told::of(&full, Some(&progress), english).more;
        let coming = more(progress(WakeStage::Booting, Some(31), None));
        assert_eq!(coming, english.another_more.replace("{n}", "35"));
        let failed = more(progress(WakeStage::Closed, None, Some("no quota")));
        assert_eq!(failed, "no quota");
        assert_eq!(more(progress(WakeStage::Closed, None, None)), "");
        assert_eq!(Told::of(&full, None, english).more, "");
    }
}
