//! Is this plan safe? Asked of every plan right before it is carried out, whatever made it, with facts of that moment.
//!
//! Knows the rules and not the policy: it shares no judgement with what it checks. A plan with one fault is not carried
//! out at all.

use std::collections::BTreeSet;

use crate::pool::{AdminState, Decider, Health, InstanceId, MachinePhase, Now};

use super::facts::{Facts, InstanceFacts, Occupancy};
use super::plan::{Action, Plan};
use super::policy_config::PolicyConfig;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{0} names no machine: the whole set would be meant")]
    NoId(&'static str),
    #[error("{0} is not in the cloud's listing")]
    NotListed(InstanceId),
    #[error("{0} is named twice")]
    Twice(InstanceId),
    #[error("{id} may not be {verb}: {why}")]
    Held {
        id: InstanceId,
        verb: &'static str,
        why: String,
    },
    #[error("{0} would be removed with {1} people on it")]
    InUse(InstanceId, u32),
    #[error("{0} would be removed, and nobody knows who is on it")]
    Uncounted(InstanceId),
    #[error("{0} would be removed and is not drained")]
    NotDrained(InstanceId),
    #[error("{0} is not drained by an earlier plan")]
    NotOurs(InstanceId),
    #[error("{0} is not switched off")]
    NotOff(InstanceId),
    #[error("{left} machines would be left in service, and min is {min}")]
    BelowMin { left: u32, min: u32 },
    #[error("there would be {would} machines, and max is {max}")]
    AboveMax { would: u32, max: u32 },
    #[error("{desired} machines are aimed at, and the phase has from {min} to {max}")]
    DesiredOutOfBounds { desired: u32, min: u32, max: u32 },
    #[error("more is asked for and less in one plan")]
    BothWays,
    #[error("to grow by nothing is no step")]
    NoGrowth,
    #[error("the plan says that nothing may be drained or removed, and does")]
    Frozen,
    #[error("the cloud's listing is {0} s old")]
    Stale(u64),
    #[error("what is known is contradictory: {0}")]
    Contradictory(String),
    #[error("an older gate (pid {0}) may hold sessions on any machine, and has not told yet")]
    Unheard(u32),
}

/// Every fault of a plan.
///
/// # Errors
/// When it has any; it may then not be carried out.
pub fn check(
    plan: &Plan,
    facts: &Facts,
    config: &PolicyConfig,
    now: Now,
) -> Result<(), Vec<Fault>> {
    let mut lint = Lint {
        facts,
        now,
        faults: Vec::new(),
    };
    lint.names(plan);
    lint.single_steps(plan);
    lint.bounds(plan, config);
    lint.knowledge(plan, config);
    match lint.faults.is_empty() {
        true => Ok(()),
        false => Err(lint.faults),
    }
}

struct Lint<'a> {
    facts: &'a Facts,
    now: Now,
    faults: Vec<Fault>,
}

impl<'a> Lint<'a> {
    fn names(&mut self, plan: &Plan) {
        let mut seen = BTreeSet::new();
        for step in &plan.steps {
            match &step.action {
                Action::Start(ids) if ids.is_empty() => self.faults.push(Fault::NoId("start")),
                Action::Remove(ids) if ids.is_empty() => self.faults.push(Fault::NoId("remove")),
                Action::Grow { by: 0 } => self.faults.push(Fault::NoGrowth),
                _ => {}
            }
            for id in step.action.ids() {
                if !seen.insert(id) {
                    self.faults.push(Fault::Twice(id.clone()));
                }
                if self.find(id).is_none() {
                    self.faults.push(Fault::NotListed(id.clone()));
                }
            }
        }
    }

    fn single_steps(&mut self, plan: &Plan) {
        for step in &plan.steps {
            for id in step.action.ids() {
                let Some(one) = self.find(id) else { continue };
                match &step.action {
                    Action::Remove(_) => self.remove(one),
                    Action::Drain(_) => self.drain(one),
                    Action::Undrain(_) => self.undrain(one),
                    Action::Start(_) => self.start(one),
                    Action::Grow { .. } => {}
                }
            }
        }
    }

    fn remove(&mut self, one: &InstanceFacts) {
        let id = &one.machine.id;
        let fault = match one.occupancy {
            Occupancy::Seats(seats) if seats > 0 => Some(Fault::InUse(id.clone(), seats)),
            Occupancy::Unknown => Some(Fault::Uncounted(id.clone())),
            Occupancy::Seats(_) if one.admin_state != AdminState::Draining => {
                Some(Fault::NotDrained(id.clone()))
            }
            Occupancy::Seats(_) | Occupancy::Outside => None,
        };
        self.faults.extend(fault);
        self.hold(one, "removed");
    }

