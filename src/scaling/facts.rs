//! What is known when a plan is made: each machine as the cloud lists it, joined with what the pool knows of it.
//!
//! Not knowing is a value of its own: an instance whose people cannot be counted counts as busy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::pool::{AdminState, Decider, Health, InstanceView, Machine, Now, Snapshot};

use super::order::{Order, hold};
use super::schedule::Bounds;

#[derive(Clone, Debug)]
pub struct Facts {
    pub pool: Arc<str>,
    pub instances: Vec<InstanceFacts>,
    /// People who wait for a seat.
    pub waiting: u32,
    /// Machines asked for and not listed yet.
    pub requested: u32,
    /// Seats of a machine that is still to come.
    pub capacity: u32,
    /// Since when the cloud's listing is what it is.
    pub listing_age: Duration,
    /// What in the listing cannot be true.
    pub contradiction: Option<String>,
    /// How long this process has counted sessions: just started, it has not heard of everybody.
    pub counted_for: Duration,
    /// Processes of gates of before that have not told whom they hold.
    pub unheard: Vec<u32>,
    /// The cloud takes no order before.
    pub writes_after: Option<Instant>,
    /// What an operator asked for.
    pub order: Option<Order>,
}

#[derive(Clone, Debug)]
pub struct InstanceFacts {
    pub machine: Machine,
    pub occupancy: Occupancy,
    /// Sessions it may hold.
    pub capacity: u32,
    pub admin_state: AdminState,
    /// Whose decision `admin_state` is.
    pub decided_by: Decider,
    pub health: Health,
    /// The cloud has said it takes the machine away then.
    pub leaves_at: Option<SystemTime>,
    /// A person asked for it to stay until then.
    pub keep_until: Option<SystemTime>,
    /// What runs there without a session, such as a job in the background.
    pub busy_with: Option<String>,
}

/// How many people sit there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// The pool does not know the machine: nobody was ever sent there.
    Outside,
    /// Seats taken by sessions of any stage and by people only the hub knows.
    Seats(u32),
    /// Nobody can tell; counts as busy.
    Unknown,
}

/// What only the controller knows of an instance, beside the listing and the pool.
#[derive(Clone, Debug, Default)]
pub struct Remarks {
    pub leaves_at: Option<SystemTime>,
    pub busy_with: Option<String>,
}

impl Facts {
    /// The order that is in force.
    pub fn order(&self, now: Now) -> Option<Order> {
        self.order.filter(|order| order.is_in_force(now))
    }

    /// What a phase allows, as far as the operator's order leaves it.
    pub fn bounds(&self, phase: Bounds, now: Now) -> Bounds {
        let order = self.order(now);
        order.map_or(phase, |order| hold(phase, order.machines))
    }
}

impl InstanceFacts {
    /// Joins what the cloud, the pool and the controller know.
    pub fn join(
        machine: Machine,
        view: Option<&InstanceView>,
        remarks: Remarks,
        capacity: u32,
    ) -> Self {
        let admin_state = view.map_or(AdminState::Ready, |view| view.admin_state);
        Self {
            machine,
            occupancy: view.map_or(Occupancy::Outside, occupancy),
            capacity: view.map_or(capacity, |view| view.capacity),
            admin_state,
            decided_by: view.map_or(Decider::Nobody, |view| view.decided_by),
            health: view.map_or(Health::Unknown, |view| view.health),
            leaves_at: remarks.leaves_at,
            keep_until: view
                .and_then(|view| view.keep.as_ref())
                .map(|keep| keep.until),
            busy_with: remarks.busy_with,
        }
    }

    /// Nobody is there, for certain.
    pub fn is_empty(&self) -> bool {
        matches!(self.occupancy, Occupancy::Outside | Occupancy::Seats(0))
    }

    /// Seats taken, as far as can be told.
    pub fn seats(&self) -> u32 {
        match self.occupancy {
            Occupancy::Seats(seats) => seats,
            Occupancy::Outside | Occupancy::Unknown => 0,
        }
    }

    pub fn free(&self) -> u32 {
        match self.occupancy {
            Occupancy::Unknown => 0,
            _ => self.capacity.saturating_sub(self.seats()),
        }
    }

    /// Why it may not be drained or removed, whoever sits there.
    pub fn hold(&self, now: SystemTime) -> Option<String> {
        if self.machine.is_protected {
            return Some("it is protected in the cloud".to_owned());
        }
        if self.decided_by == Decider::Admin {
            return Some("an operator decided about it".to_owned());
        }
        if self.keep_until.is_some_and(|until| until > now) {
            return Some("a person keeps it".to_owned());
        }
        let busy = self.busy_with.as_ref();
        busy.map(|what| format!("it is busy with {what}"))
    }
}

/// Views of one pool by the instance's name.
pub fn views<'a>(snapshot: &'a Snapshot, pool: &'a str) -> BTreeMap<&'a str, &'a InstanceView> {
    let views = snapshot.instances_of(pool);
    views.map(|view| (&*view.name, view)).collect()
}

/// A hub that has stopped answering may hide people, and one that starts a server has somebody about to come.
fn occupancy(view: &InstanceView) -> Occupancy {
    let Some(hub) = view.hub else {
        return Occupancy::Seats(view.sessions);
    };
    let seats = view.sessions.saturating_add(hub.direct);
    match hub.is_stale {
        true => Occupancy::Unknown,
        false => Occupancy::Seats(seats.max(u32::from(hub.pending > 0))),
    }
}
