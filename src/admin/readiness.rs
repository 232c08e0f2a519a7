//! Whether this gate should be sent people: what `/readyz` answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::pool::{Health, Snapshot};

/// Shared with whoever opens and closes the front doors; cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    is_open: Arc<AtomicBool>,
}

impl Default for Readiness {
    /// Of a gate whose doors are open.
    fn default() -> Self {
        Self {
            is_open: Arc::new(AtomicBool::new(true)),
        }
    }
}

impl Readiness {
    /// To be called with false when a shutdown begins, so that people are sent elsewhere while sessions end.
    pub fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    /// Ready while the doors are open and a login could succeed: some instance of some pool is up, or can be woken.
    pub fn judge(&self, snapshot: &Snapshot) -> Verdict {
        let up = |health| health == Health::Up || health == Health::NoLogins;
        let has_instance = snapshot
            .instances
            .iter()
            .any(|instance| up(instance.health));
        // A pool that is resized may be empty: a machine comes when somebody does.
        let can_wake = snapshot.pools.iter().any(|pool| pool.prospect.is_some());
        let reason = if !self.is_open.load(Ordering::Relaxed) {
            "the front doors are closed: the gate is starting or stopping"
        } else if !has_instance && !can_wake {
            "no instance is up"
        } else {
            return Verdict {
                ready: true,
                reason: None,
            };
        };
        Verdict {
            ready: false,
            reason: Some(reason.to_owned()),
        }
    }
}

/// The body of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
