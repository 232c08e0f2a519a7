//! The way out of too many machines: drain by exact name what has been too much for a while, remove what has drained.
//!
//! Nobody's session ends for it. A machine is given up only if what was needed within the stabilisation time fits into the
//! others, so that nothing asks for it again at once.

use std::time::Duration;

use crate::pool::Decider;
use crate::pool::decision::CLOUD_TAKES;

use super::facts::{InstanceFacts, Occupancy};
use super::plan::Action;
use super::situation::{Draft, Situation};
use super::supply::Role;

/// Between two swaps of machines, so that nobody is told something else all the time.
const SWAP_PAUSE: Duration = Duration::from_secs(1800);

/// Nobody new onto machines that are about to go or do not work; those that nobody is on are deleted.
pub(super) fn rescue(situation: &Situation<'_>, draft: &mut Draft) {
    for one in situation.supply.with(Role::Leaving) {
        if is_open(one) {
            let id = one.machine.id.clone();
            draft.step(Action::Drain(id), CLOUD_TAKES);
        }
    }
}

pub(super) fn shrink(situation: &Situation<'_>, draft: &mut Draft) {
    repair(situation, draft);
    drain(situation, draft);
    if draft.steps.is_empty() {
        swap(situation, draft);
    }
    if draft.steps.is_empty() && !situation.is_throttled() {
        remove(situation, draft);
    }
}

/// Machines that never came up or have been down for long are as good as not there.
fn repair(situation: &Situation<'_>, draft: &mut Draft) {
    let is_old = |one: &&InstanceFacts| {
        let down = situation.history.down_for(&one.machine, situation.now);
        down > situation.config.boot_timeout
    };
    let failed = situation.supply.with(Role::Failed);
    let sick = situation.supply.with(Role::Sick).filter(is_old);
    let words = [
        "it took no login in the time a boot may take",
        "it has taken no logins for longer than a boot may take",
    ];
    let failed = failed.map(|one| (one, words[0]));
    for (one, why) in failed.chain(sick.map(|one| (one, words[1]))) {
        let is_free = one.is_empty() && one.hold(situation.now.wall).is_none();
        if is_free && is_open(one) {
            draft.step(Action::Drain(one.machine.id.clone()), why);
        }
    }
}

fn drain(situation: &Situation<'_>, draft: &mut Draft) {
    if situation.supply.count(Role::Booting) > 0 || situation.supply.requested > 0 {
        return;
    }
    let draining = situation.supply.count(Role::Draining);
    let there = situation.supply.in_service().saturating_add(draining);
    let mut surplus = there.saturating_sub(draft.desired).saturating_sub(draining);
    let over_max = situation.supply.in_service() > situation.bounds.max;
    let cools = situation
        .history
        .grew_within(situation.config.cool_down, situation.now);
    let is_patient = situation.order.is_none() && !over_max;
    if surplus == 0 || (cools && is_patient) {
        return;
    }
    let busy = situation.supply.with(Role::Draining);
    let mut busy = u32::try_from(busy.filter(|one| !one.is_empty()).count()).unwrap_or(u32::MAX);
    let mut free = situation.supply.free();
    let mut left = situation.supply.in_service();
    let wanted = situation.peak().free;
    let emptied = match situation.order {
        None => emptied(situation),
        // It asks for no patience.
        Some(_) => 0,
    };
    for one in victims(situation) {
        let fits = free.saturating_sub(one.free()) >= wanted;
        let is_in_use = !one.is_empty();
        let waits = is_in_use && (busy >= situation.config.drain_max || surplus <= emptied);
        if surplus == 0 || left <= situation.bounds.min {
            return;
        }
        if waits || !(fits || over_max) {
            continue;
        }
        let seats = one.seats();
        let others = left.saturating_add(draining).saturating_sub(1);
        let order = situation.order.map(|order| order.words(situation.now));
        let reason = match (is_in_use, order) {
            (false, None) => "nobody has been on it for the idle time".to_owned(),
            (false, Some(order)) => format!("{order}, and nobody is on it"),
            (true, order) => {
                let order = order.map_or_else(String::new, |order| format!("{order}, and "));
                format!("{order}its {seats} people and all others fit into {others} machines")
            }
        };
        draft.step(Action::Drain(one.machine.id.clone()), reason);
        busy = busy.saturating_add(u32::from(is_in_use));
        free = free.saturating_sub(one.free());
        left = left.saturating_sub(1);
        surplus = surplus.saturating_sub(1);
    }
}

