//! What the controller is about, as operators read it: told to the pool each round, looked ahead now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use super::{Controller, Facts, Plan};
use crate::pool::{Foreseen, Intent, Now};
use crate::scaling::foresight::foresee;
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
        };
        self.tools.pool.intend(&self.config.pool, intent);
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

/// The nearest: what is said should change only when something has.
fn to_the_minute(at: SystemTime) -> Option<SystemTime> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let minutes = since.as_secs().saturating_add(30) / 60;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(minutes.saturating_mul(60)))
}
