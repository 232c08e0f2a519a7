//! What of the metrics is read from the pool's snapshot when they are asked for.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::UNIX_EPOCH;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Gauges, PREFIX};
use crate::pool::snapshot::InstanceView;
use crate::pool::{AdminState, Health, Protocol, Snapshot};

/// The gauges that only a snapshot knows, in a registry that lives for one answer: an instance that is gone leaves no trace.
pub(super) fn seen_in(snapshot: &Snapshot) -> Registry {
    let seen = Seen::default();
    for pool in &snapshot.pools {
        let labels = [("pool", pool.name.to_string())];
        let headroom = seen.headroom.get_or_create(&labels);
        headroom.set(pool.headroom.into());
        let of_pool = snapshot.sessions.iter();
        let of_pool = of_pool.filter(|session| session.pool == pool.name);
        let people: BTreeSet<_> = of_pool
            .filter_map(|session| session.user.as_ref())
            .collect();
        let count = i64::try_from(people.len()).unwrap_or(i64::MAX);
        seen.people.get_or_create_owned(&labels).set(count);
    }
    for instance in &snapshot.instances {
        let labels = of_instance(&instance.pool, &instance.name);
        let load = seen.load.get_or_create(&labels);
        load.set(instance.load.into());
        let capacity = seen.capacity.get_or_create(&labels);
        capacity.set(instance.capacity.into());
        if let Some(hub) = instance.hub {
            seen.hub_people
                .get_or_create_owned(&labels)
                .set(hub.people.into());
            seen.hub_direct
                .get_or_create_owned(&labels)
                .set(hub.direct.into());
        }
        if let Some(measured) = &instance.measured {
            let ratio = seen.measured.get_or_create_owned(&labels);
            ratio.set(f64::from(measured.load_percent) / 100.0);
            let kept = seen.kept.get_or_create_owned(&labels);
            kept.set(measured.kept.into());
        }
        seen.note_states(instance, &labels);
        seen.note_drain(instance, &labels);
        for protocol in [Protocol::Ssh, Protocol::Jupyter] {
            // Written even where it is 0, so that a graph falls to 0 and does not end.
            let labels = with(&labels, "protocol", protocol.name());
            seen.sessions.get_or_create_owned(&labels);
        }
    }
    for session in &snapshot.sessions {
        let labels = of_instance(&session.pool, &session.instance);
        let labels = with(&labels, "protocol", session.protocol.name());
        seen.sessions.get_or_create(&labels).inc();
    }
    let mut registry = Registry::with_prefix(PREFIX);
    seen.register(&mut registry);
    registry
}

#[derive(Default)]
struct Seen {
    headroom: Gauges<1>,
    people: Gauges<1>,
    load: Gauges<2>,
    capacity: Gauges<2>,
    health: Gauges<3>,
    admin_state: Gauges<3>,
    hub_people: Gauges<2>,
    hub_direct: Gauges<2>,
    measured: Family<[(&'static str, String); 2], Gauge<f64, AtomicU64>>,
    kept: Gauges<2>,
    sessions: Gauges<3>,
    drain_sessions: Gauges<2>,
    drain_deadline: Gauges<2>,
}

impl Seen {
    /// One-hot: 1 for the state it is in, 0 for the others, so that sums and averages over instances mean something.
    fn note_states(&self, instance: &InstanceView, labels: &[(&'static str, String); 2]) {
        let states = [Health::Unknown, Health::Up, Health::NoLogins, Health::Down];
        for health in states {
            let labels = with(labels, "health", health.name());
            let is_in = self.health.get_or_create_owned(&labels);
            is_in.set((instance.health == health).into());
        }
        let states = [
            AdminState::Ready,
            AdminState::Cordoned,
            AdminState::Draining,
        ];
        for state in states {
            let labels = with(labels, "admin_state", state.name());
            let is_in = self.admin_state.get_or_create_owned(&labels);
            is_in.set((instance.admin_state == state).into());
        }
    }

    /// Of draining instances alone: what a drain waits for, and until when.
    fn note_drain(&self, instance: &InstanceView, labels: &[(&'static str, String); 2]) {
        if instance.admin_state != AdminState::Draining {
            return;
        }
        let left = self.drain_sessions.get_or_create_owned(labels);
        left.set(instance.sessions.into());
        let deadline = instance.deadline;
        if let Some(deadline) = deadline.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
            let seconds = i64::try_from(deadline.as_secs()).unwrap_or(i64::MAX);
            self.drain_deadline.get_or_create_owned(labels).set(seconds);
        }
    }

    fn register(self, to: &mut Registry) {
        let help = "Seats free over the routable instances of a pool";
        to.register("headroom", help, self.headroom);
        let help = "People with a session";
        to.register("people", help, self.people);
        let help = "Sessions that the drain of an instance waits for";
        to.register("drain_sessions", help, self.drain_sessions);
        let help = "When a drain's people are told to go, in seconds since 1970";
        to.register("drain_deadline_seconds", help, self.drain_deadline);
        let help = "Seats taken by proven people";
        to.register("instance_load", help, self.load);
        let help = "Sessions an instance may hold";
        to.register("instance_capacity", help, self.capacity);
        let help = "1 for the health an instance is in, 0 for the others";
        to.register("instance_health", help, self.health);
        let help = "1 for the admin state an instance is in, 0 for the others";
        to.register("instance_admin_state", help, self.admin_state);
        to.register("sessions", "Sessions of any stage", self.sessions);
        let help = "People with a server, as the instance's hub says";
        to.register("hub_people", help, self.hub_people);
        let help = "Those of them whom the gate does not know there";
        to.register("hub_direct_people", help, self.hub_direct);
        let help = "How busy an instance's machine is, as a share of what it has";
        to.register("instance_measured_ratio", help, self.measured);
        let help = "What people left running on an instance";
        to.register("instance_kept", help, self.kept);
    }
}

fn of_instance(pool: &str, instance: &str) -> [(&'static str, String); 2] {
    [("pool", pool.to_owned()), ("instance", instance.to_owned())]
}

fn with(
    labels: &[(&'static str, String); 2],
    name: &'static str,
    value: &str,
) -> [(&'static str, String); 3] {
    let [pool, instance] = labels.clone();
    [pool, instance, (name, value.to_owned())]
}
