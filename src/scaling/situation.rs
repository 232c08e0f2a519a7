//! What the steps of a plan are made from, and the draft they write.

use std::time::Instant;

use crate::pool::{Now, PlacementPolicy};

use super::demand::Demand;
use super::facts::Facts;
use super::history::{History, Peak};
use super::order::Order;
use super::plan::{Action, Step};
use super::policy_config::PolicyConfig;
use super::schedule::Bounds;
use super::supply::Supply;

/// What the steps of a plan are made from.
pub struct Situation<'a> {
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
pub struct Draft {
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
    pub fn placement(&self) -> PlacementPolicy {
        let may_free_one = self.supply.in_service() > self.bounds.min.max(1);
        match self.bounds.placement {
            PlacementPolicy::Auto if may_free_one => PlacementPolicy::Pack,
            PlacementPolicy::Auto => PlacementPolicy::Spread,
            chosen => chosen,
        }
    }
}
