//! What the pool costs: machine time by what it was for, and each person's share of it.
//!
//! Integrates what is observed: between two observations everything is taken to be as the first found it. Money is a
//! matter of prices; time is what is counted. A ledger can be written down and read back: it then goes on from where it was.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pool::cost::{CostView, HoursView, MonthCost, PersonCost};
use crate::pool::rfc3339;
use crate::pool::{Health, InstanceId, MachinePhase, Now, SessionView, Stage};

use super::facts::{InstanceFacts, Occupancy};

/// Longer gaps are not known to have been like their beginning; this much of one is counted.
const GAP_MAX: Duration = Duration::from_secs(600);
/// A large university; written down they are half a megabyte.
const PEOPLE_MAX: usize = 10_000;
/// This month, and those that make a year to compare it with.
const MONTHS_MAX: usize = 13;

/// Machine time, summed over machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineTime {
    pub billed: Duration,
    /// With somebody on it.
    pub used: Duration,
    /// In service, and nobody on it.
    pub idle: Duration,
    /// Paid for before it takes a login.
    pub booting: Duration,
    /// Of `billed`, on machines at spot prices.
    pub spot: Duration,
}

/// Prices of an hour of a machine, in whatever money the operator thinks in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prices {
    pub regular: f64,
    pub spot: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    #[serde(with = "rfc3339::option")]
    since: Option<SystemTime>,
    total: MachineTime,
    /// By calendar month in UTC, such as `2026-11`.
    months: BTreeMap<String, MachineTime>,
    /// Each person's share of the machines they sat on.
    people: BTreeMap<Arc<str>, Duration>,
    /// The shares of those who found no room in `people`.
    others: Duration,
    observed: Option<Observed>,
    span: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Observed {
    #[serde(with = "rfc3339")]
    wall: SystemTime,
    /// What a clock that may be set cannot spoil; another process has another one.
    #[serde(skip)]
    instant: Option<Instant>,
    rate: Rate,
    shares: BTreeMap<Arc<str>, f64>,
}

/// Machines by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rate {
    used: u32,
    idle: u32,
    booting: u32,
    /// Billed, and of no use: ill, or switched off from within.
    lost: u32,
    spot: u32,
}

impl Ledger {
    /// Counts the time since the last observation, and returns what machine time that was.
    pub fn observe<'a>(
        &mut self,
        instances: &[InstanceFacts],
        sessions: impl Iterator<Item = &'a SessionView>,
        now: Now,
    ) -> MachineTime {
        self.since.get_or_insert(now.wall);
        let before = self.observed.replace(Observed {
            wall: now.wall,
            instant: Some(now.instant),
            rate: Rate::of(instances),
            shares: shares(sessions),
        });
        before.map_or_else(MachineTime::default, |before| self.count(before, now))
    }

    fn count(&mut self, before: Observed, now: Now) -> MachineTime {
        let passed = before.until(now).min(GAP_MAX);
        self.span = self.span.saturating_add(passed);
        let time = before.rate.over(passed);
        self.total.add(time);
        if let Some(month) = month_of(before.wall) {
            self.months.entry(month).or_default().add(time);
        }
        while self.months.len() > MONTHS_MAX {
            self.months.pop_first();
        }
        for (user, share) in before.shares {
            let person = self.people.entry(user).or_default();
            *person = person.saturating_add(passed.mul_f64(share.clamp(0.0, MACHINES_MAX)));
        }
        if self.people.len() > PEOPLE_MAX {
            self.merge_least();
        }
        time
    }

    /// Takes a tenth of the people off the list, those with the least time.
    fn merge_least(&mut self) {
        let mut times: Vec<_> = self
            .people
            .iter()
            .map(|(user, time)| (*time, user.clone()))
            .collect();
        times.sort_unstable();
        let surplus = times.len().saturating_sub(PEOPLE_MAX / 10 * 9);
        for (time, user) in times.into_iter().take(surplus) {
            self.people.remove(&user);
            self.others = self.others.saturating_add(time);
        }
    }

    /// Machine time of the calendar month so far that this moment is in, in UTC.
    pub fn month(&self, wall: SystemTime) -> MachineTime {
        let month = month_of(wall).and_then(|month| self.months.get(&month));
        month.copied().unwrap_or_default()
    }

    pub fn total(&self) -> MachineTime {
        self.total
    }

    pub fn people(&self) -> &BTreeMap<Arc<str>, Duration> {
        &self.people
    }

    /// Machine time that so many machines, always on, would have had beyond this; negative where they would have had less.
    pub fn saved_hours(&self, always_on: u32) -> f64 {
        hours(self.span) * f64::from(always_on) - hours(self.total.billed)
    }

    /// Plain figures for operators; `None` before the first observation. `always_on`: the machines to compare with.
    pub fn view(&self, pool: &str, prices: Prices, always_on: u32) -> Option<CostView> {
        let price = self.total.price(prices);
        let named = self
            .people
            .values()
            .copied()
            .fold(self.others, Duration::saturating_add);
        let people = self.people.iter().map(|(user, time)| PersonCost {
            user: user.clone(),
            hours: rounded_hours(*time),
            cost: rounded_money(hours(*time) * price),
        });
        let months = self.months.iter().map(|(month, time)| MonthCost {
            month: month.clone(),
            hours: time.view(),
            cost: rounded_money(time.cost(prices)),
        });
        Some(CostView {
            pool: pool.into(),
            since: self.since?,
            span_h: rounded_hours(self.span),
            hours: self.total.view(),
            saved_h: rounded(self.saved_hours(always_on), 1e3),
            cost: rounded_money(self.total.cost(prices)),
            price: rounded(price, 1e6),
            people: people.collect(),
            others_h: rounded_hours(self.others),
            unused_h: rounded_hours(self.total.billed.saturating_sub(named)),
            months: months.collect(),
        })
    }

    /// One line a person and one for what nobody used: `person,machine_hours,cost`.
    pub fn csv(&self, prices: Prices) -> String {
        self.view("", prices, 0)
            .map_or_else(String::new, |view| view.csv())
    }
}

