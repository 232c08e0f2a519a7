//! What of affinity outlives the process: where each person belongs, told by the wall clock, and taken back at a start.
//!
//! An instance need not be listed when it is taken back: a fleet tells its first listing later, and an instance that comes
//! in a minute is still somebody's. Whoever has come in the meantime is known better than their memory.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::rfc3339;
use super::super::{Now, Pool};
use super::{AFFINITY_MAX, People, Person, REMEMBERED_MAX, SENT_MIN};

/// Where one person belongs in one pool.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Memory {
    pub pool: Arc<str>,
    pub user: Arc<str>,
    /// Of their latest session that went live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Arc<str>>,
    /// Where an operator sends them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_to: Option<Arc<str>>,
    /// Absent while they have a session, which ends with the gate: their time counts from the next start.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    pub until: Option<SystemTime>,
}

impl Pool {
    /// Where people belong, in no order.
    pub fn memories(&self, now: Now) -> Vec<Memory> {
        let rosters = self.rosters.values();
        let told = rosters.flat_map(|roster| roster.people.memories(roster.name(), now));
        told.collect()
    }

    /// Changes whenever `memories` may.
    pub fn memories_version(&self) -> u64 {
        let rosters = self.rosters.values();
        rosters.fold(0, |sum: u64, roster| {
            sum.wrapping_add(roster.people.version)
        })
    }

    /// Takes back what a gate of before remembered; what is over, or of a pool that is not configured, is left out.
    pub fn take_back(&mut self, memories: Vec<Memory>, now: Now) {
        for memory in memories {
            let Some(roster) = self.rosters.get_mut(&memory.pool) else {
                continue;
            };
            roster.people.take_back(memory, now, roster.rules.affinity);
        }
        for roster in self.rosters.values_mut() {
            roster.greet();
            roster.settle(now.instant);
        }
        self.debug_check();
    }
}

impl People {
    fn memories(&self, pool: &Arc<str>, now: Now) -> impl Iterator<Item = Memory> {
        let people = self.known.iter();
        people.filter_map(move |(user, person)| {
            let memory = Memory {
                pool: pool.clone(),
                user: user.clone(),
                instance: person.settled.clone(),
                sent_to: person.sent_to.clone(),
                until: person.forgotten_at.map(|end| wall(end, now)),
            };
            (memory.instance.is_some() || memory.sent_to.is_some()).then_some(memory)
        })
    }

    fn take_back(&mut self, memory: Memory, now: Now, affinity: Duration) {
        let least = match memory.sent_to {
            Some(_) => SENT_MIN,
            None => Duration::ZERO,
        };
        // Never longer than the rules of today say, whatever the clock said when it was written down.
        let most = affinity.clamp(least, AFFINITY_MAX);
        let left = match memory.until {
            Some(until) => until.duration_since(now.wall).unwrap_or_default().min(most),
            None => most,
        };
        let end = now.instant.checked_add(left);
        let home = memory.sent_to.clone().or_else(|| memory.instance.clone());
        let (Some(home), Some(end)) = (home, end.filter(|end| *end > now.instant)) else {
            return;
        };
        if self.known.contains_key(&memory.user) {
            return;
        }
        self.version = self.version.wrapping_add(1);
        self.awaited.extend(memory.instance.clone());
        self.awaited.insert(home.clone());
        let person = Person {
            home: Some(home),
            settled: memory.instance,
            sent_to: memory.sent_to,
            forgotten_at: Some(end),
            ..Person::default()
        };
        self.leaving.insert((end, memory.user.clone()));
        self.known.insert(memory.user, person);
        if self.leaving.len() > REMEMBERED_MAX {
            self.forget_next();
        }
    }

    /// These instances are there: when they go, they are gone.
    pub fn greet(&mut self, is_listed: impl Fn(&str) -> bool) {
        self.awaited.retain(|instance| !is_listed(instance));
    }

    /// Somebody was on it before the gate's start, and no listing had it since.
    pub fn is_awaited(&self, instance: &str) -> bool {
        self.awaited.contains(instance)
    }
}

fn wall(end: Instant, now: Now) -> SystemTime {
    let left = end.saturating_duration_since(now.instant);
    now.wall.checked_add(left).unwrap_or(now.wall)
}
