//! The last 24 hours of each pool, a line a minute: what the charts are drawn from. Pure: time is an argument.
//!
//! A minute holds the most of what was seen within it, so that a short crowd shows. Minutes in which nothing ran are absent.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::states::State;
use crate::pool::rfc3339;

/// A day of minutes.
pub const MINUTES: usize = 24 * 60;
/// Pools are few; a file that was tampered with may say anything.
const POOLS_MAX: usize = 256;
/// Of one minute, so many waits that ended; more are not needed to know what most of them were.
const WAITS_MAX: usize = 1024;

/// One minute of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Minute {
    /// Since 1970, in minutes.
    pub minute: u64,
    pub sessions: u32,
    pub waiting: u32,
    /// Of those who stood in line and left it in this minute, 95 of 100 had waited for less; `None` where nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_p95_s: Option<u32>,
    pub capacity: u32,
    /// Machines that are paid for.
    pub billed: u32,
    /// Machines there may be; `None` where the pool is not resized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machines_max: Option<u32>,
    pub states: BTreeMap<State, u32>,
}

/// What is seen of a pool at one moment.
#[derive(Clone, Debug, Default)]
pub struct Look {
    pub sessions: u32,
    pub waiting: u32,
    pub capacity: u32,
    pub billed: u32,
    pub machines_max: Option<u32>,
    pub states: BTreeMap<State, u32>,
    /// Waits that ended since the last look.
    pub waits: Vec<Duration>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    #[serde(default)]
    pools: BTreeMap<String, VecDeque<Minute>>,
    /// Waits that ended in the newest minute.
    #[serde(skip)]
    waits: BTreeMap<String, Vec<u32>>,
}

impl History {
    pub fn note(&mut self, pool: &str, look: Look, now: SystemTime) {
        let minute = minute_of(now);
        let is_new = !self.pools.contains_key(pool);
        if is_new && self.pools.len() >= POOLS_MAX {
            return;
        }
        let ring = self.pools.entry(pool.to_owned()).or_default();
        // A clock that was set back writes over what it says was later.
        while ring.back().is_some_and(|last| last.minute > minute) {
            ring.pop_back();
        }
        let waits = self.waits.entry(pool.to_owned()).or_default();
        if ring.back().is_none_or(|last| last.minute < minute) {
            waits.clear();
            ring.push_back(Minute {
                minute,
                ..Minute::default()
            });
        }
        let oldest = minute.saturating_sub(MINUTES as u64 - 1);
        while ring.len() > MINUTES || ring.front().is_some_and(|first| first.minute < oldest) {
            ring.pop_front();
        }
        let room = WAITS_MAX.saturating_sub(waits.len());
        let seconds = |wait: &Duration| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
        waits.extend(look.waits.iter().take(room).map(seconds));
        if let Some(last) = ring.back_mut() {
            last.add(&look);
            last.wait_p95_s = percentile(waits, 95).or(last.wait_p95_s);
        }
    }

    pub fn pools(&self) -> impl Iterator<Item = &str> {
        self.pools.keys().map(String::as_str)
    }

    /// The minutes of a pool, the oldest first; of all pools added up where none is named.
    pub fn minutes(&self, pool: Option<&str>) -> Vec<Minute> {
        match pool {
            Some(pool) => {
                let ring = self.pools.get(pool);
                ring.map(|ring| ring.iter().cloned().collect())
                    .unwrap_or_default()
            }
            None => {
                let mut sums: BTreeMap<u64, Minute> = BTreeMap::new();
                for one in self.pools.values().flatten() {
                    let sum = sums.entry(one.minute).or_insert_with(|| Minute {
                        minute: one.minute,
                        ..Minute::default()
                    });
                    sum.join(one);
                }
                sums.into_values().collect()
            }
        }
    }

    /// Drops what is older than a day, and whatever a file held that is no history.
    pub fn settle(&mut self, now: SystemTime) {
        let newest = minute_of(now);
        let oldest = newest.saturating_sub(MINUTES as u64 - 1);
        while self.pools.len() > POOLS_MAX {
            self.pools.pop_last();
        }
        for ring in self.pools.values_mut() {
            let mut last = 0;
            ring.retain(|one| {
                let is_good = (oldest..=newest).contains(&one.minute) && one.minute > last;
                last = last.max(one.minute);
                is_good
            });
        }
        self.pools.retain(|_, ring| !ring.is_empty());
    }
}

impl Minute {
    fn add(&mut self, look: &Look) {
        self.sessions = self.sessions.max(look.sessions);
        self.waiting = self.waiting.max(look.waiting);
        self.capacity = look.capacity;
        self.billed = self.billed.max(look.billed);
        self.machines_max = look.machines_max;
        self.states.clone_from(&look.states);
    }

    fn join(&mut self, other: &Self) {
        self.sessions = self.sessions.saturating_add(other.sessions);
        self.waiting = self.waiting.saturating_add(other.waiting);
        self.wait_p95_s = self.wait_p95_s.max(other.wait_p95_s);
        self.capacity = self.capacity.saturating_add(other.capacity);
        self.billed = self.billed.saturating_add(other.billed);
        self.machines_max = match (self.machines_max, other.machines_max) {
            (Some(one), Some(more)) => Some(one.saturating_add(more)),
            (one, more) => one.or(more),
        };
        for (state, machines) in &other.states {
            let sum = self.states.entry(*state).or_default();
            *sum = sum.saturating_add(*machines);
        }
    }

    pub fn time(&self) -> SystemTime {
        let since = Duration::from_secs(self.minute.saturating_mul(60));
        SystemTime::UNIX_EPOCH
            .checked_add(since)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// As the API tells it.
#[derive(Serialize, ToSchema)]
pub struct MinuteView {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub time: SystemTime,
    #[serde(flatten)]
    pub minute: Minute,
}

/// The minutes of one pool, the oldest first.
#[derive(Serialize, ToSchema)]
pub struct PoolHistory {
    pub pool: String,
    pub minutes: Vec<MinuteView>,
}

pub fn minute_of(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / 60
}

/// The least that so many of a hundred do not exceed.
fn percentile(values: &[u32], percent: usize) -> Option<u32> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent).div_ceil(100);
    sorted.get(at.checked_sub(1)?).copied()
}

#[cfg(test)]
#[path = "history/tests.rs"]
mod tests;
