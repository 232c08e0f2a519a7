//! A machine as its cloud sees it, whether people can be sent there or not: what planning a fleet's size goes by.
//!
//! Deliberately absent: how a cloud is asked (`fleet`), and who is on the machine (`snapshot`). A machine is told from a later
//! one of the same name by its generation, as an instance is.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::InstanceId;

/// One machine of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub id: InstanceId,
    /// That of the `Instance` it is listed as.
    pub generation: u64,
    pub phase: MachinePhase,
    pub created: SystemTime,
    /// The cloud may take it back at short notice.
    pub is_spot: bool,
    /// Somebody asked the cloud to keep it: it is not to be chosen for removal.
    pub is_protected: bool,
    /// Made by what the fleet would make today.
    pub is_latest_model: bool,
    /// `None` until the cloud has given it one.
    pub address: Option<String>,
}

/// Where a machine is in its life, in the cloud's eyes. Whether it takes logins is for probes to say.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum MachinePhase {
    Creating,
    Booting,
    Running,
    Stopping,
    /// Off, but paid for: somebody shut it down from within.
    Stopped,
    /// Off and not paid for, but for its disk; it can be started.
    Deallocated,
    Deleting,
    Failed,
}

impl MachinePhase {
    pub const ALL: [Self; 8] = [
        Self::Creating,
        Self::Booting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Deallocated,
        Self::Deleting,
        Self::Failed,
    ];

    /// The word of logs and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Booting => "booting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deallocated => "deallocated",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }

    /// Whether its hours are charged. One that is being made or failed may be, so it counts.
    pub fn is_billed(self) -> bool {
        !matches!(self, Self::Deallocated | Self::Deleting)
    }

    /// Whether it can hold people: one that is going away still may.
    pub fn is_on(self) -> bool {
        matches!(
            self,
            Self::Booting | Self::Running | Self::Stopping | Self::Deleting
        )
    }
}

impl fmt::Display for MachinePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// All that one good look at a fleet showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// How many machines the cloud is to hold, those that are off included; what a fleet is grown from.
    pub capacity: u32,
    /// Changes with every change of the fleet. Growing names it, so that nobody decides on an old look.
    pub version: String,
    pub machines: Vec<Machine>,
    /// What would work against us, each with the remedy in words. While there is any, the fleet is not resized.
    pub hindrances: Vec<String>,
    pub at: SystemTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_called_the_same_in_logs_and_json() {
        for phase in MachinePhase::ALL {
            assert_eq!(serde_json::to_value(phase).unwrap(), phase.name());
        }
    }

    #[test]
    fn a_shut_down_machine_is_still_paid_for() {
        assert!(MachinePhase::Stopped.is_billed());
        assert!(!MachinePhase::Deallocated.is_billed());
        assert!(!MachinePhase::Stopped.is_on());
    }
}