    /// Machines the cloud takes away are closed whoever keeps them: nobody should be sent there.
    fn drain(&mut self, one: &InstanceFacts) {
        if !leaves(one) || one.decided_by == Decider::Admin {
            self.hold(one, "drained");
        }
    }

    fn undrain(&mut self, one: &InstanceFacts) {
        let is_ours = one.decided_by == Decider::Policy;
        if !is_ours || one.admin_state != AdminState::Draining || one.leaves_at.is_some() {
            self.faults.push(Fault::NotOurs(one.machine.id.clone()));
        }
    }

    fn start(&mut self, one: &InstanceFacts) {
        if one.machine.phase != MachinePhase::Deallocated {
            self.faults.push(Fault::NotOff(one.machine.id.clone()));
        }
    }

    fn hold(&mut self, one: &InstanceFacts, verb: &'static str) {
        if let Some(why) = one.hold(self.now.wall) {
            let id = one.machine.id.clone();
            self.faults.push(Fault::Held { id, verb, why });
        }
    }

    fn bounds(&mut self, plan: &Plan, config: &PolicyConfig) {
        let (_, phase) = config.schedule.at(self.now.wall);
        let bounds = self.facts.bounds(phase, self.now);
        let (min, max) = (bounds.min, bounds.max);
        if plan.desired < min || plan.desired > max {
            let desired = plan.desired;
            self.faults
                .push(Fault::DesiredOutOfBounds { desired, min, max });
        }
        let steps = plan.steps.iter().map(|step| &step.action);
        let grown = steps.clone().filter_map(|action| match action {
            Action::Grow { by } => Some(*by),
            _ => None,
        });
        let grown: u32 = grown.fold(0, u32::saturating_add);
        let would = self.existing().saturating_add(grown);
        if grown > 0 && would > max {
            self.faults.push(Fault::AboveMax { would, max });
        }
        // A machine that leaves or does not work is in nobody's service.
        let serving = |one: &&InstanceFacts| one.health == Health::Up && !leaves(one);
        let given_up = steps.clone().filter_map(|action| match action {
            Action::Drain(id) => self.find(id),
            _ => None,
        });
        let given_up = given_up.filter(serving).count();
        let taken_back = steps.clone().filter_map(|action| match action {
            Action::Undrain(id) => self.find(id),
            _ => None,
        });
        let taken_back = taken_back.filter(serving).count();
        let open = |one: &&InstanceFacts| serving(one) && one.admin_state == AdminState::Ready;
        let left = self.facts.instances.iter().filter(open).count();
        let left = (left + taken_back).saturating_sub(given_up);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        if given_up > 0 && left < min {
            self.faults.push(Fault::BelowMin { left, min });
        }
    }

    fn knowledge(&mut self, plan: &Plan, config: &PolicyConfig) {
        let is_less = |action: &Action| match action {
            Action::Remove(_) => true,
            // To close a machine the cloud takes away is no loss.
            Action::Drain(id) => self.find(id).is_some_and(|one| !leaves(one)),
            Action::Undrain(_) | Action::Start(_) | Action::Grow { .. } => false,
        };
        let is_more = |action: &Action| matches!(action, Action::Grow { .. } | Action::Start(_));
        let less = plan.steps.iter().any(|step| is_less(&step.action));
        let more = plan.steps.iter().any(|step| is_more(&step.action));
        if less && more {
            self.faults.push(Fault::BothWays);
        }
        if less && plan.frozen.is_some() {
            self.faults.push(Fault::Frozen);
        }
        if let Some(pid) = self.facts.unheard.first().filter(|_| less) {
            self.faults.push(Fault::Unheard(*pid));
        }
        if self.facts.listing_age > config.stale_after && !plan.steps.is_empty() {
            let age_s = self.facts.listing_age.as_secs();
            self.faults.push(Fault::Stale(age_s));
        }
        if let Some(what) = self.facts.contradiction.as_ref().filter(|_| less || more) {
            self.faults.push(Fault::Contradictory(what.clone()));
        }
    }

    fn existing(&self) -> u32 {
        let there = self.facts.instances.iter();
        let there = there.filter(|one| one.machine.phase != MachinePhase::Deleting);
        let there = u32::try_from(there.count()).unwrap_or(u32::MAX);
        there.saturating_add(self.facts.requested)
    }

    fn find(&self, id: &InstanceId) -> Option<&'a InstanceFacts> {
        let mut all = self.facts.instances.iter();
        all.find(|one| one.machine.id == *id)
    }
}

/// The cloud takes it away, whatever is done.
fn leaves(one: &InstanceFacts) -> bool {
    one.leaves_at.is_some() || one.machine.phase == MachinePhase::Stopping
}
