//! The plan for one pool at one moment: how many machines it should have, which come, which go, and why.
//!
//! Seats are counted, not processor time: people who wait are demand, and a machine nobody can be sent to is no supply.
//! More is done at once and in one write, less only by draining what has been too much for a while. Whoever carries the
//! plan out has `lint` look at it first.

use crate::pool::Now;

use super::facts::Facts;
use super::freeze::{self, Freeze};
use super::history::History;
use super::plan::Plan;
use super::policy_config::PolicyConfig;
use super::situation::{Draft, Situation};
use super::{grow, shrink};

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
