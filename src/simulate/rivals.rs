//! Other minds to compare with: what people use where there is no Poolgate. Each sees the same facts.
//!
//! They are given the best of it: seats stand for processor time, and logins go to the least loaded machine.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::pool::{AdminState, Health, Now, PlacementPolicy};
use crate::scaling::plan::{Action, Plan, Step};
use crate::scaling::{Facts, History, InstanceFacts, PolicyConfig, plan};

/// Who decides how big the pool is.
#[derive(Clone, Debug)]
pub enum Mind {
    /// The policy of this program.
    Policy(Box<History>),
    /// So many machines, day and night.
    AlwaysOn(u32),
    /// Azure Monitor's usual rules: above 75 % one more, below 35 % one less, the one with the highest name.
    CpuRules(CpuRules),
    /// Azure Virtual Desktop's: every 15 minutes, 75 % of the seats as threshold, a tenth of the machines at least.
    Thresholds(Option<Instant>),
}

#[derive(Clone, Debug, Default)]
pub struct CpuRules {
    loads: VecDeque<(Instant, u32)>,
    last: Option<Instant>,
}

const HIGH_PERCENT: u32 = 75;
const LOW_PERCENT: u32 = 35;
const WINDOW: Duration = Duration::from_secs(300);
const COOL_DOWN: Duration = Duration::from_secs(300);
const PERIOD: Duration = Duration::from_secs(900);

impl Mind {
    pub fn policy() -> Self {
        Self::Policy(Box::default())
    }

    /// The usual ones, with as many machines as the busiest moment needs.
    pub fn rivals(machines: u32) -> [Self; 3] {
        [
            Self::AlwaysOn(machines),
            Self::CpuRules(CpuRules::default()),
            Self::Thresholds(None),
        ]
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Policy(_) => "poolgate",
            Self::AlwaysOn(_) => "always-on",
            Self::CpuRules(_) => "cpu 75/35 %",
            Self::Thresholds(_) => "avd 15 min",
        }
    }

    /// Only the policy asks whether its plans are safe.
    pub fn is_careful(&self) -> bool {
        matches!(self, Self::Policy(_))
    }

    pub fn decide(&mut self, facts: &Facts, config: &PolicyConfig, now: Now) -> Plan {
        match self {
            Self::Policy(history) => {
                history.observe(facts, config, now);
                plan(facts, history, config, now)
            }
            Self::AlwaysOn(machines) => {
                let missing = machines.saturating_sub(count(facts));
                let steps = (missing > 0).then_some(Action::Grow { by: missing });
                of(steps.into_iter().collect(), PlacementPolicy::Spread)
            }
            Self::CpuRules(rules) => of(rules.decide(facts, config, now), PlacementPolicy::Spread),
            Self::Thresholds(last) => {
                let is_due = last.is_none_or(|last| now.instant - last >= PERIOD);
                // "Start on connect": the first who comes does not wait for the next look.
                let is_first = facts.waiting > 0 && count(facts) == 0;
                if !is_due && !is_first {
                    return of(Vec::new(), PlacementPolicy::Pack);
                }
                *last = Some(now.instant);
                of(thresholds(facts, config, now), PlacementPolicy::Pack)
            }
        }
    }
}

impl CpuRules {
    fn decide(&mut self, facts: &Facts, config: &PolicyConfig, now: Now) -> Vec<Action> {
        let (_, bounds) = config.schedule.at(now.wall);
        let up: Vec<_> = facts.instances.iter().filter(|one| is_up(one)).collect();
        let seats: u32 = up.iter().map(|one| one.capacity).sum();
        let taken: u32 = up.iter().map(|one| one.seats()).sum();
        let load = (taken * 100).checked_div(seats).unwrap_or(0);
        self.loads.push_back((now.instant, load));
        let is_old = |at: Instant| now.instant.saturating_duration_since(at) > WINDOW;
        while self.loads.front().is_some_and(|(at, _)| is_old(*at)) {
            self.loads.pop_front();
        }
        let there = count(facts);
        if there == 0 {
            return vec![Action::Grow { by: 1 }];
        }
        let cools = self.last.is_some_and(|last| now.instant - last < COOL_DOWN);
        let samples = u32::try_from(self.loads.len()).unwrap_or(1).max(1);
        let load = self.loads.iter().map(|(_, load)| *load).sum::<u32>() / samples;
        let others = there.saturating_sub(1);
        // Azure Monitor makes no scale-in that would be undone at once.
        let would_flap = load * there > HIGH_PERCENT * others;
        let action = if cools {
            None
        } else if load > HIGH_PERCENT && there < bounds.max {
            Some(Action::Grow { by: 1 })
        } else if load < LOW_PERCENT && there > 1 && !would_flap {
            let highest = up.iter().map(|one| &one.machine.id).max();
            highest.map(|id| Action::Remove(vec![id.clone()]))
        } else {
            None
        };
        if action.is_some() {
            self.last = Some(now.instant);
        }
        action.into_iter().collect()
    }
}

/// Starts while more than the threshold is used; stops what leaves no more than that used, empty ones at once and others
/// when they have drained.
fn thresholds(facts: &Facts, config: &PolicyConfig, now: Now) -> Vec<Action> {
    let (_, bounds) = config.schedule.at(now.wall);
    let least = bounds.max.div_ceil(10);
    let (mut draining, mut on): (Vec<_>, Vec<_>) = facts
        .instances
        .iter()
        .filter(|one| one.machine.phase.is_billed())
        .partition(|one| one.admin_state == AdminState::Draining);
    let taken: u32 = facts.instances.iter().map(InstanceFacts::seats).sum();
    let taken = taken + facts.waiting;
    let fits = |machines: u32| taken * 100 <= machines * facts.capacity * HIGH_PERCENT;
    let there = u32::try_from(on.len()).unwrap_or(0) + facts.requested;
    let mut actions = Vec::new();
    let wanted = (there..bounds.max).find(|machines| fits(*machines) && *machines >= least);
    let mut missing = wanted.unwrap_or(bounds.max).saturating_sub(there);
    draining.sort_by_key(|one| std::cmp::Reverse(one.seats()));
    while missing > 0 && !draining.is_empty() {
        actions.push(Action::Undrain(draining.remove(0).machine.id.clone()));
        missing -= 1;
    }
    if missing > 0 {
        actions.push(Action::Grow { by: missing });
        return actions;
    }
    let gone = draining.iter().filter(|one| one.is_empty());
    let gone: Vec<_> = gone.map(|one| one.machine.id.clone()).collect();
    if !gone.is_empty() {
        actions.push(Action::Remove(gone));
    }
    on.retain(|one| is_up(one));
    on.sort_by_key(|one| one.seats());
    let spare = (least..there).rev().take_while(|machines| fits(*machines));
    for one in on.iter().take(spare.count()) {
        actions.push(Action::Drain(one.machine.id.clone()));
    }
    actions
}

fn is_up(one: &InstanceFacts) -> bool {
    one.health == Health::Up && one.machine.phase.is_billed()
}

/// Machines that are or will be there.
fn count(facts: &Facts) -> u32 {
    let there = facts.instances.iter();
    let there = there.filter(|one| one.machine.phase.is_billed()).count();
    u32::try_from(there).unwrap_or(u32::MAX) + facts.requested
}

fn of(actions: Vec<Action>, placement: PlacementPolicy) -> Plan {
    let step = |action| Step {
        action,
        reason: "its rule says so".to_owned(),
    };
    Plan {
        desired: 0,
        placement,
        steps: actions.into_iter().map(step).collect(),
        notes: Vec::new(),
        frozen: None,
    }
}
