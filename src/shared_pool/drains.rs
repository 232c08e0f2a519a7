//! Decisions about instances, and what the people there are told of a drain: once, and again if it is called off.
//!
//! In terminals at once; in browsers a notice stands for as long as the drain goes on. Deliberately absent: what becomes
//! of their sessions, which is the controller's business.

use std::sync::Arc;
use std::time::SystemTime;

use super::SharedPool;
use super::board::Standing;
use crate::pool::decision::CLOUD_TAKES;
use crate::pool::{AdminState, Decider, Decision, Expected, InstanceId, Pool};

impl SharedPool {
    /// Whether people are sent to an instance from here on; those on one that is drained are told. False if there is no
    /// such instance, or if the policy would overrule a person's decision.
    pub fn decide(&self, id: &InstanceId, decision: Decision) -> bool {
        let (is_done, stands) = self.change(|pool, _| {
            let is_done = pool.decide(id, decision.clone());
            (is_done, pool.decision(id) == Some(&decision))
        });
        // Also where it stood before: nobody may have been told yet.
        if stands {
            self.tell_of(id, &decision);
        }
        is_done
    }

    /// What was decided about instances that are not listed yet.
    pub fn expect(&self, pool: &str, expected: impl IntoIterator<Item = Expected>) {
        self.change(|state, _| state.expect(pool, expected));
    }

    /// The policy lets people on again, where it had closed the instance. False if it had not.
    pub fn reopen(&self, id: &InstanceId) -> bool {
        let is_done = self.change(|pool, _| pool.reopen(id));
        if is_done {
            self.tell_of(id, &Decision::none());
        }
        is_done
    }

    /// When the sessions end that are left on an instance an operator drains.
    pub fn ordered_deadline(&self, id: &InstanceId) -> Option<SystemTime> {
        let pool = self.lock();
        let decision = pool.decision(id)?;
        let is_ordered = decision.by == Decider::Admin && decision.state == AdminState::Draining;
        decision.deadline.filter(|_| is_ordered)
    }

    /// What people on an instance have been told of its drain; `None` while it stays.
    pub fn drain_notice(&self, id: &InstanceId) -> Option<Standing> {
        self.shared.board.drain(id)
    }

    fn tell_of(&self, id: &InstanceId, decision: &Decision) {
        let board = &self.shared.board;
        let line: Arc<str> = match decision.state {
            AdminState::Draining => {
                let text: Arc<str> = words(id, decision).into();
                if !board.post_drain(id, &text, decision.deadline) {
                    return;
                }
                with_deadline(&text, decision.deadline)
            }
            AdminState::Ready | AdminState::Cordoned if board.take_back_drain(id) => {
                let name = &id.name;
                format!("instance {name} stays in service after all; there is no need to log out")
                    .into()
            }
            AdminState::Ready | AdminState::Cordoned => return,
        };
        self.post_to(&line, |session| {
            session.pool == id.pool && session.instance == id.name
        });
    }

    /// Of instances that are gone, or are another machine under an old name.
    pub(super) fn forget_drains(&self, pool: &Pool) {
        self.shared.board.keep_drains(|id| {
            let decision = pool.decision(id);
            decision.is_some_and(|decision| decision.state == AdminState::Draining)
        });
    }
}

impl Standing {
    /// As a terminal shows it.
    pub fn line(&self) -> Arc<str> {
        with_deadline(&self.text, self.deadline)
    }
}

fn words(id: &InstanceId, decision: &Decision) -> String {
    let name = &id.name;
    match (decision.by, decision.deadline) {
        (Decider::Policy, _) if &*decision.reason == CLOUD_TAKES => format!(
            "the cloud is about to take instance {name} away, and everything on it ends: save your work and log in again, you \
             are given another machine"
        ),
        (Decider::Policy, None) => format!(
            "fewer machines are needed: new logins go to others than {name}. Nothing you run here ends; stay as long as you work, \
             and after you log out you are given another machine"
        ),
        (Decider::Policy, Some(_)) => format!(
            "fewer machines are needed, and instance {name} is to go: save your work and log out in time, your next login goes \
             to another one"
        ),
        (Decider::Nobody | Decider::Admin, _) => {
            let because = match decision.reason.trim() {
                "" => String::new(),
                reason => format!(": {reason}"),
            };
            format!(
                "instance {name} is being taken out of service{because}; log out when you can, your next login goes to another one"
            )
        }
    }
}

/// A line with its deadline, as a terminal shows it.
pub(super) fn with_deadline(text: &Arc<str>, deadline: Option<SystemTime>) -> Arc<str> {
    match deadline.map(jiff::Timestamp::try_from) {
        Some(Ok(at)) => format!("{text} ({})", at.strftime("until %Y-%m-%d %H:%M UTC")).into(),
        None | Some(Err(_)) => text.clone(),
    }
}

#[cfg(test)]
mod tests;
