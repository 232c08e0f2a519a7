//! What the controller is about, as operators read it: told to the pool each round, looked ahead now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Controller, Facts, Plan};
use crate::pool::{Budget, Foreseen, Intent, Now, PhaseView};
use crate::scaling::foresight::foresee;
use crate::scaling::patience::{self, to_the_minute};
use crate::scaling::plan::Step;

/// Some twenty plans are made to look ahead, and what comes next seldom changes.
const LOOKED_EVERY: Duration = Duration::from_secs(15);

/// What was seen when somebody last looked ahead.
#[derive(Default)]
pub(super) struct Ahead {
    looked: Option<Instant>,
    next: Option<Foreseen>,
}

impl Controller {
    pub(super) fn publish_intent(&mut self, plan: &Plan, facts: &Facts, now: Now) {
        let mut machines = BTreeMap::new();
        for one in &facts.instances {
            let count: &mut u32 = machines.entry(one.machine.phase).or_default();
            *count = count.saturating_add(1);
        }
        let intent = Intent {
            desired: plan.desired,
            machines_max: self.config.policy.schedule.base.max,
            machines,
            steps: plan.steps.iter().map(words).collect(),
            next: self.look_ahead(plan, facts, now),
            notes: plan.notes.iter().map(|note| note.as_str().into()).collect(),
            frozen: plan.frozen.as_deref().map(Into::into),
            refused: self
                .told
                .refused
                .as_deref()
                .filter(|_| !plan.steps.is_empty())
                .map(Into::into),
            phase: Some(self.phase(now)),
            budget: self.config.policy.monthly_hours.map(|hours_max| Budget {
                hours_used: self.history.month_seconds() / 3600,
                hours_max,
            }),
            waits: patience::waits(plan, facts, &self.history, &self.config.policy, now),
            held: patience::held(facts, now),
        };
        self.tools.pool.intend(&self.config.pool, intent);
    }

    fn phase(&self, now: Now) -> PhaseView {
        let schedule = &self.config.policy.schedule;
        let (name, bounds) = schedule.at(now.wall);
        let next = schedule.next(now.wall);
        PhaseView {
            name: name.into(),
            min: bounds.min,
            max: bounds.max,
            headroom: bounds.headroom.to_string().into(),
            placement: bounds.placement,
            until: next.map(|(at, _)| at),
            then: next.map(|(_, name)| name.clone()),
        }
    }

    /// Nothing while something is being done, which changes what comes after it.
    fn look_ahead(&mut self, plan: &Plan, facts: &Facts, now: Now) -> Option<Foreseen> {
        if !plan.steps.is_empty() || plan.frozen.is_some() {
            self.ahead = Ahead::default();
            return None;
        }
        let is_fresh = |at: Instant| now.instant.saturating_duration_since(at) < LOOKED_EVERY;
        if !self.ahead.looked.is_some_and(is_fresh) {
            let found = foresee(facts, &self.history, &self.config.policy, now);
            let next = found.and_then(|(after, step)| {
                let at = to_the_minute(now.wall.checked_add(after)?)?;
                let step = words(&step);
                Some(Foreseen { at, step })
            });
            self.ahead = Ahead {
                looked: Some(now.instant),
                next,
            };
        }
        self.ahead.next.clone()
    }
}

fn words(step: &Step) -> std::sync::Arc<str> {
    step.to_string().into()
}
