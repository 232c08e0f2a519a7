//! What became of each machine: when it came up, since when nobody is on it, and how long boots take.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use crate::pool::{Health, InstanceId, Machine, MachinePhase, Now};

use super::facts::{Facts, InstanceFacts, Occupancy};

/// Boots that are remembered.
const BOOTS: usize = 20;
/// After boots failed in a row: one minute, then twice as long each time, up to half an hour.
const RETRY_MAX: Duration = Duration::from_secs(1800);

/// Of one machine's people, so many are told apart.
const PEOPLE_MAX: usize = 256;
/// Whoever has just come may stay for a while.
const STAY_MIN: Duration = Duration::from_secs(300);
/// Whoever has been there for so long stays, for all that is known.
const STAY_MAX: Duration = Duration::from_secs(8 * 3600);

#[derive(Clone, Debug, Default)]
pub(super) struct Tracks {
    machines: BTreeMap<InstanceId, Track>,
    boots: VecDeque<Duration>,
    /// Boots that failed since one succeeded.
    failures: u32,
    failed_at: Option<Instant>,
    /// The listing has been seen before.
    has_looked: bool,
}

#[derive(Clone, Debug)]
struct Track {
    /// Another one under the same name is another machine.
    created: SystemTime,
    first_seen: Instant,
    was_up: bool,
    has_failed: bool,
    down_since: Option<Instant>,
    empty_since: Option<Instant>,
    /// When those who are there came, the longest there first. Who leaves is taken to be who came last: most stays are short,
    /// and whoever has stayed for long stays for longer.
    came: Vec<Instant>,
}

impl Tracks {
    pub fn observe(&mut self, facts: &Facts, boot_timeout: Duration, now: Now) {
        let before = std::mem::take(&mut self.machines);
        for one in &facts.instances {
            let machine = &one.machine;
            let old = before.get(&machine.id);
            let old = old.filter(|old| old.created == machine.created);
            // A machine that was there before this process began to look has its boot behind it.
            let is_measured = old.is_some() || self.has_looked;
            let mut track = old.cloned().unwrap_or_else(|| Track::new(machine, now));
            self.follow(&mut track, one, boot_timeout, is_measured, now);
            self.machines.insert(machine.id.clone(), track);
        }
        let is_gone = |(id, track): &(&InstanceId, &Track)| {
            !self.machines.contains_key(*id) && !track.was_up && !track.has_failed
        };
        // Granted and never made: asked for again at once it would be so without end.
        let vanished = before.iter().filter(is_gone).count();
        if vanished > 0 {
            let vanished = u32::try_from(vanished).unwrap_or(u32::MAX);
            self.failures = self.failures.saturating_add(vanished);
            self.failed_at = Some(now.instant);
        }
        self.has_looked = true;
    }

    fn follow(
        &mut self,
        track: &mut Track,
        one: &InstanceFacts,
        boot_timeout: Duration,
        is_measured: bool,
        now: Now,
    ) {
        let since_seen = now.instant.saturating_duration_since(track.first_seen);
        if one.machine.phase == MachinePhase::Deallocated {
            // Whenever it is switched on it boots anew.
            *track = Track::new(&one.machine, now);
            return;
        }
        if one.health == Health::Up {
            if !track.was_up && is_measured {
                self.failures = 0;
                self.boots.push_back(since_seen);
                if self.boots.len() > BOOTS {
                    self.boots.pop_front();
                }
            }
            track.was_up = true;
            track.down_since = None;
        } else {
            track.down_since.get_or_insert(now.instant);
        }
        let is_failed = one.machine.phase == MachinePhase::Failed || since_seen > boot_timeout;
        if is_failed && !track.was_up && !track.has_failed {
            track.has_failed = true;
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(now.instant);
        }
        let since = track.empty_since.unwrap_or(now.instant);
        track.empty_since = one.is_empty().then_some(since);
        if one.occupancy != Occupancy::Unknown {
            let seats = usize::try_from(one.seats()).unwrap_or(usize::MAX);
            track.came.resize(seats.min(PEOPLE_MAX), now.instant);
        }
    }

    /// The boots that were measured last, the oldest first.
    pub fn boots(&self) -> impl Iterator<Item = Duration> {
        self.boots.iter().copied()
    }

    /// Boots that an earlier run measured.
    pub fn resume_boots(&mut self, boots: impl Iterator<Item = Duration>) {
        self.boots = boots.take(BOOTS).collect();
    }

    /// How long a boot takes, in nine of ten cases; `None` until one was measured.
    pub fn boot(&self) -> Option<Duration> {
        let mut boots: Vec<Duration> = self.boots.iter().copied().collect();
        boots.sort_unstable();
        boots.get(boots.len().saturating_mul(9) / 10).copied()
    }

    /// Boots fail in a row: whether it is time to try one. `None` if all is well.
    pub fn retry(&self, last_out: Option<Instant>, now: Now) -> Option<bool> {
        let failed_at = self.failed_at.filter(|_| self.failures > 1)?;
        let doublings = self.failures.saturating_sub(2).min(10);
        let wait = Duration::from_secs(60 << doublings).min(RETRY_MAX);
        let last = last_out.map_or(failed_at, |out| out.max(failed_at));
        Some(now.instant.saturating_duration_since(last) >= wait)
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    pub fn was_up(&self, machine: &Machine) -> bool {
        self.get(machine).is_some_and(|track| track.was_up)
    }

    /// Since it was first listed.
    pub fn age(&self, machine: &Machine, now: Now) -> Duration {
        since(self.get(machine).map(|track| track.first_seen), now)
    }

    pub fn empty_for(&self, machine: &Machine, now: Now) -> Duration {
        since(self.get(machine).and_then(|track| track.empty_since), now)
    }

    pub fn down_for(&self, machine: &Machine, now: Now) -> Duration {
        since(self.get(machine).and_then(|track| track.down_since), now)
    }

    /// How firmly its people hold it: the time each has been there, summed.
    pub fn stay(&self, machine: &Machine, now: Now) -> Duration {
        let came = self.get(machine).map_or(&[][..], |track| &track.came);
        let stay = |at: &Instant| now.instant.saturating_duration_since(*at);
        let stays = came.iter().map(|at| stay(at).clamp(STAY_MIN, STAY_MAX));
        stays.sum()
    }

    fn get(&self, machine: &Machine) -> Option<&Track> {
        let track = self.machines.get(&machine.id)?;
        (track.created == machine.created).then_some(track)
    }
}

impl Track {
    fn new(machine: &Machine, now: Now) -> Self {
        Self {
            created: machine.created,
            first_seen: now.instant,
            was_up: false,
            has_failed: false,
            down_since: None,
            empty_since: None,
            came: Vec::new(),
        }
    }
}

fn since(start: Option<Instant>, now: Now) -> Duration {
    start.map_or(Duration::ZERO, |start| {
        now.instant.saturating_duration_since(start)
    })
}
