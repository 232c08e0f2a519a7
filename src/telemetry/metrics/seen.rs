//! What of the metrics is read from the pool's snapshot when they are asked for.

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
            let percent = seen.measured.get_or_create_owned(&labels);
            percent.set(measured.load_percent.into());
            let kept = seen.kept.get_or_create_owned(&labels);
            kept.set(measured.kept.into());
        }
        seen.note_states(instance, &labels);
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
    load: Gauges<2>,
    capacity: Gauges<2>,
    health: Gauges<3>,
    admin_state: Gauges<3>,
    hub_people: Gauges<2>,
    hub_direct: Gauges<2>,
    measured: Gauges<2>,
    kept: Gauges<2>,
    sessions: Gauges<3>,
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

    fn register(self, to: &mut Registry) {
        let help = "Seats free over the routable instances of a pool";
        to.register("headroom", help, self.headroom);
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
        let help = "How busy an instance's machine is, in percent of what it has";
        to.register("instance_measured_percent", help, self.measured);
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
