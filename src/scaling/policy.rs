//! The plan for one pool at one moment: how many machines it should have, which come, which go, and why.
//!
//! Seats are counted, not processor time: people who wait are demand, and a machine nobody can be sent to is no supply.
//! More is done at once and in one write, less only by draining what has been too much for a while. Whoever carries the
//! plan out has `lint` look at it first.

use std::time::{Duration, Instant};

use crate::pool::{Now, PlacementPolicy};

use super::demand::Demand;
use super::facts::Facts;
use super::freeze::{self, Freeze};
use super::history::{History, Peak};
use super::order::Order;
use super::plan::{Action, Plan, Step};
use super::schedule::{Bounds, Schedule};
use super::supply::Supply;
use super::{grow, shrink};

/// How a pool is resized; from config, already validated.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    pub schedule: Schedule,
    /// A machine nobody is on may go after so long.
    pub idle: Duration,
    /// What was needed within this time is not given up.
    pub stabilise: Duration,
    /// After machines were asked for, none is drained for so long.
    pub cool_down: Duration,
    /// At most so many seats are kept free for people who are likely to come while a machine boots.
    pub learned_seats_max: u32,
    /// How long a boot takes until some have been measured.
    pub boot_estimate: Duration,
    /// A machine that takes no login so long after it was asked for has failed.
    pub boot_timeout: Duration,
    /// Machines asked for at once.
    pub grow_max: u32,
    /// Machines asked for within an hour.
    pub grow_hourly_max: u32,
    /// Machines with people on them that drain at once.
    pub drain_max: u32,
    /// Machine-hours a calendar month may have, in UTC; `None`: any number.
    pub monthly_hours: Option<u32>,
    /// A listing older than this is not believed.
    pub stale_after: Duration,
}

impl PolicyConfig {
    /// The defaults of the configuration.
    pub fn new(schedule: Schedule) -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            schedule,
            idle: minutes(15),
            stabilise: minutes(10),
            cool_down: minutes(10),
            learned_seats_max: 16,
            boot_estimate: minutes(5),
            boot_timeout: minutes(15),
            grow_max: 10,
            grow_hourly_max: 60,
            drain_max: 10,
            monthly_hours: None,
            stale_after: minutes(3),
        }
    }
}

/// What the steps of a plan are made from.
pub(super) struct Situation<'a> {
    pub facts: &'a Facts,
    pub history: &'a History,
    pub config: &'a PolicyConfig,
    pub now: Now,
    pub bounds: Bounds,
    /// An operator's, in force.
    pub order: Option<Order>,
    pub supply: Supply<'a>,
    pub demand: Demand,
}

impl<'a> Situation<'a> {
    pub fn new(facts: &'a Facts, history: &'a History, config: &'a PolicyConfig, now: Now) -> Self {
        let (_, phase) = config.schedule.at(now.wall);
        let supply = Supply::of(facts, history, config, now);
        let demand = Demand::of(facts, &supply, history, config, now);
        Self {
            facts,
            history,
            config,
            now,
            bounds: facts.bounds(phase, now),
            order: facts.order(now),
            supply,
            demand,
        }
    }

    pub fn is_throttled(&self) -> bool {
        let after = self.facts.writes_after;
        after.is_some_and(|after: Instant| after > self.now.instant)
    }
}

/// A plan being made.
pub(super) struct Draft {
    pub desired: u32,
    pub steps: Vec<Step>,
    pub notes: Vec<String>,
}

impl Draft {
    pub fn step(&mut self, action: Action, reason: impl Into<String>) {
        let reason = reason.into();
        self.steps.push(Step { action, reason });
    }
}

pub fn plan(facts: &Facts, history: &History, config: &PolicyConfig, now: Now) -> Plan {
    let situation = Situation::new(facts, history, config, now);
    let (phase, _) = config.schedule.at(now.wall);
    let bounds = situation.bounds;
    let mut draft = Draft {
        desired: situation.needed().clamp(bounds.min, bounds.max),
        steps: Vec::new(),
        notes: vec![format!("phase {phase}: {}", situation.demand)],
    };
    let order = situation.order.map(|order| order.words(now));
    draft.notes.extend(order);
    let freeze = freeze::judge(&situation);
    if !matches!(freeze, Some(Freeze::All(_))) {
        shrink::rescue(&situation, &mut draft);
        grow::grow(&situation, &mut draft);
        if freeze.is_none() && draft.steps.is_empty() {
            shrink::shrink(&situation, &mut draft);
        }
    }
    Plan {
        desired: draft.desired,
        placement: situation.placement(),
        steps: draft.steps,
        notes: draft.notes,
        frozen: freeze.map(Freeze::into_reason),
    }
}

impl Situation<'_> {
    /// Machines that hold the most people there were for a while, filled one after the other.
    pub fn needed(&self) -> u32 {
        self.supply
            .machines_for(self.peak().total, self.facts.capacity)
    }

    /// The most that was wanted within the stabilisation time; who gives an order does not wait for that to pass.
    pub fn peak(&self) -> Peak {
        match self.order {
            Some(_) => self.demand.peak(),
            None => self.history.peak(self.demand.peak(), self.config, self.now),
        }
    }

    /// `auto` packs while there are more machines than there must be, so that the others empty and can go; where none could
    /// go, people are spread.
    fn placement(&self) -> PlacementPolicy {
        let may_free_one = self.supply.in_service() > self.bounds.min.max(1);
        match self.bounds.placement {
            PlacementPolicy::Auto if may_free_one => PlacementPolicy::Pack,
            PlacementPolicy::Auto => PlacementPolicy::Spread,
            chosen => chosen,
        }
    }
}
