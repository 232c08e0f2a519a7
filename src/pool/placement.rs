//! Which instance a login goes to, and why it is refused if none will do.
//!
//! In this order: the instance the person asked for; the one an operator sends them to; one they have a session on, or by its hub's word a server, whatever
//! was decided about it, as long as it is not down; the one they are remembered on; and else the policy. Instances the login has already found
//! unreachable are out in every case. Nothing is changed here: `Pool::place` takes the seat.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::instance::{Health, Instance, InstanceId, Protocol};
use super::order::Rank;
use super::roster::Roster;
use super::rules::PlacementPolicy;
use super::session::SessionId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    /// `None`: the default pool.
    pub pool: Option<String>,
    /// A person's wish for one instance by name.
    pub instance: Option<String>,
    /// The login name; `None` for a browser nobody has logged in on.
    pub user: Option<String>,
    /// Whether `user` has been proved. An unproved name may be looked up but never remembered.
    pub proved: bool,
    pub protocol: Protocol,
    pub peer: IpAddr,
    /// Instances this login has found unreachable.
    pub exclude: Vec<InstanceId>,
    /// It would rather wait a moment than take more than its share of an instance, where people stand in line.
    pub patient: bool,
}

#[derive(Clone, Debug)]
pub struct Placement {
    pub session: SessionId,
    pub instance: Arc<Instance>,
    pub reason: PlacementReason,
}

/// Why this instance; printed in the audit line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlacementReason {
    LeastLoaded,
    MostLoaded,
    LiveSession,
    /// A hub says so, whoever started it.
    LiveServer,
    Affinity,
    /// An operator sends them there.
    Sent,
    Requested,
}

impl PlacementReason {
    /// As audit lines and metrics show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LeastLoaded => "least-loaded",
            Self::MostLoaded => "most-loaded",
            Self::LiveSession => "live-session",
            Self::LiveServer => "live-server",
            Self::Affinity => "affinity",
            Self::Sent => "sent",
            Self::Requested => "requested",
        }
    }

    /// This person is there already, and takes nobody's seat.
    pub(super) const fn is_presence(self) -> bool {
        matches!(self, Self::LiveSession | Self::LiveServer)
    }

    /// Nothing tied this person to the instance.
    pub(super) const fn is_policy(self) -> bool {
        matches!(self, Self::LeastLoaded | Self::MostLoaded)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    #[error("there is no pool named {0}")]
    NoSuchPool(String),
    #[error("pool {pool} has no instance named {instance}")]
    NoSuchInstance { pool: String, instance: String },
    #[error("instance {0} takes no logins: it is {1}")]
    NotRoutable(String, Cow<'static, str>),
    #[error("every instance of pool {0} is full")]
    Full(String),
    /// Only for the patient: the seats that are free now are not the next ones by load.
    #[error("people stand in line for the seats of pool {0}")]
    InLine(String),
    #[error("no instance of pool {0} is up")]
    NoneUp(String),
}

impl LoginRequest {
    /// The person this login belongs to for certain; a proof without a name proves nobody.
    pub(super) fn proven_user(&self) -> Option<&str> {
        self.user.as_deref().filter(|_| self.proved)
    }
}

/// The instance, by name, and why this one.
pub(super) fn choose(
    roster: &Roster,
    request: &LoginRequest,
    now: Instant,
) -> Result<(Arc<str>, PlacementReason), Refusal> {
    let search = Search {
        roster,
        request,
        is_proven: request.proven_user().is_some(),
    };
    if let Some(wish) = &request.instance {
        return search.requested(wish);
    }
    let found = search.sent(now).or_else(|| search.present());
    let found = found.or_else(|| search.serving());
    let found = found.or_else(|| search.remembered(now));
    if let Some(found) = found {
        return Ok(found);
    }
    let (rank, reason) = search.by_policy().ok_or_else(|| search.refusal())?;
    if request.patient && roster.is_crowded(now) && search.has_more_than_its_share(rank) {
        return Err(Refusal::InLine(roster.name().to_string()));
    }
    Ok((rank.name.clone(), reason))
}

/// Where this person belongs, be there room or not, as long as the service is up there: for somebody who is `at` an
/// instance already. `None` if they belong there, or anywhere.
pub(super) fn belongs_elsewhere(
    roster: &Roster,
    request: &LoginRequest,
    at: &str,
    now: Instant,
) -> Found {
    let search = Search::of_proven(roster, request);
    let user = search.user()?;
    if let Some(sent) = search.sent(now) {
        return search.other_than(at, Some(sent));
    }
    if roster.people.is_present(user, at) {
        return None;
    }
    let has_server = roster.servers().homes(user).any(|home| **home == *at);
    let elsewhere = || search.serving().or_else(|| search.remembered(now));
    let found = search.present();
    let found = found.or_else(|| (!has_server).then(elsewhere).flatten());
    search.other_than(at, found)
}

/// Where an operator sends this person, if that is another instance than the one they are `at` and would take them.
pub(super) fn sent_elsewhere(
    roster: &Roster,
    request: &LoginRequest,
    at: &str,
    now: Instant,
) -> Found {
    let search = Search::of_proven(roster, request);
    search.other_than(at, search.sent(now))
}

struct Search<'a> {
    roster: &'a Roster,
    request: &'a LoginRequest,
    is_proven: bool,
}

type Found = Option<(Arc<str>, PlacementReason)>;

