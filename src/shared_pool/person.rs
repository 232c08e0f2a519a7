//! What is known of one person, and of the health of instances they may be on; where an operator sends them, and what of people
//! outlives the process.

use super::board::is_named;
use super::{Audience, NoticeMemory, SharedPool};
use crate::pool::affinity::Memory;
use crate::pool::explain::PersonView;
use crate::pool::explain::health::{InstanceHealth, add_people};
use crate::pool::queue::TicketMemory;
use crate::pool::{InstanceId, LoginRequest, Now, Protocol, Refusal, SessionView, Waiter};

impl SharedPool {
    /// Where somebody is, and where their next login would go; changes nothing.
    ///
    /// # Errors
    /// When there is no such pool.
    pub fn explain(&self, user: &str, pool: Option<&str>) -> Result<PersonView, Refusal> {
        let snapshot = self.snapshot();
        let waiter = Waiter::Person(user.into());
        let is_behind = |pool: &str, by: Protocol| {
            let lines = self.lines();
            lines.is_behind(pool, Some(&waiter), by, &snapshot)
        };
        let explained = self.lock().explain(user, pool, is_behind, Now::read());
        let mut person = explained?;
        let views = self.lines().views();
        let mut views = views.into_iter();
        person.waiting =
            views.find(|view| view.pool == person.pool && view.user.as_deref() == Some(user));
        Ok(person)
    }

    /// What the probes of one instance saw, or those of all, and who is there.
    pub fn explain_health(&self, only: Option<&InstanceId>) -> Vec<InstanceHealth> {
        let mut stories = self.lock().explain_health(only);
        add_people(&mut stories, &self.snapshot());
        stories
    }

    /// An operator sends a person to an instance. False if there is no such instance.
    pub fn send(&self, user: &str, to: &InstanceId) -> bool {
        self.change(|state, now| state.send(user, to, now))
    }

    /// Whether an operator sends this person to another instance than the one they are `at`, which would take them.
    pub fn is_sent_elsewhere(&self, request: &LoginRequest, at: &InstanceId) -> bool {
        self.lock().sent_elsewhere(request, at, Now::read())
    }

    /// Where people belong, in no order, if that may have changed since the version `told`, which is set to this one's.
    pub fn memories(&self, told: &mut Option<u64>) -> Option<Vec<Memory>> {
        let now = Now::read();
        let state = self.lock();
        let version = Some(state.memories_version());
        (std::mem::replace(told, version) != version).then(|| state.memories(now))
    }

    /// Takes back what a gate of before remembered of the pools that are configured.
    pub fn take_back(&self, memories: Vec<Memory>) {
        self.change(|state, now| state.take_back(memories, now));
    }

    /// Notices of operators that stand, to be written down.
    pub fn notice_memories(&self) -> Vec<NoticeMemory> {
        self.shared.board.memories(Now::read())
    }

    /// Puts up again what stood before a restart.
    pub fn take_back_notices(&self, memories: Vec<NoticeMemory>) {
        self.shared.board.take_back(memories, Now::read());
    }

    /// Puts people in line again before the pools that are configured.
    pub fn take_back_lines(&self, mut memories: Vec<TicketMemory>) {
        {
            let state = self.lock();
            memories.retain(|memory| state.has_pool(&memory.pool));
        }
        self.lines().take_back(&memories);
    }
}

impl SharedPool {
    /// To how many sessions a notice would be given.
    pub fn count_audience(&self, audience: &Audience) -> usize {
        let snapshot = self.snapshot();
        let sessions = snapshot.sessions.iter();
        sessions.filter(|session| audience.holds(session)).count()
    }
}

impl Audience {
    pub(super) fn holds(&self, session: &SessionView) -> bool {
        match self {
            Self::Everybody => true,
            Self::Session(id) => session.id == *id,
            Self::User(user) => session.user.as_deref() == Some(user),
            Self::Instance(name) => {
                let id = InstanceId {
                    pool: session.pool.clone(),
                    name: session.instance.clone(),
                };
                is_named(name, &id)
            }
        }
    }
}
