//! The pool core: instances, their health, sessions and placement, as plain data and pure functions.
//!
//! Deliberately absent: sockets, locks, clocks, randomness, configuration files. Time comes in as `Now`, the seed for
//! breaking ties at construction. `shared_pool` owns the lock and the channel that publishes snapshots.

pub mod affinity;
pub mod cost;
pub mod decision;
mod elsewhere;
pub mod explain;
mod health;
pub mod idle;
pub mod instance;
pub mod intent;
mod invariants;
pub mod keep;
pub mod known;
mod life;
pub mod login_name;
pub mod machine;
pub mod measured;
mod member;
mod order;
pub mod outlook;
pub mod placement;
pub mod plea;
pub mod queue;
pub mod rfc3339;
mod roster;
mod rules;
mod servers;
mod service;
pub mod session;
pub mod snapshot;
mod stand;
#[cfg(test)]
mod tests;

pub use decision::{Decider, Decision, Expected, Keep, Prospect};
pub use instance::{AdminState, Health, Instance, InstanceId, Protocol};
pub use intent::{Budget, Foreseen, Held, Intent, PhaseView};
pub use known::{Acquaintance, Known};
pub use login_name::{LoginName, LoginNameError};
pub use machine::{Machine, MachinePhase, Observed};
pub use measured::Measured;
pub use outlook::{Outlook, Progress, Wake, WakeStage};
pub use placement::{LoginRequest, Placement, PlacementReason, Refusal};
pub use plea::{Given, Place, Plea, Refused, Reply};
pub use queue::{Queue, QueueFull, Waiter};
pub use rules::{PlacementPolicy, PoolRules};
pub use servers::HubPerson;
pub use service::{Answer, Heard};
pub use session::{Session, SessionId, SessionIdError, Stage};
pub use snapshot::{
    HubView, InstanceView, OlderGate, PoolView, ServicesView, SessionView, Snapshot, WaiterView,
};
pub use stand::Stand;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use member::Member;
use roster::Roster;

/// The time, read once by the caller: the monotonic clock for deadlines, the wall clock for people.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    pub wall: SystemTime,
}

/// All pools of a gate: the one owner of their state.
#[derive(Clone, Debug)]
pub struct Pool {
    rosters: BTreeMap<Arc<str>, Roster>,
    /// In order of age, because ids grow.
    sessions: BTreeMap<SessionId, Session>,
    /// By their process.
    older: BTreeMap<u32, OlderGate>,
    last_session: u64,
    seed: u64,
}

impl Pool {
    /// `seed` orders equally loaded instances and sets where session ids begin.
    pub fn new(seed: u64) -> Self {
        Self {
            rosters: BTreeMap::new(),
            sessions: BTreeMap::new(),
            older: BTreeMap::new(),
            last_session: order::finish(seed) & 0xffff_ffff_0000_0000,
            seed,
        }
    }

    /// Adds a pool or changes its rules. A new default pool takes the place of the old one.
    pub fn configure(&mut self, pool: &str, rules: PoolRules) {
        if rules.default {
            for roster in self.rosters.values_mut() {
                roster.rules.default = false;
            }
        }
        match self.rosters.get_mut(pool) {
            Some(roster) => roster.rules = rules,
            None => {
                let name: Arc<str> = Arc::from(pool);
                self.rosters.insert(name.clone(), Roster::new(name, rules));
            }
        }
        self.debug_check();
    }

    /// Makes the pool hold exactly these instances and returns the sessions of those that are gone or are another machine
    /// under an old name; these sessions have ended. A pool that is not configured stays empty.
    pub fn sync_instances(
        &mut self,
        pool: &str,
        listing: Vec<Instance>,
        now: Now,
    ) -> Vec<SessionId> {
        let Some(roster) = self.rosters.get_mut(pool) else {
            return Vec::new();
        };
        let gone = roster.sync(listing, self.seed, now.wall);
        if gone.is_empty() {
            self.debug_check();
            return Vec::new();
        }
        let name = roster.name().clone();
        let is_lost = |session: &Session| {
            session.instance.pool == name && gone.contains(&session.instance.name)
        };
        let lost = self.sessions.values().filter(|session| is_lost(session));
        let lost: Vec<SessionId> = lost.map(|session| session.id).collect();
        for id in &lost {
            self.remove_session(*id, now.instant);
        }
        if let Some(roster) = self.rosters.get_mut(pool) {
            roster
                .people
                .forget_instances(|instance| gone.contains(instance));
            roster.settle(now.instant);
        }
        self.debug_check();
        lost
    }

    /// One probe's answer, or a login's own failed connect. Returns the instance's new overall health if it flipped.
    pub fn observe(
        &mut self,
        id: &InstanceId,
        service: Protocol,
        answer: impl Into<Answer>,
        now: Now,
    ) -> Option<Health> {
        let roster = self.rosters.get_mut(&id.pool)?;
        let runs = (roster.rules.rise, roster.rules.fall);
        let flip = roster.update(&id.name, |member| {
            member.observe(service, answer.into(), runs, now.wall)
        });
        self.debug_check();
        flip.flatten()
    }

    /// Who has a server on an instance, as its hub says; `None` if the hub did not answer, which keeps its last word.
    pub fn hear_hub(&mut self, id: &InstanceId, people: Option<Vec<HubPerson>>) {
        if let Some(roster) = self.rosters.get_mut(&id.pool) {
            roster.hear_hub(&id.name, people);
        }
        self.debug_check();
    }

