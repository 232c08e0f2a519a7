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
    created: Duration,
    /// Not billed from then on.
    ended: Option<Duration>,
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
            created: at,
            ended: None,
        };
        self.units.insert(id.clone(), unit);
        id
    }

    /// It is paid for no longer; false if it was being deleted already.
    pub fn end(&mut self, id: &InstanceId, at: Duration) -> bool {
        let Some(unit) = self.units.get_mut(id) else {
            return false;
        };
        let is_first = unit.ended.is_none();
        unit.ended.get_or_insert(at);
        unit.answers = false;
        unit.machine.phase = MachinePhase::Deleting;
        is_first
    }

    pub fn forget(&mut self, id: &InstanceId) {
        if let Some(unit) = self.units.remove(id) {
            let ended = unit.ended.unwrap_or(unit.created);
            self.billed_before += ended.saturating_sub(unit.created);
        }
    }

    /// Machine time until then.
    pub fn billed(&self, at: Duration) -> Duration {
        let there = self.units.values();
        let there = there.map(|unit| unit.ended.unwrap_or(at).saturating_sub(unit.created));
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
