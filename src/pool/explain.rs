//! Why somebody is where they are, and where their next login goes: facts, each candidate with its score, and the choice
//! itself, made by the very code that places people.
//!
//! Nothing is changed: no seat is taken and nobody remembered. `words` puts it into sentences.

pub mod health;
mod scaling;
mod words;

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::instance::Protocol;
use super::member::Member;
use super::placement::{self, LoginRequest, PlacementReason, Refusal};
use super::rfc3339;
use super::roster::Roster;
use super::rules::PlacementPolicy;
use super::snapshot::{SessionView, WaiterView};
use super::{Now, Pool};

/// One person in one pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PersonView {
    pub user: Arc<str>,
    pub pool: Arc<str>,
    pub placement: PlacementPolicy,
    pub sessions: Vec<SessionView>,
    /// Instances whose hub says that they have a server, the latest active first.
    pub servers: Vec<Arc<str>>,
    pub memory: Option<MemoryView>,
    /// Their place in the line.
    pub waiting: Option<WaiterView>,
    /// What the next login would do, by each protocol of the pool.
    pub next: Vec<NextLogin>,
}

/// The instance somebody is remembered on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemoryView {
    pub instance: Arc<str>,
    /// An operator sends them there.
    pub is_order: bool,
    /// `None` while they have a session.
    #[serde(default, with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<SystemTime>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NextLogin {
    pub protocol: Protocol,
    /// `None` where none would take it.
    pub instance: Option<Arc<str>>,
    /// As audit lines have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why none would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// A machine is started for whoever waits.
    pub wakes: bool,
    pub candidates: Vec<Candidate>,
}

/// An instance as placement sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    pub instance: Arc<str>,
    pub is_chosen: bool,
    /// Seats taken, those of unproven people among them.
    pub seats: u32,
    pub capacity: u32,
    /// Load as a share of the capacity, with people who just left and with what the machine tells; `None` where it is not
    /// in the order because it takes no logins at all.
    pub score: Option<f64>,
    /// What keeps newcomers out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// Why it is chosen, or is not.
    pub why: String,
}

impl Pool {
    /// `is_behind`: whether others stand in line before this person, by protocol.
    ///
    /// # Errors
    /// When there is no such pool.
    pub fn explain(
        &mut self,
        user: &str,
        pool: Option<&str>,
        is_behind: impl Fn(&str, Protocol) -> bool,
        now: Now,
    ) -> Result<PersonView, Refusal> {
        self.expire(now);
        let mut rosters = self.rosters.values();
        let roster = rosters.find(|roster| match pool {
            Some(name) => **roster.name() == *name,
            None => roster.rules.default,
        });
        let Some(roster) = roster else {
            let name = pool.unwrap_or("default");
            return Err(Refusal::NoSuchPool(name.to_owned()));
        };
        let is_theirs = |session: &&super::Session| {
            session.user.as_deref() == Some(user) && session.instance.pool == *roster.name()
        };
        let sessions = self.sessions.values().filter(is_theirs);
        let protocols = Protocol::ALL.into_iter().filter(|protocol| {
            let mut members = roster.members();
            *protocol == Protocol::Ssh || members.any(|member| member.service(*protocol).is_some())
        });
        let next = protocols.map(|protocol| {
            let is_behind = is_behind(roster.name(), protocol);
            next_login(roster, user, protocol, is_behind, now)
        });
        Ok(PersonView {
            user: user.into(),
            pool: roster.name().clone(),
            placement: roster.rules.placement,
            sessions: sessions.map(super::Session::view).collect(),
            servers: roster.servers().homes(user).cloned().collect(),
            memory: memory(roster, user, now),
            waiting: None,
            next: next.collect(),
        })
    }
}

fn memory(roster: &Roster, user: &str, now: Now) -> Option<MemoryView> {
    let sent_to = roster.people.sent_to(user, now.instant);
    let instance = sent_to.or_else(|| roster.people.home(user, now.instant))?;
    let left = roster
        .people
        .forgotten_at(user)
        .map(|end| end.saturating_duration_since(now.instant));
    Some(MemoryView {
        instance: instance.clone(),
        is_order: sent_to.is_some(),
        until: left.and_then(|left| now.wall.checked_add(left)),
    })
}

fn next_login(
    roster: &Roster,
    user: &str,
    protocol: Protocol,
    is_behind: bool,
    now: Now,
) -> NextLogin {
    let request = LoginRequest {
        pool: Some(roster.name().to_string()),
        instance: None,
        user: Some(user.to_owned()),
        proved: true,
        protocol,
        peer: std::net::Ipv4Addr::UNSPECIFIED.into(),
        exclude: Vec::new(),
        patient: false,
    };
    let chosen = placement::choose(roster, &request, now.instant);
    let chosen = match chosen {
        Ok((_, reason)) if is_behind && !reason.is_presence() => {
            Err(Refusal::InLine(roster.name().to_string()))
        }
        chosen => chosen,
    };
    let candidates = candidates(roster, protocol, chosen.as_ref().ok());
    let wakes = matches!(chosen, Err(Refusal::Full(_) | Refusal::NoneUp(_)));
    let (found, refusal) = match chosen {
        Ok(found) => (Some(found), None),
        Err(refusal) => (None, Some(refusal.to_string())),
    };
    NextLogin {
        protocol,
        reason: found.as_ref().map(|(_, reason)| reason.name().to_owned()),
        instance: found.map(|(name, _)| name),
        refusal,
        wakes: wakes && roster.prospect.is_some(),
        candidates,
    }
}

/// Those that take logins in the order in which the policy would have them, then the others by name.
fn candidates(
    roster: &Roster,
    protocol: Protocol,
    chosen: Option<&(Arc<str>, PlacementReason)>,
) -> Vec<Candidate> {
    let is_packed = roster.rules.placement == PlacementPolicy::Pack;
    let ranked: Vec<_> = roster.order(protocol).ranked().collect();
    let open = |member: &&Member| member.is_routable(protocol, true);
    let (routable, others): (Vec<_>, Vec<_>) = ranked
        .iter()
        .filter_map(|rank| roster.member(&rank.name))
        .partition(open);
    let closed = roster.members().filter(|member| !member.is_open(protocol));
    let mut members = routable;
    if is_packed {
        members.reverse();
    }
    members.extend(others);
    members.extend(closed);
    let candidate = |member: &Member| {
        let name = &member.instance.id.name;
        let rank = ranked.iter().find(|rank| rank.name == *name);
        let obstacle = member.obstacle(protocol, true);
        let reason = chosen.filter(|(chosen, _)| chosen == name);
        Candidate {
            instance: name.clone(),
            is_chosen: reason.is_some(),
            seats: member.seats(),
            capacity: member.instance.capacity,
            score: rank.map(|rank| (rank.score() * 1000.0).round() / 1000.0),
            obstacle: obstacle.map(|obstacle| obstacle.to_string()),
            why: String::new(),
        }
    };
    let mut candidates: Vec<_> = members.into_iter().map(candidate).collect();
    let best = candidates.iter().find(|one| one.is_chosen).cloned();
    for one in &mut candidates {
        one.why = words::of_candidate(one, best.as_ref(), chosen.map(|(_, reason)| *reason));
    }
    candidates
}
