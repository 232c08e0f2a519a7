//! Where people can be sent: each machine in exactly one of the roles it can have for a plan.

use std::cmp::Reverse;

use crate::pool::{AdminState, Decider, Health, MachinePhase, Now};

use super::facts::{Facts, InstanceFacts};
use super::history::History;
use super::policy_config::PolicyConfig;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// People are sent there.
    Serving,
    /// It will serve in a while.
    Booting,
    /// An earlier plan drains it; people could be sent there again.
    Draining,
    /// An operator cordoned or drains it.
    Held,
    /// The cloud takes it away.
    Leaving,
    /// It was up and takes no logins.
    Sick,
    /// It never came up in time.
    Failed,
    /// Switched off, and not billed.
    Off,
    /// Being deleted.
    Gone,
}

pub(super) struct Supply<'a> {
    machines: Vec<(Role, &'a InstanceFacts)>,
    /// Asked for and not listed yet.
    pub requested: u32,
    requested_seats: u32,
}

impl<'a> Supply<'a> {
    pub fn of(facts: &'a Facts, history: &History, config: &PolicyConfig, now: Now) -> Self {
        let roles = facts
            .instances
            .iter()
            .map(|one| (role(one, history, config, now), one));
        Self {
            machines: roles.collect(),
            requested: facts.requested,
            requested_seats: facts.requested.saturating_mul(facts.capacity),
        }
    }

    pub fn with(&self, role: Role) -> impl Iterator<Item = &'a InstanceFacts> {
        let of_role = move |one: &&(Role, &'a InstanceFacts)| one.0 == role;
        self.machines.iter().filter(of_role).map(|(_, one)| *one)
    }

    pub fn count(&self, role: Role) -> u32 {
        u32::try_from(self.with(role).count()).unwrap_or(u32::MAX)
    }

    /// Those that serve or will, without anything being done.
    pub fn coming(&self) -> u32 {
        self.in_service()
            .saturating_add(self.count(Role::Booting))
            .saturating_add(self.requested)
    }

    pub fn in_service(&self) -> u32 {
        self.count(Role::Serving)
    }

    /// Machines the cloud has: what `max` is a bound of.
    pub fn existing(&self) -> u32 {
        let there = self.machines.iter();
        let there = there.filter(|(role, _)| *role != Role::Gone).count();
        let there = u32::try_from(there).unwrap_or(u32::MAX);
        there.saturating_add(self.requested)
    }

    /// Free seats where people are sent or will be.
    pub fn free(&self) -> u32 {
        let free = |role| self.with(role).map(InstanceFacts::free).sum::<u32>();
        free(Role::Serving)
            .saturating_add(free(Role::Booting))
            .saturating_add(self.requested_seats)
    }

    /// Seats taken on machines that will stay or could.
    pub fn taken(&self) -> u32 {
        let taken = |role| self.with(role).map(InstanceFacts::seats).sum::<u32>();
        taken(Role::Serving).saturating_add(taken(Role::Draining))
    }

    /// People who will need another seat: their machine goes, or takes no logins.
    pub fn stranded(&self) -> u32 {
        let taken = |role| self.with(role).map(InstanceFacts::seats).sum::<u32>();
        taken(Role::Leaving).saturating_add(taken(Role::Sick))
    }

    /// How many machines hold so many seats, the fullest of those there are first.
    pub fn machines_for(&self, seats: u32, capacity: u32) -> u32 {
        let mut kept: Vec<_> = self.with(Role::Serving).collect();
        kept.extend(self.with(Role::Draining));
        kept.sort_by_key(|one| Reverse(one.seats()));
        let mut rest = seats;
        let mut count = 0_u32;
        for one in kept {
            if rest == 0 {
                return count;
            }
            rest = rest.saturating_sub(one.capacity);
            count = count.saturating_add(1);
        }
        count.saturating_add(rest.div_ceil(capacity.max(1)))
    }
}

fn role(one: &InstanceFacts, history: &History, config: &PolicyConfig, now: Now) -> Role {
    use MachinePhase::{Deallocated, Deleting, Stopped, Stopping};
    let was_up = history.was_up(&one.machine);
    let is_late = history.age(&one.machine, now) > config.boot_timeout;
    match (one.machine.phase, one.health) {
        (Deleting, _) => Role::Gone,
        (Deallocated, _) => Role::Off,
        _ if one.decided_by == Decider::Admin => Role::Held,
        _ if one.leaves_at.is_some() => Role::Leaving,
        (Stopping, _) => Role::Leaving,
        // The cloud's word counts for less than an answer.
        (_, Health::Up) if one.admin_state == AdminState::Draining => Role::Draining,
        (Stopped, _) => Role::Sick,
        (_, Health::Up) => Role::Serving,
        (MachinePhase::Failed, _) if !was_up => Role::Failed,
        (_, _) if was_up => Role::Sick,
        (_, _) if is_late => Role::Failed,
        (_, _) => Role::Booting,
    }
}
