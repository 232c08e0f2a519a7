//! What was decided about an instance, by whom and why; who asked for it to stay; and what is under way for a pool.
//!
//! Plain values. Who may decide what is said in one place: a person's decision is never overruled by the policy.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::instance::AdminState;
use super::snapshot::rfc3339;
use super::{InstanceId, Pool};

/// Whose decision an instance's admin state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decider {
    Nobody,
    /// The scaling policy.
    Policy,
    /// An operator: never overruled.
    Admin,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub state: AdminState,
    pub by: Decider,
    /// Completes "because ..."; empty where nothing was decided.
    pub reason: Arc<str>,
    /// Of a drain: whoever is still there then is told to go.
    #[serde(default, with = "rfc3339::option")]
    pub deadline: Option<SystemTime>,
}

impl Decision {
    /// Nothing is decided: people are welcome.
    pub fn none() -> Self {
        Self {
            state: AdminState::Ready,
            by: Decider::Nobody,
            reason: "".into(),
            deadline: None,
        }
    }

    pub fn by_policy(state: AdminState, reason: &str) -> Self {
        Self::of(state, Decider::Policy, reason)
    }

    pub fn by_admin(state: AdminState, reason: &str) -> Self {
        Self::of(state, Decider::Admin, reason)
    }

    fn of(state: AdminState, by: Decider, reason: &str) -> Self {
        match state {
            AdminState::Ready => Self::none(),
            state => Self {
                state,
                by,
                reason: reason.into(),
                deadline: None,
            },
        }
    }
}

impl Pool {
    /// What was decided about an instance; `None` if there is no such instance.
    pub fn decision(&self, id: &InstanceId) -> Option<&Decision> {
        Some(&self.rosters.get(&id.pool)?.member(&id.name)?.decision)
    }
}

/// A person asked for an instance to stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    pub by: Arc<str>,
    #[serde(with = "rfc3339")]
    pub until: SystemTime,
}

/// What is under way for people who wait in a pool that is resized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prospect {
    /// Machines that were asked for or boot.
    pub coming: u32,
    /// When the first of them should take people, by the boots that were measured.
    #[serde(default, with = "rfc3339::option")]
    pub ready_at: Option<SystemTime>,
    /// Why none comes, or not soon, in words for people.
    pub trouble: Option<Arc<str>>,
}
