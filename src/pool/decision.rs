//! What was decided about an instance, by whom and why; who asked for it to stay; and what is under way for a pool.
//!
//! Plain values. Who may decide what is said in one place: a person's decision is never overruled by the policy.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Pool;
use super::instance::{AdminState, Instance, InstanceId};
use super::member::Member;
use super::rfc3339;
use super::roster::Roster;
use super::rules::PlacementPolicy;

/// The reason of a drain that is nobody's wish: the machine goes whatever is decided.
pub const CLOUD_TAKES: &str = "the cloud takes it away";

/// The reason of the drain of what the configuration no longer names.
pub const NOT_CONFIGURED: &str = "it is no longer in the configuration";

/// Whose decision an instance's admin state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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

/// A person asked for an instance to stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Keep {
    pub by: Arc<str>,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub until: SystemTime,
}

/// What was decided, before a restart, about an instance that no listing has shown since.
#[derive(Clone, Debug)]
pub struct Expected {
    pub name: Arc<str>,
    pub generation: u64,
    pub decision: Option<Decision>,
    pub keep: Option<Keep>,
    /// It was about to be removed.
    pub is_sealed: bool,
}

impl Expected {
    /// Another machine under its name is not meant.
    pub(super) fn apply(self, member: &mut Member) {
        if member.instance.generation != self.generation {
            return;
        }
        if let Some(decision) = self.decision {
            member.decide(decision);
        }
        member.keep = self.keep;
        member.is_sealed = self.is_sealed && member.is_drained_by_policy();
    }
}

/// What is under way for people who wait in a pool that is resized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Prospect {
    /// Machines that were asked for or boot.
    pub coming: u32,
    /// When the first of them should take people, by the boots that were measured.
    #[serde(default, with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ready_at: Option<SystemTime>,
    /// Why none comes, or not soon, in words for people.
    pub trouble: Option<Arc<str>>,
}

impl Pool {
    /// Whether people are sent to an instance from here on. False if there is no such instance, or if the policy
    /// would overrule a person's decision or has decided so already.
    pub fn decide(&mut self, id: &InstanceId, decision: Decision) -> bool {
        let Some(roster) = self.rosters.get_mut(&id.pool) else {
            return false;
        };
        let decided = roster.update(&id.name, |member| member.decide(decision));
        self.debug_check();
        decided.unwrap_or(false)
    }

    /// What was decided about instances that are not listed yet holds from the moment they are: nobody gets in before it is
    /// known.
    pub fn expect(&mut self, pool: &str, expected: impl IntoIterator<Item = Expected>) {
        let Some(roster) = self.rosters.get_mut(pool) else {
            return;
        };
        let expected = expected.into_iter();
        let unlisted = expected.filter(|one| roster.member(&one.name).is_none());
        let unlisted: Vec<_> = unlisted.map(|one| (one.name.clone(), one)).collect();
        roster.expected = unlisted.into_iter().collect();
        self.debug_check();
    }

    /// The policy lets people on again, where it had closed the instance. False if it had not.
    pub fn reopen(&mut self, id: &InstanceId) -> bool {
        let Some(roster) = self.rosters.get_mut(&id.pool) else {
            return false;
        };
        let reopened = roster.update(&id.name, |member| {
            let is_ours = member.decision.by == Decider::Policy;
            is_ours && member.decide(Decision::none())
        });
        self.debug_check();
        reopened.unwrap_or(false)
    }

    /// Nobody gets in from here on, not even who was there: to be asked right before a machine is removed. False if it is
    /// not drained by the policy, or if somebody is there or may be by a gate of before; nothing is changed then.
    pub fn seal(&mut self, id: &InstanceId) -> bool {
        if self.has_unheard() {
            return false;
        }
        let Some(roster) = self.rosters.get_mut(&id.pool) else {
            return false;
        };
        let sealed = roster.update(&id.name, |member| {
            member.is_sealed = member.is_drained_by_policy() && member.sessions() == 0;
            member.is_sealed
        });
        self.debug_check();
        sealed.unwrap_or(false)
    }

    /// The instances that the listing lacks and somebody is on: they are drained from here on. Those that were drained for
    /// that and are listed again take people again.
    pub fn keep_used(&mut self, pool: &str, listing: &[Instance]) -> Vec<Instance> {
        let Some(roster) = self.rosters.get_mut(pool) else {
            return Vec::new();
        };
        let is_listed = |name: &str| listing.iter().any(|listed| &*listed.id.name == name);
        let members = roster.members().filter(|member| {
            let drained = &*member.decision.reason == NOT_CONFIGURED;
            is_listed(&member.instance.id.name) == drained
        });
        let names: Vec<_> = members
            .map(|member| member.instance.id.name.clone())
            .collect();
        for name in names {
            roster.update(&name, |member| {
                let is_decided = member.decision.by == Decider::Admin;
                match is_listed(&name) {
                    true => {
                        member.decide(Decision::none());
                    }
                    // What an operator closed is closed already, and stays so if it is listed again.
                    false if is_decided => {}
                    false => {
                        let leaves = Decision::by_admin(AdminState::Draining, NOT_CONFIGURED);
                        member.decide(leaves);
                    }
                }
            });
        }
        let used = roster
            .members()
            .filter(|member| !is_listed(&member.instance.id.name) && member.sessions() > 0);
        let used = used.map(|member| (*member.instance).clone()).collect();
        self.debug_check();
        used
    }

    /// Forgets a pool that holds no instance; one that does stays.
    pub fn forget_pool(&mut self, pool: &str) {
        let is_empty = |roster: &Roster| roster.members().next().is_none();
        if self.rosters.get(pool).is_some_and(is_empty) {
            self.rosters.remove(pool);
        }
        self.debug_check();
    }

    /// It is not removed after all.
    pub fn unseal(&mut self, id: &InstanceId) {
        if let Some(roster) = self.rosters.get_mut(&id.pool) {
            roster.update(&id.name, |member| member.is_sealed = false);
        }
        self.debug_check();
    }

    /// Until when somebody wants an instance to stay. False if there is no such instance.
    pub fn keep(&mut self, id: &InstanceId, keep: Option<Keep>) -> bool {
        let Some(roster) = self.rosters.get_mut(&id.pool) else {
            return false;
        };
        let kept = roster.update(&id.name, |member| member.keep = keep);
        kept.is_some()
    }

    /// Where people without an instance of theirs go from here on.
    pub fn set_placement(&mut self, pool: &str, placement: PlacementPolicy) {
        if let Some(roster) = self.rosters.get_mut(pool) {
            roster.rules.placement = placement;
        }
    }

    /// What is under way for those who wait. Returns whether that is news.
    pub fn foretell(&mut self, pool: &str, prospect: Option<Prospect>) -> bool {
        let Some(roster) = self.rosters.get_mut(pool) else {
            return false;
        };
        let is_new = roster.prospect != prospect;
        roster.prospect = prospect;
        is_new
    }

    /// What was decided about an instance; `None` if there is no such instance.
    pub fn decision(&self, id: &InstanceId) -> Option<&Decision> {
        Some(&self.rosters.get(&id.pool)?.member(&id.name)?.decision)
    }
}
