//! What the rest of the program may see of the pools: plain values, the same objects the API and the command line print.
//!
//! A snapshot is a copy taken at one moment; nothing in it can change the pool. It names people, so it goes to operators
//! only. Times are written as RFC 3339 in UTC.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decision::{Decider, Keep, Prospect};
use super::instance::{AdminState, Health, InstanceId, Protocol};
use super::intent::Intent;
use super::measured::Measured;
use super::placement::LoginRequest;
use super::rfc3339;
use super::rules::PlacementPolicy;
use super::session::{SessionId, Stage};

/// Everything, ordered: pools and instances by name, sessions by age.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub pools: Vec<PoolView>,
    pub instances: Vec<InstanceView>,
    pub sessions: Vec<SessionView>,
    /// Gates of before that still hold some of them.
    #[serde(default)]
    pub older: Vec<OlderGate>,
}

/// A gate whose place this one, or one before it, has taken, and which keeps its sessions to their end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OlderGate {
    pub pid: u32,
    /// The version of its program; `None` as long as it has not said.
    pub version: Option<Arc<str>>,
    /// Sessions of any stage.
    pub sessions: u32,
    /// Whether it is known whom it holds; as long as it is not, no machine is drained or removed.
    pub is_heard: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    pub name: Arc<str>,
    /// Logins that name no pool go here.
    pub default: bool,
    pub placement: PlacementPolicy,
    pub instances: u32,
    /// Instances that take a login by at least one protocol.
    pub instances_routable: u32,
    /// Seats in all, on instances of any state.
    pub capacity: u32,
    /// Seats taken by proven people and by those only a hub knows.
    pub load: u32,
    /// Seats free over the routable instances.
    pub headroom: u32,
    /// Sessions of any stage.
    pub sessions: u32,
    /// What comes for those who wait; `None` where the pool is not resized.
    #[serde(default)]
    pub prospect: Option<Prospect>,
    /// What its controller is about; `None` where the pool is not resized, or nothing is planned yet.
    #[serde(default)]
    pub intent: Option<Arc<Intent>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceView {
    pub name: Arc<str>,
    pub address: String,
    pub pool: Arc<str>,
    pub admin_state: AdminState,
    pub decided_by: Decider,
    /// Why, as who decided says; `None` where nothing was decided.
    #[serde(default)]
    pub reason: Option<Arc<str>>,
    /// Of a drain: whoever is still there then is told to go.
    #[serde(default, with = "rfc3339::option")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<SystemTime>,
    #[serde(default)]
    pub keep: Option<Keep>,
    /// It is about to be removed, and nobody gets in any more.
    #[serde(default)]
    pub is_sealed: bool,
    /// All services in one word.
    pub health: Health,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub health_since: SystemTime,
    pub services: ServicesView,
    /// What its hub says; `None` where it is not asked, or has not answered yet.
    #[serde(default)]
    pub hub: Option<HubView>,
    /// What its machine tells of itself; `None` where it is not asked, or has not answered for too long.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// Sessions of any stage.
    pub sessions: u32,
    pub capacity: u32,
    /// Seats taken by proven people and by those only the hub knows; below `capacity` means there is room.
    pub load: u32,
    pub ssh_port: u16,
    /// `None` where the instance runs no hub.
    pub jupyter_port: Option<u16>,
    pub generation: u64,
}

/// People with a server, as a hub tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HubView {
    pub people: u32,
    /// Those of them whom the gate does not know there: they came directly, or their browser is closed.
    pub direct: u32,
    /// Those of them with a server that is being started or stopped.
    pub pending: u32,
    /// It does not answer; this is its last word.
    pub is_stale: bool,
}

/// Health by service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServicesView {
    pub ssh: Health,
    /// `None` where the instance runs no hub.
    pub jupyter: Option<Health>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    pub id: SessionId,
    /// Only claimed while `stage` is provisional; `None` for a browser nobody has logged in on.
    pub user: Option<Arc<str>>,
    pub protocol: Protocol,
    pub pool: Arc<str>,
    pub instance: Arc<str>,
    #[schema(value_type = String)]
    pub peer: IpAddr,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: SystemTime,
    pub stage: Stage,
    /// A gate of before holds it, whose place this one took.
    #[serde(default)]
    pub is_elsewhere: bool,
}

/// Somebody who waits for a seat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WaiterView {
    pub pool: Arc<str>,
    /// 1 is the first.
    pub place: usize,
    /// `None` for a browser nobody has logged in on.
    pub user: Option<Arc<str>>,
    pub by: Vec<Protocol>,
    /// Whom limits count as one client.
    #[schema(value_type = String)]
    pub source: IpAddr,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: SystemTime,
    /// Whether they are there; who was cut off has a minute to return to their place, and holds nobody up.
    pub is_there: bool,
}

impl Snapshot {
    /// Gates of before of which it is not known whom they hold.
    pub fn unheard(&self) -> impl Iterator<Item = &OlderGate> {
        self.older.iter().filter(|gate| !gate.is_heard)
    }

    /// The name of the pool that a login is for.
    pub fn pool_of(&self, request: &LoginRequest) -> Option<Arc<str>> {
        let is_meant = |pool: &&PoolView| match &request.pool {
            Some(wanted) => *pool.name == **wanted,
            None => pool.default,
        };
        let pool = self.pools.iter().find(is_meant)?;
        Some(pool.name.clone())
    }

    pub fn pool(&self, name: &str) -> Option<&PoolView> {
        self.pools.iter().find(|pool| &*pool.name == name)
    }

    pub fn instance(&self, pool: &str, name: &str) -> Option<&InstanceView> {
        self.instances
            .iter()
            .find(|instance| &*instance.pool == pool && &*instance.name == name)
    }

    pub fn session(&self, id: SessionId) -> Option<&SessionView> {
        let at = self
            .sessions
            .binary_search_by_key(&id, |session| session.id);
        at.ok().and_then(|at| self.sessions.get(at))
    }

    pub fn instances_of<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = &'a InstanceView> {
        self.instances
            .iter()
            .filter(move |instance| &*instance.pool == pool)
    }

    pub fn sessions_on<'a>(&'a self, id: &'a InstanceId) -> impl Iterator<Item = &'a SessionView> {
        self.sessions
            .iter()
            .filter(move |session| session.pool == id.pool && session.instance == id.name)
    }
}
