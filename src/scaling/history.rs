//! What plans need to know of the past: demand of the last hour, how long boots take, what was asked for and when.
//!
//! Told by `observe` before each plan and by `executed` after it. All of it is bounded, and none of it must survive a
//! restart but the month's machine time and the boots that were measured: without the rest the policy keeps more and waits
//! longer before it gives anything up.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use crate::pool::{Machine, Now};

use super::demand::Demand;
use super::facts::Facts;
use super::plan::{Action, Plan};
use super::policy_config::PolicyConfig;
use super::situation::Situation;
use super::tracks::Tracks;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Demand is kept by the minute, so many.
const MINUTES: usize = 60;
/// Minutes to learn from, at least.
const RISES_MIN: usize = 20;
/// The wall clock may differ so much from the monotonic one between two observations.
const CLOCK_SLACK: Duration = Duration::from_secs(120);
/// Between two observations the state is taken to be the first's, for no longer than this.
const GAP_MAX: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Default)]
pub struct History {
    tracks: Tracks,
    minutes: VecDeque<Minute>,
    /// Machines asked for within the last hour.
    grown: VecDeque<(Instant, u32)>,
    last_out: Option<Instant>,
    last_swap: Option<Instant>,
    clock: Option<Now>,
    /// Until when the wall clock is in doubt, and by how much it jumped.
    jump: Option<(Instant, Duration)>,
    /// How many people were there when a booking's seats began to be held.
    bookings: BTreeMap<Timestamp, u32>,
    month: Month,
}

/// The most that was wanted within a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// Seats in all.
    pub total: u32,
    /// Seats free.
    pub free: u32,
}

#[derive(Clone, Copy, Debug)]
struct Minute {
    start: Instant,
    peak: Peak,
    /// People there and waiting, at its end.
    people: u32,
}

/// Machine time of a calendar month in UTC.
#[derive(Clone, Debug, Default)]
struct Month {
    begun: Option<(i16, i8)>,
    spent: Duration,
    /// Machines that are paid for since the last observation.
    billed: u32,
}

impl History {
    /// Takes in what is known, before a plan is made of it.
    pub fn observe(&mut self, facts: &Facts, config: &PolicyConfig, now: Now) {
        self.watch_clock(facts, config, now);
        self.tracks.observe(facts, config.boot_timeout, now);
        let people = Situation::new(facts, self, config, now).demand.present();
        self.open_bookings(people, config, now);
        let demand = Situation::new(facts, self, config, now).demand;
        self.note(demand, now);
        let is_old = |at: Instant| now.instant.saturating_duration_since(at) >= HOUR;
        self.grown.retain(|(at, _)| !is_old(*at));
    }

    /// What an earlier run counted of this month, which the budget is measured against.
    pub fn resume_month(&mut self, spent: Duration) {
        self.month.spent = self.month.spent.saturating_add(spent);
    }

    /// The plan has been carried out.
    pub fn executed(&mut self, plan: &Plan, now: Now) {
        let has = |is: fn(&Action) -> bool| plan.steps.iter().any(|step| is(&step.action));
        if has(|action| matches!(action, Action::Undrain(_)))
            && has(|action| matches!(action, Action::Drain(_)))
        {
            self.last_swap = Some(now.instant);
        }
        for step in &plan.steps {
            let grown = match &step.action {
                Action::Grow { by } => *by,
                Action::Start(ids) => u32::try_from(ids.len()).unwrap_or(u32::MAX),
                Action::Undrain(_) | Action::Drain(_) | Action::Remove(_) => continue,
            };
            self.grown.push_back((now.instant, grown));
            self.last_out = Some(now.instant);
        }
    }

    /// The most that was wanted within the stabilisation time, `present` included.
    pub(super) fn peak(&self, present: Peak, config: &PolicyConfig, now: Now) -> Peak {
        let is_recent = |minute: &&Minute| {
            now.instant.saturating_duration_since(minute.start) < config.stabilise + MINUTE
        };
        let recent = self.minutes.iter().filter(is_recent);
        recent.fold(present, |peak, minute| peak.or(minute.peak))
    }

    /// How many more people than before there were after the time of a boot, in nine of ten cases of the last hour.
    pub fn rise(&self, config: &PolicyConfig) -> u32 {
        let span = self.boot(config).as_secs().div_ceil(60).max(1);
        let span = usize::try_from(span).unwrap_or(MINUTES);
        let people: Vec<u32> = self.minutes.iter().map(|minute| minute.people).collect();
        let rise = |window: &[u32]| {
            let (first, rest) = window.split_first()?;
            let most = rest.iter().max()?;
            Some(most.saturating_sub(*first))
        };
        let windows = people.windows(span.saturating_add(1));
        let mut rises: Vec<u32> = windows.filter_map(rise).collect();
        // One class that comes is no habit.
        if rises.len() < RISES_MIN {
            return 0;
        }
        rises.sort_unstable();
        let at = rises.len().saturating_mul(9) / 10;
        rises.get(at).copied().unwrap_or(0)
    }

    /// How long a boot takes, in nine of ten cases.
    pub fn boot(&self, config: &PolicyConfig) -> Duration {
        self.tracks.boot().unwrap_or(config.boot_estimate)
    }

    /// The same, where one was measured.
    pub fn measured_boot(&self) -> Option<Duration> {
        self.tracks.boot()
    }

    /// The boots that were measured last, the oldest first.
    pub fn boots(&self) -> impl Iterator<Item = Duration> {
        self.tracks.boots()
    }

    /// Boots that an earlier run measured.
    pub fn resume_boots(&mut self, boots: impl Iterator<Item = Duration>) {
        self.tracks.resume_boots(boots);
    }

