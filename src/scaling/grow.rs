//! The way out of too few seats: machines that drain first, then those that are off, then new ones.
//!
//! As many as are missing, in one write. No stabilisation: somebody waits, or soon would.

use std::cmp::Reverse;

use super::plan::Action;
use super::situation::{Draft, Situation};
use super::supply::Role;

pub(super) fn grow(situation: &Situation<'_>, draft: &mut Draft) {
    let free = situation.supply.free();
    let by_seats = situation.demand.free().saturating_sub(free);
    let coming = situation.supply.coming();
    let by_count = situation.bounds.min.saturating_sub(coming);
    if by_seats == 0 && by_count == 0 {
        return;
    }
    let room = situation.bounds.max.saturating_sub(coming);
    if room == 0 {
        draft.notes.push(format!(
            "{by_seats} seats are missing, and max is {}",
            situation.bounds.max
        ));
        return;
    }
    let mut want = Want {
        seats: by_seats,
        machines: by_count,
        room,
    };
    let reason = match (by_seats, situation.demand.waiting) {
        (0, _) => at_least(situation),
        (_, 0) => format!(
            "{} free seats are wanted, and there are {free}",
            situation.demand.free()
        ),
        (_, 1) => format!("somebody waits, and {free} seats are free or on their way"),
        (_, waiting) => format!("{waiting} people wait, and {free} seats are free or on their way"),
    };
    undrain(situation, &mut want, draft, &reason);
    if situation.is_throttled() {
        if !want.is_met() {
            draft
                .notes
                .push("the cloud takes no orders for a while".to_owned());
        }
    } else {
        start(situation, &mut want, draft, &reason);
        request(situation, &mut want, draft, &reason);
    }
    let done = room.saturating_sub(want.room);
    let desired = coming.saturating_add(done).max(draft.desired);
    draft.desired = desired.clamp(situation.bounds.min, situation.bounds.max);
}

fn at_least(situation: &Situation<'_>) -> String {
    let min = situation.bounds.min;
    let order = situation.order.filter(|order| order.machines >= min);
    order.map_or_else(
        || format!("there should be at least {min}"),
        |order| order.words(situation.now),
    )
}

/// What is still missing.
struct Want {
    seats: u32,
    machines: u32,
    /// Machines there may still be more in service.
    room: u32,
}

impl Want {
    fn is_met(&self) -> bool {
        (self.seats == 0 && self.machines == 0) || self.room == 0
    }

    fn take(&mut self, machines: u32, seats: u32) {
        self.seats = self.seats.saturating_sub(seats);
        self.machines = self.machines.saturating_sub(machines);
        self.room = self.room.saturating_sub(machines);
    }

    /// How many machines of this capacity.
    fn count(&self, capacity: u32) -> u32 {
        let by_seats = self.seats.div_ceil(capacity.max(1));
        by_seats.max(self.machines).min(self.room)
    }
}

fn undrain(situation: &Situation<'_>, want: &mut Want, draft: &mut Draft, reason: &str) {
    let mut draining: Vec<_> = situation.supply.with(Role::Draining).collect();
    draining.sort_by_key(|one| (Reverse(one.seats()), &one.machine.id));
    for one in draining {
        if want.is_met() {
            return;
        }
        // A full one would not help whoever waits.
        if one.free() == 0 && want.machines == 0 {
            continue;
        }
        draft.step(Action::Undrain(one.machine.id.clone()), reason);
        want.take(1, one.free());
    }
}

fn start(situation: &Situation<'_>, want: &mut Want, draft: &mut Draft, reason: &str) {
    let mut ids = Vec::new();
    let mut off: Vec<_> = situation.supply.with(Role::Off).collect();
    off.sort_by_key(|one| (Reverse(one.machine.is_latest_model), &one.machine.id));
    for one in off {
        if want.is_met() {
            break;
        }
        ids.push(one.machine.id.clone());
        want.take(1, one.capacity);
    }
    if !ids.is_empty() {
        draft.step(Action::Start(ids), reason);
    }
}

fn request(situation: &Situation<'_>, want: &mut Want, draft: &mut Draft, reason: &str) {
    let by = want.count(situation.facts.capacity);
    if by == 0 {
        return;
    }
    let bounds = [
        (
            situation.config.grow_max,
            "as many as are asked for at once",
        ),
        (
            situation
                .bounds
                .max
                .saturating_sub(situation.supply.existing()),
            "as many as max leaves beside machines that drain",
        ),
        (
            hourly_rest(situation),
            "as many as are asked for within an hour",
        ),
        (budget_rest(situation), "as many as the month's hours allow"),
        (
            retry_rest(situation),
            "as many as are tried while boots fail",
        ),
    ];
    let mut allowed = by;
    for (bound, words) in bounds {
        if bound < allowed {
            draft
                .notes
                .push(format!("{by} machines are missing: {bound} are {words}"));
            allowed = bound;
        }
    }
    if allowed > 0 {
        draft.step(Action::Grow { by: allowed }, reason);
        want.take(allowed, allowed.saturating_mul(situation.facts.capacity));
    }
}

fn hourly_rest(situation: &Situation<'_>) -> u32 {
    let grown = situation.history.grown_hourly(situation.now);
    situation.config.grow_hourly_max.saturating_sub(grown)
}

/// Whatever is there goes on to be paid for; nothing is begun that could not be.
fn budget_rest(situation: &Situation<'_>) -> u32 {
    let budget = situation.config.monthly_hours;
    let budget = budget.map(|hours| u64::from(hours) * 3600);
    match budget {
        Some(budget) if situation.history.month_seconds() >= budget => 0,
        _ => u32::MAX,
    }
}

/// After boots have failed in a row: none until it is time to try again, then one.
fn retry_rest(situation: &Situation<'_>) -> u32 {
    match situation.history.retry(situation.now) {
        Some(false) => 0,
        Some(true) => 1,
        None => u32::MAX,
    }
}
