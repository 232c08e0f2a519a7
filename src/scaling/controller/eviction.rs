//! Deadlines of drains: who is still there is told once more, and then made to leave.
//!
//! Only where somebody wants it: an operator who gave a drain a deadline, or the configuration for drains of the policy.

use std::time::{Duration, SystemTime};

use super::Controller;
use super::gather::id_of;
use crate::config::ScalingConfig;
use crate::pool::{AdminState, Decider, InstanceView, Now, Snapshot};
use crate::shared_pool::Audience;
use crate::telemetry::events::EventKind;

/// People are made to leave machines that the policy drains.
pub(super) struct Eviction {
    pub after: Duration,
    notice: Duration,
    text: String,
}

impl Eviction {
    pub fn of(scaling: &ScalingConfig) -> Option<Self> {
        Some(Self {
            after: scaling.evict_after?,
            notice: scaling.evict_notice,
            text: scaling.evict_text.clone(),
        })
    }

    #[cfg(test)]
    pub fn after(after: Duration) -> Self {
        Self {
            after,
            notice: after / 2,
            text: "log out, please".to_owned(),
        }
    }
}

impl Controller {
    pub(super) fn evict_overdue(&mut self, snapshot: &Snapshot, now: Now) {
        let pool = self.config.pool.clone();
        self.told
            .evicted
            .retain(|id| snapshot.session(*id).is_some());
        for view in snapshot.instances_of(&pool) {
            let (AdminState::Draining, Some(deadline)) = (view.admin_state, view.deadline) else {
                continue;
            };
            match deadline.duration_since(now.wall) {
                Ok(left) if !left.is_zero() => self.warn(view, left),
                _ => self.evict(snapshot, view),
            }
        }
    }

    /// Once a drain, in the configured words.
    fn warn(&mut self, view: &InstanceView, left: Duration) {
        let Some(eviction) = &self.config.eviction else {
            return;
        };
        let is_due = view.decided_by == Decider::Policy && left <= eviction.notice;
        if !is_due || view.sessions == 0 {
            return;
        }
        let drain = (view.name.clone(), view.deadline);
        if self.told.warned.contains(&drain) {
            return;
        }
        let audience = Audience::Instance(id_of(view).to_string());
        self.tools
            .pool
            .announce(&audience, &eviction.text, Some(left));
        self.told.warned.retain(|(name, _)| *name != view.name);
        self.told.warned.push(drain);
    }

    fn evict(&mut self, snapshot: &Snapshot, view: &InstanceView) {
        let id = id_of(view);
        let text = match (&self.config.eviction, view.decided_by) {
            (Some(eviction), Decider::Policy) => eviction.text.clone(),
            _ => {
                let reason = view.reason.as_deref().unwrap_or("it is drained");
                format!("the time to leave {} is over: {reason}", view.name)
            }
        };
        for session in snapshot.sessions_on(&id) {
            // Its goodbye may take a moment.
            if self.told.evicted.insert(session.id)
                && self.tools.pool.evict_because(session.id, &text)
            {
                let user = session.user.as_deref().unwrap_or("somebody");
                let what = format!(
                    "the {} session of {user} was ended: {text}",
                    session.protocol.name()
                );
                let at = (&*view.pool, &*view.name);
                let user = session.user.as_deref();
                self.tools.events.tell_of(user, at, EventKind::Evict, what);
            }
        }
    }
}

/// A drain, by its instance and its deadline.
pub(super) type Drain = (std::sync::Arc<str>, Option<SystemTime>);
