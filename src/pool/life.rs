//! A session's life: it begins with its seat, its person is proved, bytes flow, and it ends and frees the seat.
//!
//! Where its seat is was decided before (`placement`).

use std::sync::Arc;
use std::time::Instant;

use super::instance::InstanceId;
use super::placement::LoginRequest;
use super::session::{Session, SessionId, Stage};
use super::{Now, Pool};

impl Pool {
    pub(super) fn next_session(&mut self) -> SessionId {
        self.last_session = self.last_session.wrapping_add(1);
        SessionId(self.last_session)
    }

    pub(super) fn begin_session(
        &mut self,
        id: SessionId,
        request: &LoginRequest,
        (user, instance): (Option<Arc<str>>, InstanceId),
        now: Now,
    ) {
        let stage = match request.proven_user() {
            Some(_) => Stage::Reserved,
            None => Stage::Provisional,
        };
        let session = Session {
            id,
            user,
            protocol: request.protocol,
            instance,
            peer: request.peer,
            stage,
            since: now.wall,
            is_carrying: false,
            is_elsewhere: false,
        };
        self.sessions.insert(id, session);
    }

    /// The session's person has proved this name: their affinity is learned and the seat counts against capacity, even
    /// beyond it. False if the session has ended.
    pub fn prove(&mut self, session: SessionId, user: &str, now: Now) -> bool {
        let Some(session) = self.sessions.get_mut(&session) else {
            return false;
        };
        let Some(roster) = self.rosters.get_mut(&session.instance.pool) else {
            return false;
        };
        roster.settle(now.instant);
        let name = &session.instance.name;
        let old = session.user.take().filter(|_| session.is_proven());
        let arrived = roster.people.arrive(user, name);
        roster.attend(name, &arrived, session.protocol);
        session.user = Some(arrived);
        match old {
            Some(old) => {
                roster
                    .people
                    .leave(&old, name, now.instant, roster.rules.affinity);
                roster.unattend(name, &old, session.protocol);
            }
            None => {
                roster.update(name, |member| {
                    member.free_seat(false);
                    member.take_seat(true);
                });
            }
        }
        if session.is_carrying {
            roster.people.settle_in(user, name);
        }
        roster.settle(now.instant);
        session.stage = if session.is_carrying {
            Stage::Live
        } else {
            Stage::Reserved
        };
        self.debug_check();
        true
    }

    /// Bytes flow. A session whose person has proved nothing stays provisional until they do. False if it has ended.
    pub fn set_live(&mut self, session: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&session) else {
            return false;
        };
        session.is_carrying = true;
        if session.is_proven() {
            session.stage = Stage::Live;
            let roster = self.rosters.get_mut(&session.instance.pool);
            if let (Some(roster), Some(user)) = (roster, &session.user) {
                roster.people.settle_in(user, &session.instance.name);
            }
        }
        true
    }

    /// The instance does not let this proven session's person in: they are not sent there again for having been there.
    pub fn turn_away(&mut self, session: SessionId) {
        let Some(session) = self.sessions.get(&session).filter(|one| one.is_proven()) else {
            return;
        };
        let roster = self.rosters.get_mut(&session.instance.pool);
        if let (Some(roster), Some(user)) = (roster, &session.user) {
            roster.people.turn_away(user, &session.instance.name);
        }
    }

    /// Frees the seat; returns what the session was, or `None` if it had ended.
    pub fn end_session(&mut self, session: SessionId, now: Now) -> Option<Session> {
        let ended = self.remove_session(session, now.instant);
        self.debug_check();
        ended
    }

    pub(super) fn remove_session(&mut self, id: SessionId, now: Instant) -> Option<Session> {
        let session = self.sessions.remove(&id)?;
        if let Some(roster) = self.rosters.get_mut(&session.instance.pool) {
            let name = &session.instance.name;
            roster.update(name, |member| member.free_seat(session.is_proven()));
            if let Some(user) = session.user.as_ref().filter(|_| session.is_proven()) {
                roster.people.leave(user, name, now, roster.rules.affinity);
                roster.unattend(name, user, session.protocol);
            }
            roster.settle(now);
        }
        Some(session)
    }
}
