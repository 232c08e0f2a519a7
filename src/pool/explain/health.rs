//! Why an instance's health is what it is: what was seen of each service, when that flipped it, and whom it concerns.
//!
//! Facts and sentences. Judging is `health`'s; what an instance has to do with placement is told with a person's next login.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::health::enough;
use super::super::instance::{AdminState, Health, InstanceId, Protocol};
use super::super::member::Member;
use super::super::rfc3339;
use super::super::snapshot::{HubView, Snapshot};
use super::super::{Heard, Pool, PoolRules};

mod words;

/// One instance and what its probes saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceHealth {
    pub pool: Arc<str>,
    pub instance: Arc<str>,
    pub admin_state: AdminState,
    pub health: Health,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub health_since: SystemTime,
    /// Good answers in a row that make a service up again.
    pub rise: u32,
    /// Bad ones that make it down.
    pub fall: u32,
    pub services: Vec<ServiceHealth>,
    /// Why its machine says that it takes nobody new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceHealth {
    pub service: Protocol,
    pub port: u16,
    pub health: Health,
    /// Since when the probes' verdict is what it is.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: SystemTime,
    /// The answer that flipped it; `None` where none has yet.
    pub flipped_by: Option<Heard>,
    pub last: Option<Heard>,
    /// The last answer that was a bad one, be it long ago.
    pub last_failure: Option<Heard>,
    /// Answers on their way to another verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turning: Option<Turning>,
    /// Who has a session there by this service.
    pub people: Vec<Arc<str>>,
    /// Sessions by it, those of people who are not known yet among them.
    pub sessions: u32,
}

/// Answers in a row that speak against the verdict, and how many it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Turning {
    pub is_better: bool,
    pub answers: u32,
    pub needed: u32,
}

impl Pool {
    /// What is known of one instance's services, or of all; who is there is for `add_people` to say.
    pub fn explain_health(&self, only: Option<&InstanceId>) -> Vec<InstanceHealth> {
        let is_wanted = |member: &&Member| only.is_none_or(|id| member.instance.id == *id);
        let rosters = self.rosters.values();
        let found = rosters.flat_map(|roster| {
            let members = roster.members().filter(is_wanted);
            members.map(|member| of_member(member, &roster.rules))
        });
        found.collect()
    }
}

fn of_member(member: &Member, rules: &PoolRules) -> InstanceHealth {
    let view = member.view();
    let services = Protocol::ALL.into_iter();
    InstanceHealth {
        services: services
            .filter_map(|protocol| of_service(member, protocol, rules))
            .collect(),
        pool: view.pool,
        instance: view.name,
        admin_state: view.admin_state,
        health: view.health,
        health_since: view.health_since,
        rise: rules.rise,
        fall: rules.fall,
        closed: view.measured.and_then(|measured| measured.closed),
        hub: view.hub,
    }
}

fn of_service(member: &Member, protocol: Protocol, rules: &PoolRules) -> Option<ServiceHealth> {
    let service = member.heard(protocol)?;
    let port = match protocol {
        Protocol::Ssh => member.instance.ssh_port,
        Protocol::Jupyter => member.instance.jupyter_port?,
    };
    Some(ServiceHealth {
        service: protocol,
        port,
        health: member.service(protocol)?,
        since: service.since(),
        flipped_by: service.flipped_by().cloned(),
        last: service.last().cloned(),
        last_failure: service.last_failure().cloned(),
        turning: service.run().map(|run| Turning {
            is_better: run.is_better,
            answers: run.answers,
            needed: enough(service.verdict(), run.is_better, (rules.rise, rules.fall)),
        }),
        people: Vec::new(),
        sessions: 0,
    })
}

/// Who is there by which service, in one pass over all sessions.
pub fn add_people(stories: &mut [InstanceHealth], snapshot: &Snapshot) {
    let mut services: BTreeMap<_, _> = BTreeMap::new();
    for story in stories {
        for service in &mut story.services {
            let key = (story.pool.clone(), story.instance.clone(), service.service);
            services.insert(key, service);
        }
    }
    for session in &snapshot.sessions {
        let key = (
            session.pool.clone(),
            session.instance.clone(),
            session.protocol,
        );
        let Some(service) = services.get_mut(&key) else {
            continue;
        };
        service.sessions = service.sessions.saturating_add(1);
        let user = session.user.as_ref();
        service
            .people
            .extend(user.filter(|user| !service.people.contains(user)).cloned());
    }
}

/// How long ago, as one reads it: to the second below a minute, else in minutes, hours or days.
fn ago(at: SystemTime, now: SystemTime) -> String {
    let s = now.duration_since(at).unwrap_or(Duration::ZERO).as_secs();
    match s {
        86_400.. => format!("{} d ago", s / 86_400),
        3600.. => format!("{} h ago", s / 3600),
        60.. => format!("{} min ago", s / 60),
        _ => format!("{s} s ago"),
    }
}
