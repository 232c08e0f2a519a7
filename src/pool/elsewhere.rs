//! Sessions that another process still holds: the gate whose place this one took.
//!
//! They take seats, tell where their people belong and keep machines from being removed, like any other; only their bytes
//! flow past this gate. Who reports them is not known here.
//!
//! A gate of before is given seats here for those who still log in there; it seats them under the same session, whatever it
//! knows of the instance.

use std::sync::Arc;

use super::{
    Given, InstanceId, LoginRequest, Now, OlderGate, Placement, Pool, Session, SessionId,
    SessionView, Stage,
};

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

    /// A session that was begun here for a gate of before is that one's from here on.
    pub fn entrust(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.is_elsewhere = true;
        }
    }

    /// Takes a seat that a newer gate has given, be there room by what is known here or not. `None` where there is another
    /// machine under the instance's name, no such pool, or another session under this one's id.
    pub fn take_given(
        &mut self,
        given: &Given,
        request: &LoginRequest,
        now: Now,
    ) -> Option<Placement> {
        let Given {
            session,
            instance,
            reason,
        } = given;
        if self.sessions.contains_key(session) {
            return None;
        }
        let roster = self.rosters.get_mut(&instance.id.pool)?;
        match roster.member(&instance.id.name) {
            Some(member) if member.instance.generation != instance.generation => return None,
            Some(_) => {}
            None => {
                roster.enlist(instance.clone(), self.seed, now.wall);
                roster.greet();
            }
        }
        roster.settle(now.instant);
        let name = roster.member(&instance.id.name)?.instance.id.name.clone();
        let is_proven = request.proven_user().is_some();
        roster.update(&name, |member| member.take_seat(is_proven));
        let user = roster.welcome(&name, request);
        roster.settle(now.instant);
        let id = InstanceId {
            pool: roster.name().clone(),
            name,
        };
        self.begin_session(*session, request, (user, id), now);
        self.debug_check();
        Some(Placement {
            session: *session,
            instance: Arc::new(instance.clone()),
            reason: *reason,
        })
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