/// Those that nobody has been on for less than the idle time: they go before people are asked to.
fn emptied(situation: &Situation<'_>) -> u32 {
    let idle = |one: &InstanceFacts| situation.history.empty_for(&one.machine, situation.now);
    let serving = situation.supply.with(Role::Serving);
    let emptied = serving.filter(|one| {
        let is_free = one.is_empty() && one.hold(situation.now.wall).is_none();
        is_free && idle(one) < situation.config.idle
    });
    u32::try_from(emptied.count()).unwrap_or(u32::MAX)
}

/// A machine that drains and will be on for long yet serves in the place of one that should empty sooner: newcomers go
/// where somebody stays anyway.
fn swap(situation: &Situation<'_>, draft: &mut Draft) {
    let history = situation.history;
    let is_coming = situation.supply.count(Role::Booting) > 0 || situation.supply.requested > 0;
    if is_coming || history.swapped_within(SWAP_PAUSE, situation.now) {
        return;
    }
    let stay = |one: &InstanceFacts| history.stay(&one.machine, situation.now);
    let draining = situation.supply.with(Role::Draining);
    let with_seat = draining.filter(|one| one.free() > 0);
    let Some(firm) = with_seat.max_by_key(|one| (stay(one), &one.machine.id)) else {
        return;
    };
    let free = situation.supply.free().saturating_add(firm.free());
    let wanted = situation.peak().free;
    let loose = victims(situation).into_iter().find(|one| {
        let clearly = stay(one).saturating_mul(3) / 2;
        stay(firm) > clearly && free.saturating_sub(one.free()) >= wanted
    });
    let Some(loose) = loose else { return };
    let (firm, loose) = (&firm.machine.id, &loose.machine.id);
    let what = format!("its people will stay longer than those of {}", loose.name);
    draft.step(Action::Undrain(firm.clone()), what);
    let what = format!(
        "people are sent to {} instead, which will be on for longer",
        firm.name
    );
    draft.step(Action::Drain(loose.clone()), what);
}

/// Those that may be given up, first the one that should empty soonest: its people are few and came lately.
fn victims<'a>(situation: &Situation<'a>) -> Vec<&'a InstanceFacts> {
    let idle = |one: &InstanceFacts| situation.history.empty_for(&one.machine, situation.now);
    let may_go = |one: &&InstanceFacts| {
        one.occupancy != Occupancy::Unknown
            && one.hold(situation.now.wall).is_none()
            && (situation.order.is_some() || !one.is_empty() || idle(one) >= situation.config.idle)
    };
    let mut victims: Vec<_> = situation
        .supply
        .with(Role::Serving)
        .filter(may_go)
        .collect();
    victims.sort_by_cached_key(|one: &&'a InstanceFacts| {
        let machine = &one.machine;
        let stay = situation.history.stay(machine, situation.now);
        // Stays that hardly differ count as equal.
        let about = (stay.as_secs() / 60 + 1).ilog2();
        let fate = (about, machine.is_latest_model, !machine.is_spot);
        (fate, stay, machine.created, &machine.id)
    });
    victims
}

/// In one order, what earlier plans have drained and nobody is on.
fn remove(situation: &Situation<'_>, draft: &mut Draft) {
    let roles = [Role::Draining, Role::Sick, Role::Failed];
    let drained = roles
        .into_iter()
        .flat_map(|role| situation.supply.with(role));
    let drained = drained.filter(|one| {
        let never_used = one.occupancy == Occupancy::Outside;
        let is_drained = one.decided_by == Decider::Policy || never_used;
        one.is_empty() && is_drained && one.hold(situation.now.wall).is_none()
    });
    let ids: Vec<_> = drained.map(|one| one.machine.id.clone()).collect();
    if !ids.is_empty() {
        let reason = "they are drained, and nobody is on them";
        draft.step(Action::Remove(ids), reason);
    }
}

/// Whether people may still be sent there.
fn is_open(one: &InstanceFacts) -> bool {
    one.decided_by == Decider::Nobody && one.occupancy != Occupancy::Outside
}