    /// What an instance's machine tells of itself; `None` once that is too old. Returns its new overall health if it
    /// flipped.
    pub fn measure(
        &mut self,
        id: &InstanceId,
        measured: Option<Measured>,
        now: Now,
    ) -> Option<Health> {
        let roster = self.rosters.get_mut(&id.pool)?;
        let flip = roster.update(&id.name, |member| member.measure(measured, now.wall));
        self.debug_check();
        flip.flatten()
    }

    /// Chooses an instance and takes a seat on it, in one step.
    pub fn place(&mut self, request: &LoginRequest, now: Now) -> Result<Placement, Refusal> {
        self.place_if(request, now, |_| true)
    }

    /// The same for whom others stand in line before: they get no seat but where their session or server is already.
    pub fn place_behind(&mut self, request: &LoginRequest, now: Now) -> Result<Placement, Refusal> {
        self.place_if(request, now, PlacementReason::is_presence)
    }

    fn place_if(
        &mut self,
        request: &LoginRequest,
        now: Now,
        is_enough: impl FnOnce(PlacementReason) -> bool,
    ) -> Result<Placement, Refusal> {
        let roster = match &request.pool {
            Some(name) => self.rosters.get_mut(name.as_str()),
            None => self
                .rosters
                .values_mut()
                .find(|roster| roster.rules.default),
        };
        let Some(roster) = roster else {
            let name = request.pool.as_deref().unwrap_or("default");
            return Err(Refusal::NoSuchPool(name.to_owned()));
        };
        roster.settle(now.instant);
        let chosen = placement::choose(roster, request, now.instant);
        if request.patient && matches!(chosen, Err(Refusal::Full(_))) {
            roster.crowd(now.instant);
        }
        let (name, reason) = chosen?;
        if !is_enough(reason) {
            return Err(Refusal::Full(roster.name().to_string()));
        }
        if reason.is_policy() {
            roster.take_turn(&name);
        }
        let is_proven = request.proven_user().is_some();
        let seated = roster.update(&name, |member| {
            member.take_seat(is_proven);
            let has_room = member.is_routable(request.protocol, true);
            (member.instance.clone(), has_room)
        });
        let Some((instance, has_room)) = seated else {
            return Err(Refusal::NoneUp(roster.name().to_string()));
        };
        if !has_room {
            roster.crowd(now.instant);
        }
        let user = roster.welcome(&name, request);
        roster.settle(now.instant);
        let session = self.next_session();
        self.begin_session(session, request, (user, instance.id.clone()), now);
        self.debug_check();
        Ok(Placement {
            session,
            instance,
            reason,
        })
    }

    /// An operator sends a person to an instance, before whatever else they have. False if there is no such instance.
    pub fn send(&mut self, user: &str, to: &InstanceId, now: Now) -> bool {
        let Some(roster) = self.rosters.get_mut(&to.pool) else {
            return false;
        };
        let Some(member) = roster.member(&to.name) else {
            return false;
        };
        let (name, affinity) = (member.instance.id.name.clone(), roster.rules.affinity);
        roster.settle(now.instant);
        roster.people.send(user, &name, now.instant, affinity);
        roster.settle(now.instant);
        self.debug_check();
        true
    }

    /// Where an operator sends this person, if that is another instance than the one they are `at` and takes them.
    pub fn sent_elsewhere(&self, request: &LoginRequest, at: &InstanceId, now: Now) -> bool {
        let Some(roster) = self.rosters.get(&at.pool) else {
            return false;
        };
        placement::sent_elsewhere(roster, request, &at.name, now.instant).is_some()
    }

    /// The instance this person belongs on, if it is another than the one they are `at` and its service is up. Takes no
    /// seat and remembers nothing.
    pub fn belongs_elsewhere(
        &self,
        request: &LoginRequest,
        at: &InstanceId,
        now: Now,
    ) -> Option<(Arc<Instance>, PlacementReason)> {
        let roster = self.rosters.get(&at.pool)?;
        let (name, reason) = placement::belongs_elsewhere(roster, request, &at.name, now.instant)?;
        Some((roster.member(&name)?.instance.clone(), reason))
    }

    /// Forgets the people whose time is over.
    pub fn expire(&mut self, now: Now) {
        for roster in self.rosters.values_mut() {
            roster.settle(now.instant);
        }
        self.debug_check();
    }

    /// When `expire` has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let rosters = self.rosters.values();
        rosters
            .filter_map(|roster| roster.people.next_deadline())
            .min()
    }

    /// What the fleet last listed under this name.
    pub fn instance(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        let roster = self.rosters.get(&id.pool)?;
        roster.member(&id.name).map(|member| &member.instance)
    }

    /// What an instance's hub says; `None` where it is not asked, or has not answered yet.
    pub fn hub(&self, id: &InstanceId) -> Option<HubView> {
        self.rosters.get(&id.pool)?.servers().view(&id.name)
    }

    /// The health of each service of an instance.
    pub fn services(&self, id: &InstanceId) -> Option<ServicesView> {
        let member = self.rosters.get(&id.pool)?.member(&id.name)?;
        Some(member.services())
    }

    /// Whether a pool of this name is configured.
    pub fn has_pool(&self, pool: &str) -> bool {
        self.rosters.contains_key(pool)
    }

    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn snapshot(&self) -> Snapshot {
        let rosters = self.rosters.values();
        Snapshot {
            pools: rosters.clone().map(Roster::view).collect(),
            instances: rosters
                .flat_map(Roster::members)
                .map(Member::view)
                .collect(),
            sessions: self.sessions.values().map(Session::view).collect(),
            older: self.older.values().cloned().collect(),
        }
    }

    fn debug_check(&self) {
        debug_assert_eq!(self.check_invariants(), Ok(()));
    }
}
