//! What is believed of a look. Pure: looks go in, one after the other.
//!
//! Listings of clouds lag, page and err. A machine that one look leaves out may hold people, so it counts as gone only when a
//! second look leaves it out as well, unless it was on its way out. One that ran does not lose its address, and is off only
//! when the cloud says so, not when it does not say. A fleet that says it holds machines but lists none, or one machine twice,
//! contradicts itself: such a look is no look.

use std::collections::BTreeSet;

use crate::fleet::fault::FleetFault;
use crate::pool::{Machine, MachinePhase, Observed};

/// The machines believed in, and those that the last look left out.
#[derive(Default)]
pub(super) struct Steady {
    machines: Vec<Machine>,
    left_out: BTreeSet<(String, u64)>,
}

impl Steady {
    /// The look with what it left out by mistake.
    ///
    /// # Errors
    /// It contradicts itself.
    pub fn believe(&mut self, mut seen: Observed) -> Result<Observed, FleetFault> {
        if seen.machines.is_empty() && seen.capacity > 0 {
            let capacity = seen.capacity;
            return Err(FleetFault::Transient(format!(
                "the cloud says it holds {capacity} machines and lists none"
            )));
        }
        let names: BTreeSet<_> = seen.machines.iter().map(|one| &one.id.name).collect();
        if names.len() < seen.machines.len() {
            let what = "the cloud lists two machines under one name";
            return Err(FleetFault::Transient(what.into()));
        }
        for machine in &mut seen.machines {
            let is_same =
                |old: &&Machine| old.id == machine.id && old.generation == machine.generation;
            if let Some(old) = self.machines.iter().find(is_same) {
                remember(old, machine);
            }
        }
        let missing = self.machines.iter().filter(|old| {
            let is_listed = seen.machines.iter().any(|one| one.id == old.id);
            !is_listed && old.phase != MachinePhase::Deleting
        });
        let key = |one: &Machine| (one.id.name.to_string(), one.generation);
        let kept: Vec<_> = missing
            .filter(|old| !self.left_out.contains(&key(old)))
            .cloned()
            .collect();
        self.left_out = kept.iter().map(key).collect();
        seen.machines.extend(kept);
        seen.machines.sort_by(|a, b| a.id.cmp(&b.id));
        self.machines.clone_from(&seen.machines);
        Ok(seen)
    }
}

/// Fills in what a look at the same machine left out.
fn remember(old: &Machine, machine: &mut Machine) {
    if machine.address.is_none() {
        machine.address.clone_from(&old.address);
    }
    // Nothing that ran is being created; what failed and is off is told to be off.
    let says_nothing = matches!(machine.phase, MachinePhase::Creating | MachinePhase::Failed);
    if old.phase == MachinePhase::Running && says_nothing {
        machine.phase = old.phase;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::InstanceId;
    use std::time::UNIX_EPOCH;

    fn look(capacity: u32, names: &[&str]) -> Observed {
        let machine = |name: &&str| Machine {
            id: InstanceId {
                pool: "main".into(),
                name: (*name).into(),
            },
            generation: 1,
            phase: MachinePhase::Running,
            created: UNIX_EPOCH,
            is_spot: false,
            is_protected: false,
            is_latest_model: true,
            address: Some("10.0.0.4".into()),
        };
        Observed {
            capacity,
            version: "1".into(),
            machines: names.iter().map(machine).collect(),
            hindrances: Vec::new(),
            at: UNIX_EPOCH,
        }
    }

    fn names(seen: &Observed) -> Vec<&str> {
        seen.machines.iter().map(|one| &*one.id.name).collect()
    }

    #[test]
    fn a_machine_is_gone_when_two_looks_leave_it_out() {
        let mut steady = Steady::default();
        steady.believe(look(2, &["a", "b"])).unwrap();
        assert_eq!(names(&steady.believe(look(1, &["b"])).unwrap()), ["a", "b"]);
        assert_eq!(names(&steady.believe(look(1, &["b"])).unwrap()), ["b"]);
        steady.believe(look(2, &["a", "b"])).unwrap();
        assert_eq!(names(&steady.believe(look(0, &[])).unwrap()), ["a", "b"]);
        assert_eq!(
            names(&steady.believe(look(0, &[])).unwrap()),
            [] as [&str; 0]
        );
    }

    #[test]
    fn coming_back_forgives_one_absence() {
        let mut steady = Steady::default();
        steady.believe(look(1, &["a"])).unwrap();
        steady.believe(look(0, &[])).unwrap();
        steady.believe(look(1, &["a"])).unwrap();
        assert_eq!(names(&steady.believe(look(0, &[])).unwrap()), ["a"]);
    }

    #[test]
    fn what_is_being_deleted_may_vanish_at_once() {
        let mut steady = Steady::default();
        let mut last = look(1, &["a"]);
        last.machines[0].phase = MachinePhase::Deleting;
        steady.believe(last).unwrap();
        assert!(steady.believe(look(0, &[])).unwrap().machines.is_empty());
    }

    #[test]
    fn contradictions_are_no_looks() {
        let mut steady = Steady::default();
        steady.believe(look(2, &["a", "b"])).unwrap();
        assert!(steady.believe(look(2, &[])).is_err());
        assert!(steady.believe(look(2, &["a", "a"])).is_err());
        assert_eq!(names(&steady.believe(look(1, &["b"])).unwrap()), ["a", "b"]);
    }

    #[test]
    fn another_machine_takes_its_name_at_once() {
        let mut steady = Steady::default();
        steady.believe(look(1, &["a"])).unwrap();
        let mut next = look(1, &["a"]);
        next.machines[0].generation = 2;
        let seen = steady.believe(next).unwrap();
        assert_eq!(seen.machines.len(), 1);
        assert_eq!(seen.machines[0].generation, 2);
    }

    #[test]
    fn what_ran_is_off_only_when_the_cloud_says_so() {
        let mut steady = Steady::default();
        steady.believe(look(1, &["a"])).unwrap();
        let mut vague = look(1, &["a"]);
        vague.machines[0].address = None;
        vague.machines[0].phase = MachinePhase::Failed;
        let seen = steady.believe(vague.clone()).unwrap();
        assert_eq!(seen, look(1, &["a"]));
        let mut off = vague.clone();
        off.machines[0].phase = MachinePhase::Stopped;
        let seen = steady.believe(off).unwrap();
        assert_eq!(seen.machines[0].phase, MachinePhase::Stopped);
        vague.machines[0].generation = 2;
        let seen = steady.believe(vague.clone()).unwrap();
        assert_eq!(seen, vague, "another machine is what it is said to be");
    }
}
