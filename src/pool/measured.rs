//! What an instance's machine tells of itself: how busy it is, and whether it takes people at all.
//!
//! Plain values, as a source of figures gave them. Where they come from, and when they are too old, is the probe's to know.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rfc3339;

/// One look at a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub taken: SystemTime,
    /// The highest of what is measured; 100 is all that it has, a long queue for the processors is more.
    pub load_percent: u32,
    pub cpu_percent: Option<u32>,
    pub memory_percent: Option<u32>,
    /// Of the busiest, by its processors or its memory.
    pub gpu_percent: Option<u32>,
    /// People who are logged in, by whichever way they came.
    pub people: u32,
    /// What people left running: tmux and screen sessions, jobs in the background.
    pub kept: u32,
    pub is_reboot_pending: bool,
    /// Why it takes nobody new: `nologin`, `drive`, `event`, `agent`.
    pub closed: Option<Arc<str>>,
}

impl Measured {
    /// How many people's worth of load this is on a machine for so many.
    pub(super) fn worth(&self, capacity: u32) -> u32 {
        let seats = u64::from(self.load_percent) * u64::from(capacity) / 100;
        u32::try_from(seats).unwrap_or(u32::MAX)
    }
}
