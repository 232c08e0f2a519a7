//! What is to be done about a pool's size: exact instances, each step with its reason in words.
//!
//! A plan leaves nothing to choose to whoever carries it out. Capacity is never lowered by number: machines go by name.

use std::fmt;

use crate::pool::{InstanceId, PlacementPolicy};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let people on again, where the policy had begun to drain.
    Undrain(InstanceId),
    /// Switch on machines that are there and off.
    Start(Vec<InstanceId>),
    /// More machines, in one write however many people wait.
    Grow { by: u32 },
    /// Nobody new; wait until everybody has gone.
    Drain(InstanceId),
    /// Delete these very machines.
    Remove(Vec<InstanceId>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub action: Action,
    /// Completes "because ...".
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Machines in service that there should be.
    pub desired: u32,
    /// Where people without an instance of theirs go, until the next plan.
    pub placement: PlacementPolicy,
    pub steps: Vec<Step>,
    /// The schedule's phase, the demand and what stood in the way, in words.
    pub notes: Vec<String>,
    /// Why machines are not drained or removed, or nothing at all is done.
    pub frozen: Option<String>,
}

impl Action {
    /// The instances it names.
    pub fn ids(&self) -> &[InstanceId] {
        match self {
            Self::Undrain(id) | Self::Drain(id) => std::slice::from_ref(id),
            Self::Start(ids) | Self::Remove(ids) => ids,
            Self::Grow { .. } => &[],
        }
    }

    pub fn verb(&self) -> &'static str {
        match self {
            Self::Undrain(_) => "undrain",
            Self::Start(_) => "start",
            Self::Grow { .. } => "grow",
            Self::Drain(_) => "drain",
            Self::Remove(_) => "remove",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())?;
        if let Self::Grow { by } = self {
            write!(f, " by {by}")?;
        }
        for id in self.ids() {
            write!(f, " {}", id.name)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.reason)
    }
}