    /// Boots that failed since one succeeded.
    pub fn failures(&self) -> u32 {
        self.tracks.failures()
    }

    pub fn was_up(&self, machine: &Machine) -> bool {
        self.tracks.was_up(machine)
    }

    /// Since it was first listed.
    pub fn age(&self, machine: &Machine, now: Now) -> Duration {
        self.tracks.age(machine, now)
    }

    pub fn empty_for(&self, machine: &Machine, now: Now) -> Duration {
        self.tracks.empty_for(machine, now)
    }

    /// How firmly its people hold it: the time each has been there, summed.
    pub fn stay(&self, machine: &Machine, now: Now) -> Duration {
        self.tracks.stay(machine, now)
    }

    pub fn down_for(&self, machine: &Machine, now: Now) -> Duration {
        self.tracks.down_for(machine, now)
    }

    pub fn grew_within(&self, span: Duration, now: Now) -> bool {
        let last = self.last_out;
        last.is_some_and(|at| now.instant.saturating_duration_since(at) < span)
    }

    /// When machines were last asked for.
    pub fn last_grown(&self) -> Option<Instant> {
        self.last_out
    }

    /// A machine that drained took the place of another.
    pub fn swapped_within(&self, span: Duration, now: Now) -> bool {
        let last = self.last_swap;
        last.is_some_and(|at| now.instant.saturating_duration_since(at) < span)
    }

    /// Machines asked for within an hour.
    pub fn grown_hourly(&self, now: Now) -> u32 {
        let age = |at: &Instant| now.instant.saturating_duration_since(*at);
        let recent = self.grown.iter().filter(|(at, _)| age(at) < HOUR);
        recent.fold(0, |sum, (_, by)| sum.saturating_add(*by))
    }

    /// Machine time of this month so far.
    pub fn month_seconds(&self) -> u64 {
        self.month.spent.as_secs()
    }

    /// How far the clock has just jumped.
    pub fn doubts_clock(&self, now: Now) -> Option<Duration> {
        let (until, by) = self.jump?;
        (now.instant < until).then_some(by)
    }

    /// Boots fail in a row: whether it is time to try one. `None` if all is well.
    pub fn retry(&self, now: Now) -> Option<bool> {
        self.tracks.retry(self.last_out, now)
    }

    /// Booked seats whose people have not come: everybody who came since the seats are held counts as one of them.
    pub(super) fn reserved(&self, present: u32, config: &PolicyConfig, now: Now) -> u32 {
        let held = config.schedule.bookings(now.wall, self.lead(config));
        let rest = held.iter().map(|booking| {
            let before = self.bookings.get(&booking.begins).copied();
            let came = present.saturating_sub(before.unwrap_or(present));
            booking.seats.saturating_sub(came)
        });
        rest.fold(0, u32::saturating_add)
    }

    /// Machines for a booking are asked for two boots before it begins.
    fn lead(&self, config: &PolicyConfig) -> Duration {
        self.boot(config).saturating_mul(2)
    }

    fn open_bookings(&mut self, people: u32, config: &PolicyConfig, now: Now) {
        let held = config.schedule.bookings(now.wall, self.lead(config));
        let is_held = |begins: &Timestamp| held.iter().any(|booking| booking.begins == *begins);
        self.bookings.retain(|begins, _| is_held(begins));
        for booking in &held {
            self.bookings.entry(booking.begins).or_insert(people);
        }
    }

    fn note(&mut self, demand: Demand, now: Now) {
        let is_current =
            |minute: &&mut Minute| now.instant.saturating_duration_since(minute.start) < MINUTE;
        if let Some(minute) = self.minutes.back_mut().filter(is_current) {
            minute.peak = minute.peak.or(demand.peak());
            minute.people = demand.present();
            return;
        }
        self.minutes.push_back(Minute {
            start: now.instant,
            peak: demand.peak(),
            people: demand.present(),
        });
        if self.minutes.len() > MINUTES {
            self.minutes.pop_front();
        }
    }

    fn watch_clock(&mut self, facts: &Facts, config: &PolicyConfig, now: Now) {
        let billed = facts.instances.iter();
        let billed = billed.filter(|one| one.machine.phase.is_billed()).count();
        let billed = u32::try_from(billed).unwrap_or(u32::MAX);
        let Some(before) = self.clock.replace(now) else {
            self.month.billed = billed;
            return;
        };
        let passed = now.instant.saturating_duration_since(before.instant);
        let expected = before.wall.checked_add(passed).unwrap_or(before.wall);
        let by = now.wall.duration_since(expected);
        let by = by.unwrap_or_else(|error| error.duration());
        if by > CLOCK_SLACK {
            self.jump = Some((now.instant + config.stabilise, by));
        }
        if self.doubts_clock(now).is_none() {
            self.month.turn(now.wall);
        }
        self.month.spend(passed.min(GAP_MAX));
        self.month.billed = billed;
    }
}

impl Month {
    fn turn(&mut self, wall: SystemTime) {
        let wall = Timestamp::try_from(wall).unwrap_or_default();
        let date = wall.to_zoned_datetime(jiff::tz::TimeZone::UTC).date();
        let month = (date.year(), date.month());
        if self.begun.replace(month).is_some_and(|old| old != month) {
            self.spent = Duration::ZERO;
        }
    }

    fn spend(&mut self, passed: Duration) {
        let spent = passed.saturating_mul(self.billed);
        self.spent = self.spent.saturating_add(spent);
    }
}

impl Peak {
    fn or(self, other: Self) -> Self {
        Self {
            total: self.total.max(other.total),
            free: self.free.max(other.free),
        }
    }
}
