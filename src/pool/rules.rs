//! What a pool is told of its rules; where they come from is the caller's.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a pool is told of its rules: from config, already validated.
#[derive(Clone, Debug)]
pub struct PoolRules {
    /// Logins that name no pool go here; exactly one pool has it.
    pub default: bool,
    pub placement: PlacementPolicy,
    /// How long a person's instance is remembered after their last session ended.
    pub affinity: Duration,
    /// Consecutive good probes until an instance that was down is up again.
    pub rise: u32,
    /// Consecutive failed probes until it is down.
    pub fall: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlacementPolicy {
    /// The least loaded, in proportion to capacity.
    Spread,
    /// The fullest that still has room, so that others empty and can go.
    Pack,
    /// Poolgate's choice: spread.
    Auto,
}

impl PlacementPolicy {
    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spread => "spread",
            Self::Pack => "pack",
            Self::Auto => "auto",
        }
    }
}
