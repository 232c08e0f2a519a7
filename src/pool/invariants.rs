//! What must be true of the pools after every change, told by counting everything again.
//!
//! Slow on purpose and only for debug builds and tests: it shares no code with what it checks but the definition of
//! routable.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Pool;
use super::instance::{InstanceId, Protocol};
use super::roster::Roster;
use super::session::Session;

type Counts<K> = BTreeMap<K, u32>;

impl Pool {
    /// The first thing found wrong, in words.
    pub fn check_invariants(&self) -> Result<(), String> {
        let defaults = self.rosters.values().filter(|roster| roster.rules.default);
        if defaults.count() > 1 {
            return Err("more than one pool is the default".into());
        }
        for (id, session) in &self.sessions {
            let roster = self.rosters.get(&session.instance.pool);
            let member = roster.and_then(|roster| roster.member(&session.instance.name));
            if member.is_none() || session.id != *id {
                return Err(format!(
                    "session {id} sits on no instance: {}",
                    session.instance
                ));
            }
            if session.is_proven() && session.user.is_none() {
                return Err(format!("session {id} is proven and has no name"));
            }
        }
        for roster in self.rosters.values() {
            let here = |session: &&Session| session.instance.pool == *roster.name();
            let sessions: Vec<&Session> = self.sessions.values().filter(here).collect();
            check_seats(roster, &sessions)?;
            check_people(roster, &sessions)?;
        }
        Ok(())
    }
}

fn check_seats(roster: &Roster, sessions: &[&Session]) -> Result<(), String> {
    let mut counts: Counts<(&Arc<str>, bool)> = Counts::new();
    for session in sessions {
        let key = (&session.instance.name, session.is_proven());
        *counts.entry(key).or_default() += 1;
    }
    for member in roster.members() {
        let id = &member.instance.id;
        let count = |is_proven| counts.get(&(&id.name, is_proven)).copied().unwrap_or(0);
        if (member.proven, member.claimed) != (count(true), count(false)) {
            return Err(format!("{id} does not count its sessions right"));
        }
        let direct = roster.servers().direct(&id.name);
        if member.direct != direct || !attends_right(roster, id, sessions) {
            return Err(format!("{id} does not count right whom only its hub knows"));
        }
        let lingering = roster.people.lingering().filter(|home| **home == id.name);
        if usize::try_from(member.lingering) != Ok(lingering.count()) {
            return Err(format!(
                "{id} does not count right who left it a moment ago"
            ));
        }
    }
    for protocol in Protocol::ALL {
        if *roster.order(protocol) != roster.rebuilt_order(protocol) {
            return Err(format!(
                "pool {}: the order for {protocol:?} is out of date",
                roster.name()
            ));
        }
    }
    Ok(())
}

/// The people the gate is said to know there are those with a proven browser session.
fn attends_right(roster: &Roster, id: &InstanceId, sessions: &[&Session]) -> bool {
    let mut counts: Counts<&str> = Counts::new();
    let here = |session: &&&Session| session.instance == *id && session.is_proven();
    let by_browser = |session: &&&Session| session.protocol == Protocol::Jupyter;
    for session in sessions.iter().filter(here).filter(by_browser) {
        *counts
            .entry(session.user.as_deref().unwrap_or_default())
            .or_default() += 1;
    }
    let attended = roster.servers().attended(&id.name);
    attended
        .map(|(user, count)| (&**user, *count))
        .eq(counts.iter().map(|(user, count)| (*user, *count)))
}

fn check_people(roster: &Roster, sessions: &[&Session]) -> Result<(), String> {
    let mut counts: Counts<(&str, &str)> = Counts::new();
    for session in sessions.iter().filter(|session| session.is_proven()) {
        let user = session.user.as_deref().unwrap_or_default();
        *counts.entry((user, &session.instance.name)).or_default() += 1;
    }
    for (user, person) in roster.people.entries() {
        let (presences, home, forgotten_at) = person.parts();
        for at in presences {
            if counts.remove(&(user, &at.instance)) != Some(at.sessions) {
                return Err(format!(
                    "{user}'s sessions on {} are miscounted",
                    at.instance
                ));
            }
        }
        let is_there = |home| roster.member(home).is_some() || roster.people.is_awaited(home);
        if !home.is_some_and(|home| is_there(home)) {
            return Err(format!("{user} is remembered on an instance that is gone"));
        }
        if presences.is_empty() != forgotten_at.is_some() {
            return Err(format!("{user} is forgotten too early or never"));
        }
    }
    if let Some(((user, instance), _)) = counts.first_key_value() {
        return Err(format!("{user}'s sessions on {instance} are not known"));
    }
    if !roster.people.is_consistent() {
        return Err(format!(
            "pool {}: people will be forgotten in the wrong order",
            roster.name()
        ));
    }
    Ok(())
}