/// More than any pool may have; what was read from a file may say anything.
const MACHINES_MAX: f64 = 10_000.0;

impl Observed {
    fn until(&self, now: Now) -> Duration {
        match self.instant {
            Some(instant) => now.instant.saturating_duration_since(instant),
            None => now.wall.duration_since(self.wall).unwrap_or_default(),
        }
    }
}

impl Rate {
    fn of(instances: &[InstanceFacts]) -> Self {
        let mut rate = Self::default();
        let billed = instances.iter().filter(|one| one.machine.phase.is_billed());
        for one in billed {
            let count = rate.count_of(one);
            *count = count.saturating_add(1);
            rate.spot = rate.spot.saturating_add(u32::from(one.machine.is_spot));
        }
        rate
    }

    /// Where a machine counts.
    fn count_of(&mut self, one: &InstanceFacts) -> &mut u32 {
        match (one.occupancy, one.machine.phase) {
            (Occupancy::Seats(1..) | Occupancy::Unknown, _) => &mut self.used,
            (_, MachinePhase::Creating | MachinePhase::Booting) => &mut self.booting,
            (_, MachinePhase::Running) if one.health == Health::Up => &mut self.idle,
            (_, MachinePhase::Running) if one.health == Health::Unknown => &mut self.booting,
            _ => &mut self.lost,
        }
    }

    fn over(self, passed: Duration) -> MachineTime {
        let time = |machines| passed.saturating_mul(machines);
        let (used, idle, booting) = (time(self.used), time(self.idle), time(self.booting));
        let useful = used.saturating_add(idle).saturating_add(booting);
        MachineTime {
            billed: useful.saturating_add(time(self.lost)),
            used,
            idle,
            booting,
            spot: time(self.spot),
        }
    }
}

impl MachineTime {
    fn add(&mut self, more: Self) {
        let add = |sum: &mut Duration, more| *sum = sum.saturating_add(more);
        add(&mut self.billed, more.billed);
        add(&mut self.used, more.used);
        add(&mut self.idle, more.idle);
        add(&mut self.booting, more.booting);
        add(&mut self.spot, more.spot);
    }

    /// Billed, and of no use.
    pub fn lost(&self) -> Duration {
        let useful = self.used.saturating_add(self.idle);
        self.billed
            .saturating_sub(useful.saturating_add(self.booting))
    }

    pub fn cost(&self, prices: Prices) -> f64 {
        let spot = hours(self.spot);
        (hours(self.billed) - spot) * prices.regular + spot * prices.spot
    }

    /// Of an hour, in the mean.
    fn price(&self, prices: Prices) -> f64 {
        let billed = hours(self.billed);
        match billed > 0.0 {
            true => self.cost(prices) / billed,
            false => 0.0,
        }
    }

    fn view(&self) -> HoursView {
        HoursView {
            billed_h: rounded_hours(self.billed),
            used_h: rounded_hours(self.used),
            idle_h: rounded_hours(self.idle),
            booting_h: rounded_hours(self.booting),
            lost_h: rounded_hours(self.lost()),
            spot_h: rounded_hours(self.spot),
        }
    }
}

pub fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

/// To some seconds.
fn rounded_hours(time: Duration) -> f64 {
    rounded(hours(time), 1e3)
}

fn rounded_money(sum: f64) -> f64 {
    rounded(sum, 1e4)
}

fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

fn month_of(wall: SystemTime) -> Option<String> {
    let at = Timestamp::try_from(wall).ok()?;
    Some(at.strftime("%Y-%m").to_string())
}

/// People who sit on a machine together share it by their sessions. A name that is only claimed has no share.
fn shares<'a>(sessions: impl Iterator<Item = &'a SessionView>) -> BTreeMap<Arc<str>, f64> {
    let mut by_instance: BTreeMap<InstanceId, Vec<&Arc<str>>> = BTreeMap::new();
    for session in sessions.filter(|session| session.stage != Stage::Provisional) {
        let id = InstanceId {
            pool: session.pool.clone(),
            name: session.instance.clone(),
        };
        if let Some(user) = &session.user {
            by_instance.entry(id).or_default().push(user);
        }
    }
    let mut shares = BTreeMap::new();
    for people in by_instance.into_values() {
        let share = 1.0 / f64::from(u32::try_from(people.len()).unwrap_or(u32::MAX).max(1));
        for user in people {
            *shares.entry(user.clone()).or_default() += share;
        }
    }
    shares
}

#[cfg(test)]
mod tests;