impl<'a> Search<'a> {
    fn of_proven(roster: &'a Roster, request: &'a LoginRequest) -> Self {
        Self {
            roster,
            request,
            is_proven: true,
        }
    }

    /// What was found, if it is somewhere else and takes people there.
    fn other_than(&self, at: &str, found: Found) -> Found {
        found.filter(|(name, _)| **name != *at && self.is_up(name))
    }

    fn requested(&self, wish: &str) -> Result<(Arc<str>, PlacementReason), Refusal> {
        let Some(member) = self.roster.member(wish) else {
            return Err(Refusal::NoSuchInstance {
                pool: self.roster.name().to_string(),
                instance: wish.to_owned(),
            });
        };
        let refuse = |why: &'static str| Err(Refusal::NotRoutable(wish.to_owned(), why.into()));
        if self.is_excluded(wish) {
            return refuse("unreachable");
        }
        let is_present = self
            .user()
            .is_some_and(|user| self.roster.people.is_present(user, wish) || self.serves(wish));
        match member.obstacle(self.request.protocol, self.is_proven) {
            Some(obstacle) if !(is_present && self.takes_back(wish)) => refuse(obstacle.why()),
            _ => Ok((member.instance.id.name.clone(), PlacementReason::Requested)),
        }
    }

    /// Where an operator sends them, as far as it takes logins; who is there already comes back.
    fn sent(&self, now: Instant) -> Found {
        let user = self.user()?;
        let name = self.roster.people.sent_to(user, now)?;
        if self.is_excluded(name) {
            return None;
        }
        let is_there = self.roster.people.is_present(user, name) || self.serves(name);
        if is_there && self.takes_back(name) {
            return Some((name.clone(), PlacementReason::LiveSession));
        }
        let member = self.roster.member(name)?;
        let is_routable = member.is_routable(self.request.protocol, self.is_proven);
        is_routable.then(|| (name.clone(), PlacementReason::Sent))
    }

    fn present(&self) -> Found {
        let mut presences = self.roster.people.presences(self.user()?);
        let name = presences.find(|name| !self.is_excluded(name) && self.takes_back(name))?;
        Some((name.clone(), PlacementReason::LiveSession))
    }

    /// Their server runs there, or starts.
    fn serving(&self) -> Found {
        let mut homes = self.roster.servers().homes(self.user()?);
        let name = homes.find(|name| !self.is_excluded(name) && self.takes_back(name))?;
        Some((name.clone(), PlacementReason::LiveServer))
    }

    fn serves(&self, name: &str) -> bool {
        let homes = self.user().map(|user| self.roster.servers().homes(user));
        homes.is_some_and(|mut homes| homes.any(|home| **home == *name))
    }

    fn remembered(&self, now: Instant) -> Found {
        let home = self.roster.people.home(self.user()?, now)?;
        let member = self.roster.member(home)?;
        let is_routable = member.is_routable(self.request.protocol, self.is_proven);
        (is_routable && !self.is_excluded(home)).then(|| (home.clone(), PlacementReason::Affinity))
    }

    fn by_policy(&self) -> Option<(&Rank, PlacementReason)> {
        let order = self.roster.order(self.request.protocol);
        let suits = |rank: &Rank| !self.is_excluded(&rank.name);
        Some(match self.roster.rules.placement {
            PlacementPolicy::Spread | PlacementPolicy::Auto => (
                order.least(self.is_proven, suits)?,
                PlacementReason::LeastLoaded,
            ),
            PlacementPolicy::Pack => (
                order.most(self.is_proven, suits)?,
                PlacementReason::MostLoaded,
            ),
        })
    }

    /// More people belong there than on an instance that happens to be full: when everybody's turn comes within a moment,
    /// taking what is free first would heap them on the instance whose people leave first.
    fn has_more_than_its_share(&self, rank: &Rank) -> bool {
        let order = self.roster.order(self.request.protocol);
        self.roster.rules.placement != PlacementPolicy::Pack && order.is_above_a_full_one(rank)
    }

    /// The truth about a login for which nothing was found: an instance that is open is then full.
    fn refusal(&self) -> Refusal {
        let protocol = self.request.protocol;
        let pool = self.roster.name().to_string();
        let open = self.roster.order(protocol).open();
        let excluded = self.excluded().filter(|name| {
            let member = self.roster.member(name);
            member.is_some_and(|member| member.is_open(protocol))
        });
        if open > excluded.count() {
            Refusal::Full(pool)
        } else {
            Refusal::NoneUp(pool)
        }
    }

    fn user(&self) -> Option<&str> {
        self.request.user.as_deref()
    }

    fn takes_back(&self, name: &str) -> bool {
        let member = self.roster.member(name);
        member.is_some_and(|member| member.takes_back(self.request.protocol))
    }

    fn is_up(&self, name: &str) -> bool {
        let member = self.roster.member(name);
        member.is_some_and(|member| member.service(self.request.protocol) == Some(Health::Up))
    }

    fn is_excluded(&self, name: &str) -> bool {
        self.excluded().any(|excluded| excluded == name)
    }

    /// Names of this pool's excluded instances, each once.
    fn excluded(&self) -> impl Iterator<Item = &str> {
        let all = &self.request.exclude;
        let own = all.iter().filter(|id| id.pool == *self.roster.name());
        let first = own.enumerate().filter(|(at, id)| {
            let mut before = all
                .iter()
                .filter(|id| id.pool == *self.roster.name())
                .take(*at);
            !before.any(|earlier| earlier.name == id.name)
        });
        first.map(|(_, id)| &*id.name)
    }
}
