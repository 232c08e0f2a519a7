//! `POST /api/v1/move`: an operator sends a person to an instance. Their next login, and the next page they go to, land there.
//!
//! A process that runs cannot be moved: sessions go on where they are until they end, or are ended because the order says so.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::explain::login_name;
use super::orders::{InstanceName, LoginName, Reason};
use super::problem::Problem;
use super::verbs::{Deed, Desk, bad, checked, id_of};
use crate::pool::{AdminState as State, Health, InstanceView, SessionId, SessionView};
use crate::shared_pool::Audience;
use crate::telemetry::events::EventKind;

/// One of `session` and `user`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "user": "alice", "to": "vm2", "reason": "vm1 goes at noon" })))]
pub struct MoveOrder {
    /// Its person is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LoginName>)]
    pub user: Option<String>,
    #[schema(value_type = InstanceName)]
    pub to: String,
    #[schema(value_type = Reason)]
    pub reason: String,
    /// End their sessions elsewhere in that pool.
    #[serde(default)]
    pub now: bool,
    /// Only tell what would be done.
    #[serde(default)]
    pub is_dry_run: bool,
}

/// What was done, for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Moved {
    pub user: String,
    pub pool: String,
    pub instance: String,
    /// Their sessions elsewhere in that pool: ended if the order says so, else going on.
    pub sessions: Vec<SessionId>,
    /// In words.
    pub text: String,
    #[serde(default)]
    pub is_dry_run: bool,
}

impl Desk<'_> {
    pub fn send(&self, order: MoveOrder) -> Result<Moved, Problem> {
        let who = match (&order.user, order.session) {
            (Some(user), _) => user.clone(),
            (None, session) => session.map(|one| one.to_string()).unwrap_or_default(),
        };
        let target = format!("{who} to {}", order.to);
        let deed = Deed::new("move", &target, Some(&order.reason), order.is_dry_run);
        let moved = self.send_now(&order);
        self.record(&deed, moved)
    }

    fn send_now(&self, order: &MoveOrder) -> Result<Moved, Problem> {
        let reason = checked(&order.reason)?;
        let user = self.person(order)?;
        let view = self.find(&order.to)?;
        check_target(&view)?;
        let snapshot = self.state.pool.snapshot();
        let is_elsewhere = |session: &&SessionView| {
            session.user.as_deref() == Some(&*user)
                && session.pool == view.pool
                && session.instance != view.name
        };
        let sessions = snapshot.sessions.iter().filter(is_elsewhere);
        let sessions: Vec<_> = sessions.map(|session| session.id).collect();
        let text = words(&user, &view, sessions.len(), order);
        if !order.is_dry_run {
            self.carry_out(&user, &view, reason, order, &sessions)?;
        }
        Ok(Moved {
            user,
            pool: view.pool.to_string(),
            instance: view.name.to_string(),
            sessions,
            text,
            is_dry_run: order.is_dry_run,
        })
    }

    fn carry_out(
        &self,
        user: &str,
        view: &InstanceView,
        reason: &str,
        order: &MoveOrder,
        sessions: &[SessionId],
    ) -> Result<(), Problem> {
        let (pool, name) = (&self.state.pool, &view.name);
        if !pool.send(user, &id_of(view)) {
            return Err(bad(format!("{name} has just left the pool")));
        }
        let ended = match order.now {
            true => format!(", and ends {} sessions elsewhere", sessions.len()),
            false => String::new(),
        };
        let text = format!("{} sends {user} there{ended}: {reason}", self.by);
        let at = (&*view.pool, &*view.name);
        let events = &self.state.events;
        events.tell_of(Some(user), at, EventKind::Move, text);
        let farewell = format!("you are moved to {name}: {reason}; log in again to get there");
        if order.now {
            for session in sessions {
                pool.evict_because(*session, &farewell);
            }
            return Ok(());
        }
        for session in sessions {
            let line = format!(
                "you are moved to {name}: {reason}; this session goes on, your next login gets there"
            );
            pool.announce(&Audience::Session(*session), &line, None);
        }
        Ok(())
    }

    /// Whose session it is, or who is named.
    fn person(&self, order: &MoveOrder) -> Result<String, Problem> {
        match (order.session, &order.user) {
            (None, Some(user)) => Ok(login_name(user)?.user),
            (Some(session), None) => {
                let snapshot = self.state.pool.snapshot();
                let found = snapshot.session(session).ok_or_else(|| Problem {
                    status: StatusCode::NOT_FOUND,
                    detail: format!(
                        "there is no session {session}: `poolgate sessions` lists them"
                    ),
                })?;
                let user = found.user.as_deref().map(str::to_owned);
                user.ok_or_else(|| bad(format!("nobody has logged in on session {session} yet")))
            }
            _ => Err(bad("name one of session and user".to_owned())),
        }
    }
}

/// Whoever is sent where nobody is let in would land elsewhere.
fn check_target(view: &InstanceView) -> Result<(), Problem> {
    let trouble = match (view.admin_state, view.health) {
        (_, Health::Down) => "is down: wait until it is up, or choose another",
        (State::Draining, _) => "is draining: uncordon it first, or choose another",
        (State::Cordoned, _) => "is cordoned: uncordon it first, or choose another",
        (State::Ready, _) if view.is_sealed => "is about to be removed: choose another",
        (State::Ready, _) => return Ok(()),
    };
    Err(Problem {
        status: StatusCode::CONFLICT,
        detail: format!("{}/{} {trouble}", view.pool, view.name),
    })
}

fn words(user: &str, view: &InstanceView, sessions: usize, order: &MoveOrder) -> String {
    let verb = match order.is_dry_run {
        true => "would go",
        false => "goes",
    };
    let name = format!("{}/{}", view.pool, view.name);
    let mut text =
        format!("the next login of {user}, and the next page they go to, {verb} to {name}");
    let elsewhere = match sessions {
        1 => "1 session elsewhere".to_owned(),
        count => format!("{count} sessions elsewhere"),
    };
    match (sessions, order.now, order.is_dry_run) {
        (0, ..) => {}
        (_, true, true) => text.push_str(&format!("; {elsewhere} would be ended")),
        (_, true, false) => text.push_str(&format!("; {elsewhere} is told to end")),
        (_, false, _) => text.push_str(&format!(
            "; {elsewhere} goes on, because what runs cannot be moved"
        )),
    }
    if view.load >= view.capacity {
        text.push_str(&format!(
            "; {name} is full: until a seat is free they land elsewhere"
        ));
    }
    text
}
