//! Sessions that another process still holds: the gate whose place this one took.
//!
//! They take seats, tell where their people belong and keep machines from being removed, like any other; only their bytes
//! flow past this gate. Who reports them is not known here.

use std::sync::Arc;

use super::{InstanceId, Now, OlderGate, Pool, Session, SessionView, Stage};

impl Pool {
    /// What is known of a gate of before; one that is new is told of from here on.
    pub fn note_older(&mut self, gate: OlderGate) {
        self.older.insert(gate.pid, gate);
    }

    /// It has ended.
    pub fn forget_older(&mut self, pid: u32) {
        self.older.remove(&pid);
    }

    /// Gates of before that there still are.
    pub fn older(&self) -> impl ExactSizeIterator<Item = &OlderGate> {
        self.older.values()
    }

    /// Whether a gate of before may hold sessions nobody here knows of.
    pub fn has_unheard(&self) -> bool {
        self.older.values().any(|gate| !gate.is_heard)
    }

    /// Seats such a session, or changes one that sits. False while its instance is not listed or is another machine, and if
    /// a session of this gate has its id.
    pub fn seat_elsewhere(&mut self, view: &SessionView, generation: u64, now: Now) -> bool {
        let before = self.sessions.get(&view.id);
        if before.is_some_and(|own| !own.is_elsewhere) {
            return false;
        }
        let is_seated = self.can_seat(view, generation);
        // Those who stay never seem to have left.
        let after = is_seated
            .then(|| self.arrive_elsewhere(view, now))
            .flatten();
        self.remove_session(view.id, now.instant);
        if let Some(session) = after {
            self.sessions.insert(session.id, session);
        }
        self.debug_check();
        is_seated
    }

    fn can_seat(&self, view: &SessionView, generation: u64) -> bool {
        let roster = self.rosters.get(&view.pool);
        let member = roster.and_then(|roster| roster.member(&view.instance));
        let is_named = view.user.is_some() || view.stage == Stage::Provisional;
        is_named && member.is_some_and(|member| member.instance.generation == generation)
    }

    fn arrive_elsewhere(&mut self, view: &SessionView, now: Now) -> Option<Session> {
        let is_proven = view.stage != Stage::Provisional;
        let is_carrying = view.stage == Stage::Live;
        let roster = self.rosters.get_mut(&view.pool)?;
        let name = roster.member(&view.instance)?.instance.id.name.clone();
        roster.settle(now.instant);
        roster.update(&name, |member| member.take_seat(is_proven));
        let user: Option<Arc<str>> = match &view.user {
            Some(user) if is_proven => {
                let user = roster.people.arrive(user, &name);
                roster.attend(&name, &user, view.protocol);
                if is_carrying {
                    roster.people.settle_in(&user, &name);
                }
                Some(user)
            }
            claimed => claimed.clone(),
        };
        roster.settle(now.instant);
        let instance = InstanceId {
            pool: roster.name().clone(),
            name,
        };
        Some(Session {
            id: view.id,
            user,
            protocol: view.protocol,
            instance,
            peer: view.peer,
            stage: view.stage,
            since: view.since,
            is_carrying,
            is_elsewhere: true,
        })
    }
}
