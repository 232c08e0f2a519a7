//! What the pool costs: machine time by what it was for, and each person's share of it.
//!
//! Integrates what is observed: between two observations everything is taken to be as the first found it. Money is a
//! matter of prices; time is what is counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::{InstanceId, MachinePhase, SessionView};

use super::facts::{InstanceFacts, Occupancy};
use crate::pool::Health;

/// Longer gaps are not known to have been like their beginning; this much of one is counted.
const GAP_MAX: Duration = Duration::from_secs(600);

/// Machine time, summed over machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

#[derive(Clone, Debug, Default)]
pub struct Ledger {
    total: MachineTime,
    /// Each person's share of the machines they sat on.
    people: BTreeMap<Arc<str>, Duration>,
    observed: Option<Observed>,
    span: Duration,
}

#[derive(Clone, Debug)]
struct Observed {
    at: Instant,
    rate: Vec<(Use, bool)>,
    shares: Vec<(Arc<str>, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Used,
    Idle,
    Booting,
    /// Billed, and of no use: ill, or switched off from within.
    Lost,
}

impl Ledger {
    pub fn observe<'a>(
        &mut self,
        instances: &[InstanceFacts],
        sessions: impl Iterator<Item = &'a SessionView>,
        now: Instant,
    ) {
        if let Some(before) = self.observed.take() {
            let passed = now.saturating_duration_since(before.at).min(GAP_MAX);
            self.span = self.span.saturating_add(passed);
            for (what, is_spot) in &before.rate {
                self.total.add(*what, *is_spot, passed);
            }
            for (user, share) in before.shares {
                let person = self.people.entry(user).or_default();
                *person = person.saturating_add(passed.mul_f64(share));
            }
        }
        let billed = instances.iter().filter(|one| one.machine.phase.is_billed());
        self.observed = Some(Observed {
            at: now,
            rate: billed
                .map(|one| (use_of(one), one.machine.is_spot))
                .collect(),
            shares: shares(sessions),
        });
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

    /// One line a person and one for what nobody used: `person,machine_hours,cost`.
    pub fn csv(&self, prices: Prices) -> String {
        let mut text = String::from("person,machine_hours,cost\n");
        let price = self.total.price(prices);
        let mut rest = self.total.billed;
        for (person, time) in &self.people {
            rest = rest.saturating_sub(*time);
            // Names are an instance's business and may hold anything.
            let person = person.replace('"', "\"\"");
            let hours = hours(*time);
            let _ = writeln!(text, "\"{person}\",{hours:.3},{:.2}", hours * price);
        }
        let rest = hours(rest);
        let _ = writeln!(text, ",{rest:.3},{:.2}", rest * price);
        text
    }
}

impl MachineTime {
    fn add(&mut self, what: Use, is_spot: bool, passed: Duration) {
        let add = |sum: &mut Duration| *sum = sum.saturating_add(passed);
        add(&mut self.billed);
        match what {
            Use::Used => add(&mut self.used),
            Use::Idle => add(&mut self.idle),
            Use::Booting => add(&mut self.booting),
            Use::Lost => {}
        }
        if is_spot {
            add(&mut self.spot);
        }
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
}

pub fn hours(time: Duration) -> f64 {
    time.as_secs_f64() / 3600.0
}

fn use_of(one: &InstanceFacts) -> Use {
    match (one.occupancy, one.machine.phase) {
        (Occupancy::Seats(1..) | Occupancy::Unknown, _) => Use::Used,
        (_, MachinePhase::Creating | MachinePhase::Booting) => Use::Booting,
        (_, MachinePhase::Running) if one.health == Health::Up => Use::Idle,
        (_, MachinePhase::Running) if one.health == Health::Unknown => Use::Booting,
        _ => Use::Lost,
    }
}

/// People who sit on a machine together share it by their sessions.
fn shares<'a>(sessions: impl Iterator<Item = &'a SessionView>) -> Vec<(Arc<str>, f64)> {
    let mut by_instance: BTreeMap<InstanceId, Vec<&Arc<str>>> = BTreeMap::new();
    for session in sessions {
        let id = InstanceId {
            pool: session.pool.clone(),
            name: session.instance.clone(),
        };
        if let Some(user) = &session.user {
            by_instance.entry(id).or_default().push(user);
        }
    }
    let shared = by_instance.into_values().flat_map(|people| {
        let share = 1.0 / f64::from(u32::try_from(people.len()).unwrap_or(u32::MAX).max(1));
        people.into_iter().map(move |user| (user.clone(), share))
    });
    shared.collect()
}
