//! What is counted where a pool is resized: machine time by what it was for, the size that is wanted, what was done about it.
//!
//! Only the controller counts here; pools that are not resized have none of these.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use super::{Gauges, Metrics, OwnedCounters};

type Seconds<const N: usize> = Family<[(&'static str, String); N], Counter<f64, AtomicU64>>;

#[derive(Default)]
pub(super) struct Resized {
    machine_seconds: Seconds<2>,
    desired: Gauges<1>,
    machines: Gauges<2>,
    frozen: Gauges<1>,
    steps: OwnedCounters<2>,
    faults: OwnedCounters<2>,
}

impl Resized {
    pub fn register(&self, to: &mut Registry) {
        let help = "Machine time that is paid for, by what it was for";
        let seconds = self.machine_seconds.clone();
        to.register_with_unit("machine", help, Unit::Seconds, seconds);
        let help = "Machines that a pool should have";
        to.register("scaling_desired", help, self.desired.clone());
        let help = "Machines that a pool's cloud lists, by where they are in their lives";
        to.register("scaling_machines", help, self.machines.clone());
        let help = "1 while nothing is done about a pool's size";
        to.register("scaling_frozen", help, self.frozen.clone());
        let help = "Steps taken about a pool's size";
        to.register("scaling_steps", help, self.steps.clone());
        let help = "What stood in the way of a step, or spoiled what is known of the machines";
        to.register("scaling_faults", help, self.faults.clone());
    }
}

impl Metrics {
    /// Machine time that is paid for; `use_name` is `used`, `idle`, `booting` or `lost`.
    pub fn count_machine_seconds(&self, pool: &str, use_name: &'static str, seconds: f64) {
        let labels = [("pool", pool.to_owned()), ("use", use_name.to_owned())];
        let counted = &self.inner.counted.resized.machine_seconds;
        counted
            .get_or_create_owned(&labels)
            .inc_by(seconds.max(0.0));
    }

    /// How many machines a pool should have, and whether nothing is done about it for the time being.
    pub fn set_scaling(&self, pool: &str, desired: u32, frozen: bool) {
        let labels = [("pool", pool.to_owned())];
        let resized = &self.inner.counted.resized;
        resized
            .desired
            .get_or_create_owned(&labels)
            .set(desired.into());
        resized
            .frozen
            .get_or_create_owned(&labels)
            .set(frozen.into());
    }

    /// How many machines are in a phase of their lives; to be said of each phase, with 0 where there are none.
    pub fn set_scaling_machines(&self, pool: &str, phase: &'static str, machines: u32) {
        let labels = [("pool", pool.to_owned()), ("phase", phase.to_owned())];
        let resized = &self.inner.counted.resized;
        resized
            .machines
            .get_or_create_owned(&labels)
            .set(machines.into());
    }

    /// A step was taken: `grow`, `start`, `drain`, `undrain`, `remove`, ...
    pub fn count_scaling_step(&self, pool: &str, action_name: &'static str) {
        let labels = [
            ("pool", pool.to_owned()),
            ("action", action_name.to_owned()),
        ];
        let steps = &self.inner.counted.resized.steps;
        steps.get_or_create_owned(&labels).inc();
    }

    /// Something stood in the way; `kind` is the fault's, as `poolgate_fleet_commands_total` has it, or the controller's own.
    pub fn count_fleet_fault(&self, pool: &str, kind: &'static str) {
        let labels = [("pool", pool.to_owned()), ("kind", kind.to_owned())];
        let faults = &self.inner.counted.resized.faults;
        faults.get_or_create_owned(&labels).inc();
    }
}
