//! What a pool's controller is about and why, in words, for operators to read.
//!
//! Plain values: what is planned is for `scaling` to say. Nothing is done because of what stands here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Pool;
use super::machine::MachinePhase;
use super::rfc3339;
use super::rules::PlacementPolicy;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// What the last plan was not carried out for.
    #[serde(default)]
    pub refused: Option<Arc<str>>,
    #[serde(default)]
    pub phase: Option<PhaseView>,
    #[serde(default)]
    pub budget: Option<Budget>,
    /// What has to happen, or to pass, before more is done; each completes "it waits: ...".
    #[serde(default)]
    pub waits: Vec<Arc<str>>,
    /// Instances that are left alone whoever is on them, each with the reason.
    #[serde(default)]
    pub held: Vec<Held>,
}

/// The part of a schedule that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PhaseView {
    pub name: Arc<str>,
    pub min: u32,
    pub max: u32,
    /// As the configuration writes it: `2 seats`, `20%`.
    pub headroom: Arc<str>,
    pub placement: PlacementPolicy,
    /// When another begins; `None` where none does within a month.
    #[serde(default, with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<SystemTime>,
    /// That other's name.
    #[serde(default)]
    pub then: Option<Arc<str>>,
}

/// Machine-hours of a calendar month in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    pub hours_used: u64,
    pub hours_max: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Held {
    pub instance: Arc<str>,
    pub why: Arc<str>,
}

/// A step that is not due yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Foreseen {
    /// To the minute.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
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
