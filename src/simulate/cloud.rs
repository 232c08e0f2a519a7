//! The cloud of the virtual world: machines that come, boot and go, and listings that may lag behind or lie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::pool::{InstanceId, Machine, MachinePhase};

use super::faults::Fate;

/// Deleting takes a while, and is not paid for.
pub(super) const DELETION: Duration = Duration::from_secs(45);

#[derive(Clone, Debug)]
pub(super) struct Unit {
    pub machine: Machine,
    pub fate: Fate,
    /// It boots or has booted, and answers.
    pub answers: bool,
    /// Billed since then.
    on_since: Option<Duration>,
    /// Its deletion failed.
    pub is_back: bool,
}

#[derive(Debug, Default)]
pub(super) struct Cloud {
    pub units: BTreeMap<InstanceId, Unit>,
    /// What the last good listing said.
    pub listing: Vec<Machine>,
    pub listed: Duration,
    pub writes: u32,
    last: u32,
    billed_before: Duration,
}

impl Cloud {
    /// Machines appear at once, and boot.
    pub fn grow(
        &mut self,
        pool: &Arc<str>,
        wall: SystemTime,
        at: Duration,
        fate: Fate,
    ) -> InstanceId {
        self.last = self.last.saturating_add(1);
        let id = InstanceId {
            pool: pool.clone(),
            name: format!("m{:04}", self.last).into(),
        };
        let machine = Machine {
            id: id.clone(),
            generation: u64::from(self.last),
            phase: MachinePhase::Creating,
            created: wall,
            is_spot: false,
            is_protected: false,
            is_latest_model: true,
            address: None,
        };
        let unit = Unit {
            machine,
            fate,
            answers: false,
            on_since: Some(at),
            is_back: false,
        };
        self.units.insert(id.clone(), unit);
        id
    }

    /// It is paid for no longer; false if it was being deleted already.
    pub fn end(&mut self, id: &InstanceId, at: Duration) -> bool {
        let Some(unit) = self.units.get_mut(id) else {
            return false;
        };
        let is_first = unit.machine.phase != MachinePhase::Deleting;
        unit.answers = false;
        unit.machine.phase = MachinePhase::Deleting;
        self.stop_billing(id, at);
        is_first
    }

    pub fn forget(&mut self, id: &InstanceId) {
        self.units.remove(id);
    }

    /// Its deletion has failed: it is there, broken, and paid for.
    pub fn bring_back(&mut self, id: &InstanceId, at: Duration) {
        if let Some(unit) = self.units.get_mut(id) {
            unit.machine.phase = MachinePhase::Failed;
            unit.on_since = Some(at);
            unit.is_back = true;
        }
    }

    /// Somebody switched it off, from within (and pays on) or in the cloud.
    pub fn switch_off(&mut self, id: &InstanceId, phase: MachinePhase, at: Duration) {
        if let Some(unit) = self.units.get_mut(id) {
            unit.answers = false;
            unit.machine.phase = phase;
        }
        if !phase.is_billed() {
            self.stop_billing(id, at);
        }
    }

    /// False if it was not off.
    pub fn start(&mut self, id: &InstanceId, fate: Fate, at: Duration) -> bool {
        let off = |unit: &&mut Unit| unit.machine.phase == MachinePhase::Deallocated;
        let Some(unit) = self.units.get_mut(id).filter(off) else {
            return false;
        };
        unit.machine.phase = MachinePhase::Creating;
        unit.fate = fate;
        unit.on_since = Some(at);
        true
    }

    fn stop_billing(&mut self, id: &InstanceId, at: Duration) {
        let since = self.units.get_mut(id).and_then(|unit| unit.on_since.take());
        self.billed_before += since.map_or(Duration::ZERO, |since| at.saturating_sub(since));
    }

    /// Machine time until then.
    pub fn billed(&self, at: Duration) -> Duration {
        let there = self.units.values();
        let there = there.filter_map(|unit| unit.on_since);
        let there = there.map(|since| at.saturating_sub(since));
        self.billed_before + there.sum::<Duration>()
    }

    pub fn count(&self, is: impl Fn(&Unit) -> bool) -> u32 {
        let count = self.units.values().filter(|unit| is(unit)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Writes down what is there, as the cloud's list calls answer.
    pub fn list(&mut self, at: Duration) {
        self.listing = self
            .units
            .values()
            .map(|unit| unit.machine.clone())
            .collect();
        self.listed = at;
    }
}
