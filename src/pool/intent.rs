//! What a pool's controller is about and why, in words, for operators to read.
//!
//! Plain values: what is planned is for `scaling` to say. Nothing is done because of what stands here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Pool;
use super::machine::MachinePhase;
use super::snapshot::rfc3339;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Machines in service that there should be.
    pub desired: u32,
    /// Machines there may be, at any time.
    pub machines_max: u32,
    /// All machines of the fleet, on or off.
    pub machines: BTreeMap<MachinePhase, u32>,
    /// What is being done, each step with its reason.
    pub steps: Vec<Arc<str>>,
    /// What is done next if everything stays as it is; `None` where that is nothing for an hour.
    pub next: Option<Foreseen>,
    /// The schedule's phase, the demand, and what stands in the way.
    pub notes: Vec<Arc<str>>,
    /// Why nothing is drained or removed, or nothing at all is done.
    pub frozen: Option<Arc<str>>,
}

/// A step that is not due yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreseen {
    /// To the minute.
    #[serde(with = "rfc3339")]
    pub at: SystemTime,
    pub step: Arc<str>,
}

impl Pool {
    /// Returns whether that is news.
    pub fn intend(&mut self, pool: &str, intent: Intent) -> bool {
        let Some(roster) = self.rosters.get_mut(pool) else {
            return false;
        };
        let intent = Some(Arc::new(intent));
        let is_new = roster.intent != intent;
        roster.intent = intent;
        is_new
    }
}
