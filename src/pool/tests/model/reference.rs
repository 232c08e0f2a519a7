//! The pool as one would describe it to a person: lists, and every question answered by looking through them all.

use std::collections::BTreeMap;

use proptest::sample::Index;

use super::super::super::PlacementReason::{
    Affinity, LeastLoaded, LiveServer, LiveSession, MostLoaded, Requested,
};
use super::super::super::affinity::LINGER;
use super::*;

type Key = (String, String);
type HealthOf<'a> = &'a dyn Fn(&InstanceId, Protocol) -> Option<Health>;
type Allowed = Result<(Vec<InstanceId>, PlacementReason), Refusal>;

#[derive(Default)]
pub(super) struct Reference {
    pub sessions: Vec<Seated>,
    rules: BTreeMap<String, PoolRules>,
    instances: Vec<(Instance, AdminState)>,
    /// Every proven arrival there ever was, the newest last.
    arrivals: Vec<(String, InstanceId)>,
    /// By pool and user: where they belong and, once their last session ended, since and until when.
    homes: BTreeMap<Key, (InstanceId, Option<(Instant, Instant)>)>,
    /// By pool and user: where a session of theirs went live last.
    settled: BTreeMap<Key, InstanceId>,
    /// What hubs said last: who has a server there.
    servers: Vec<(InstanceId, Vec<&'static str>)>,
    /// Where they have sessions of which one went live.
    settled_at: Vec<(String, InstanceId)>,
}

pub(super) struct Seated {
    id: SessionId,
    instance: InstanceId,
    protocol: Protocol,
    /// Only proven names.
    user: Option<String>,
    is_carrying: bool,
}

impl Reference {
    pub fn configure(&mut self, pool: &str, rules: PoolRules) {
        if rules.default {
            self.rules
                .values_mut()
                .for_each(|rules| rules.default = false);
        }
        self.rules.insert(pool.into(), rules);
    }

    pub fn sync(&mut self, pool: &str, listing: &[Instance], now: Instant) -> Vec<SessionId> {
        if !self.rules.contains_key(pool) {
            return Vec::new();
        }
        let was = std::mem::take(&mut self.instances);
        let stays = |old: &Instance| {
            listing
                .iter()
                .any(|new| new.id == old.id && new.generation == old.generation)
        };
        let (own, others): (Vec<_>, Vec<_>) =
            was.into_iter().partition(|(old, _)| &*old.id.pool == pool);
        let (kept, gone): (Vec<_>, Vec<_>) = own.into_iter().partition(|(old, _)| stays(old));
        self.instances = others;
        for new in listing {
            let known = kept.iter().find(|(old, _)| old.id == new.id);
            let state = known.map_or(AdminState::Ready, |(_, state)| *state);
            self.instances.push((new.clone(), state));
        }
        let is_gone = |id: &InstanceId| gone.iter().any(|(old, _)| old.id == *id);
        let runs_hub = |id: &InstanceId| {
            let mut here = self.instances.iter();
            here.any(|(instance, _)| instance.id == *id && instance.jupyter_port.is_some())
        };
        self.servers.retain(|(id, _)| !is_gone(id) && runs_hub(id));
        let lost = self
            .sessions
            .iter()
            .filter(|session| is_gone(&session.instance));
        let lost: Vec<SessionId> = lost.map(|session| session.id).collect();
        lost.iter().for_each(|session| self.end(*session, now));
        let homeless = self.homes.iter().filter(|(_, (home, _))| is_gone(home));
        for (pool, user) in homeless.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            match self.presences(&pool, &user).first() {
                Some(next) => self.homes.insert((pool, user), (next.clone(), None)),
                None => self.homes.remove(&(pool, user)),
            };
        }
        let unsettled = self.settled.iter().filter(|(_, id)| is_gone(id));
        for (pool, user) in unsettled.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            let presences = self.presences(&pool, &user).into_iter();
            let mut settled =
                presences.filter(|id| self.settled_at.contains(&(user.clone(), id.clone())));
            match settled.next() {
                Some(next) => self.settled.insert((pool, user), next),
                None => self.settled.remove(&(pool, user)),
            };
        }
        lost
    }

    /// `None`: the hub did not answer, and what it said last stands.
    pub fn hear_hub(&mut self, id: &InstanceId, people: Option<Vec<&'static str>>) {
        let mut here = self.instances.iter();
        let runs_hub =
            here.any(|(instance, _)| instance.id == *id && instance.jupyter_port.is_some());
        if let Some(people) = people.filter(|_| runs_hub) {
            self.servers.retain(|(known, _)| known != id);
            self.servers.push((id.clone(), people));
        }
    }

    fn serves(&self, id: &InstanceId, user: &str) -> bool {
        let mut servers = self.servers.iter();
        servers.any(|(known, people)| known == id && people.contains(&user))
    }

    /// People with a server whom the gate does not know there by a browser.
    pub fn direct(&self, pool: &str, name: &str) -> u32 {
        let mut servers = self.servers.iter();
        let here = servers.find(|(id, _)| (&*id.pool, &*id.name) == (pool, name));
        let Some((id, people)) = here else { return 0 };
        let is_known = |user: &str| {
            self.sessions.iter().any(|session| {
                session.instance == *id
                    && session.protocol == Protocol::Jupyter
                    && session.user.as_deref() == Some(user)
            })
        };
        people.iter().filter(|user| !is_known(user)).count() as u32
    }

    pub fn decide(&mut self, id: &InstanceId, state: AdminState) -> bool {
        let found = self
            .instances
            .iter_mut()
            .find(|(instance, _)| instance.id == *id);
        found.map(|(_, old)| *old = state).is_some()
    }

    pub fn session(&self, at: Index) -> Option<SessionId> {
        (!self.sessions.is_empty()).then(|| at.get(&self.sessions).id)
    }

    pub fn admit(
        &mut self,
        id: SessionId,
        instance: InstanceId,
        request: &LoginRequest,
        now: Instant,
    ) {
        self.expire(now);
        self.sessions.push(Seated {
            id,
            instance,
            protocol: request.protocol,
            user: None,
            is_carrying: false,
        });
        if let Some(user) = request.user.as_deref().filter(|_| request.proved) {
            self.arrive(id, user);
        }
    }

    pub fn prove(&mut self, id: SessionId, user: &str, now: Instant) {
        self.expire(now);
        let old = self.arrive(id, user);
        if let Some((old, instance)) = old {
            self.leave(&old, &instance, now);
        }
        if self.seated(id).is_carrying {
            self.set_live(id);
        }
    }

    pub fn set_live(&mut self, id: SessionId) {
        let session = self.sessions.iter_mut().find(|session| session.id == id);
        let session = session.unwrap();
        session.is_carrying = true;
        if let Some(user) = session.user.clone() {
            let (pool, instance) = (session.instance.pool.to_string(), session.instance.clone());
            self.settled.insert((pool, user.clone()), instance.clone());
            self.settled_at.push((user, instance));
        }
    }

    pub fn turn_away(&mut self, id: SessionId) {
        let session = self.seated(id);
        let Some(user) = session.user.clone() else {
            return;
        };
        let same = |one: &&Seated| one.user == session.user && one.instance == session.instance;
        let is_only = self.sessions.iter().filter(same).count() == 1;
        let key = (session.instance.pool.to_string(), user);
        if is_only && self.settled.get(&key) == Some(&session.instance) {
            self.settled.remove(&key);
        }
    }

    /// Whose time is over is as if they had never been there.
    fn expire(&mut self, now: Instant) {
        let is_over = |until: &Option<(Instant, Instant)>| until.is_some_and(|(_, end)| end <= now);
        let over = self.homes.iter().filter(|(_, (_, until))| is_over(until));
        for key in over.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.homes.remove(&key);
            self.settled.remove(&key);
        }
    }

    fn seated(&self, id: SessionId) -> &Seated {
        let found = self.sessions.iter().find(|session| session.id == id);
        found.unwrap()
    }

    pub fn end(&mut self, id: SessionId, now: Instant) {
        let at = self
            .sessions
            .iter()
            .position(|session| session.id == id)
            .unwrap();
        let ended = self.sessions.remove(at);
        if let Some(user) = ended.user {
            self.leave(&user, &ended.instance, now);
        }
    }

    /// All seats of an instance, and those of proven people.
    pub fn seats(&self, pool: &str, name: &str) -> (u32, u32) {
        let here = self
            .sessions
            .iter()
            .filter(|session| (&*session.instance.pool, &*session.instance.name) == (pool, name));
        let proven = here.clone().filter(|session| session.user.is_some());
        (here.count() as u32, proven.count() as u32)
    }

    /// The instances this login may be placed on and why, or the refusal it must get.
    pub fn allowed(&self, request: &LoginRequest, now: Instant, health: HealthOf<'_>) -> Allowed {
        let default = || {
            self.rules
                .iter()
                .find(|(_, rules)| rules.default)
                .map(|(name, _)| name.clone())
        };
        let pool = request
            .pool
            .clone()
            .or_else(default)
            .unwrap_or("default".into());
        let Some(rules) = self.rules.get(&pool) else {
            return Err(Refusal::NoSuchPool(pool));
        };
        let login = Login {
            reference: self,
            request,
            health,
            now,
        };
        let presences = request
            .user
            .as_ref()
            .map_or(Vec::new(), |user| self.presences(&pool, user));
        if let Some(wish) = &request.instance {
            let id = InstanceId {
                pool: pool.as_str().into(),
                name: wish.as_str().into(),
            };
            return login.wished(id, &presences);
        }
        let back = presences
            .iter()
            .find(|id| !request.exclude.contains(id) && login.takes_back(id));
        if let Some(id) = back {
            return Ok((vec![id.clone()], LiveSession));
        }
        let serving = self.servers.iter().map(|(id, _)| id).filter(|id| {
            let user = request.user.as_deref();
            *id.pool == *pool
                && user.is_some_and(|user| self.serves(id, user))
                && !request.exclude.contains(id)
                && login.takes_back(id)
        });
        let serving: Vec<_> = serving.cloned().collect();
        if !serving.is_empty() {
            return Ok((serving, LiveServer));
        }
        let home = request
            .user
            .as_ref()
            .and_then(|user| self.homes.get(&(pool.clone(), user.clone())));
        if let Some((id, until)) = home
            && until.is_none_or(|(_, until)| until > now)
            && login.why_not(id).is_none()
        {
            return Ok((vec![id.clone()], Affinity));
        }
        login.by_policy(&pool, rules.placement)
    }

    /// Returns whose session it was before, and where.
    fn arrive(&mut self, id: SessionId, user: &str) -> Option<(String, InstanceId)> {
        let session = self
            .sessions
            .iter_mut()
            .find(|session| session.id == id)
            .unwrap();
        let instance = session.instance.clone();
        let old = session.user.replace(user.into());
        self.arrivals.push((user.into(), instance.clone()));
        self.homes.insert(
            (instance.pool.to_string(), user.into()),
            (instance.clone(), None),
        );
        old.map(|old| (old, instance))
    }

    fn leave(&mut self, user: &str, instance: &InstanceId, now: Instant) {
        let pool = instance.pool.to_string();
        let presences = self.presences(&pool, user);
        if !presences.contains(instance) {
            self.settled_at
                .retain(|(who, id)| who != user || id != instance);
        }
        if presences.is_empty() {
            let affinity = self.rules[&pool].affinity;
            let key = (pool, user.to_owned());
            match self.settled.get(&key) {
                Some(home) => self
                    .homes
                    .insert(key, (home.clone(), Some((now, now + affinity)))),
                None => self.homes.remove(&key),
            };
        }
    }

    /// Instances with a proven session of this person, the latest arrival first.
    fn presences(&self, pool: &str, user: &str) -> Vec<InstanceId> {
        let theirs = |id: &InstanceId| {
            let mut sessions = self.sessions.iter();
            sessions.any(|session| session.user.as_deref() == Some(user) && session.instance == *id)
        };
        let arrivals = self.arrivals.iter().rev();
        let here = arrivals.filter(|(who, id)| who == user && &*id.pool == pool && theirs(id));
        here.map(|(_, id)| id.clone()).collect()
    }
}

/// One login's view.
struct Login<'a> {
    reference: &'a Reference,
    request: &'a LoginRequest,
    health: HealthOf<'a>,
    now: Instant,
}

impl Login<'_> {
    fn wished(&self, id: InstanceId, presences: &[InstanceId]) -> Allowed {
        if !self
            .reference
            .instances
            .iter()
            .any(|(instance, _)| instance.id == id)
        {
            let (pool, instance) = (id.pool.to_string(), id.name.to_string());
            return Err(Refusal::NoSuchInstance { pool, instance });
        }
        let is_excluded = self.request.exclude.contains(&id);
        let user = self.request.user.as_deref();
        let is_there =
            presences.contains(&id) || user.is_some_and(|user| self.reference.serves(&id, user));
        if !is_excluded && is_there && self.takes_back(&id) {
            return Ok((vec![id], Requested));
        }
        match self.why_not(&id) {
            Some(why) => Err(Refusal::NotRoutable(id.name.to_string(), why.into())),
            None => Ok((vec![id], Requested)),
        }
    }

    fn by_policy(&self, pool: &str, policy: PlacementPolicy) -> Allowed {
        let own = self
            .reference
            .instances
            .iter()
            .filter(|(instance, _)| &*instance.id.pool == pool);
        let own = own.map(|(instance, _)| instance);
        let routable: Vec<_> = own
            .clone()
            .filter(|instance| self.why_not(&instance.id).is_none())
            .collect();
        let has_seat = |instance: &Instance| self.seats(instance) < u64::from(instance.capacity);
        let (candidates, wants_most, reason) = match policy {
            PlacementPolicy::Spread | PlacementPolicy::Auto => (routable, false, LeastLoaded),
            PlacementPolicy::Pack if routable.iter().any(|instance| has_seat(instance)) => {
                let with_seat = routable.into_iter().filter(|instance| has_seat(instance));
                (with_seat.collect(), true, MostLoaded)
            }
            PlacementPolicy::Pack => (routable, false, MostLoaded),
        };
        // Full or not, then the share of people there or just gone, then the share of people there.
        let standing = |one: &Instance, other: &Instance| {
            let share = |count: u64| count * u64::from(other.capacity);
            let seats = self.seats(one);
            let expected = seats + self.lingering(one);
            (!has_seat(one), share(expected), share(seats))
        };
        let is_less = |a: &Instance, b: &Instance| standing(a, b) < standing(b, a);
        let is_best = |one: &Instance| {
            let beats = |other: &&Instance| {
                if wants_most {
                    is_less(one, other)
                } else {
                    is_less(other, one)
                }
            };
            !candidates.iter().any(beats)
        };
        let best = candidates.iter().filter(|instance| is_best(instance));
        let best: Vec<InstanceId> = best.map(|instance| instance.id.clone()).collect();
        if !best.is_empty() {
            return Ok((best, reason));
        }
        let is_full = |instance: &Instance| self.why_not(&instance.id) == Some("full");
        if own.clone().any(is_full) {
            Err(Refusal::Full(pool.into()))
        } else {
            Err(Refusal::NoneUp(pool.into()))
        }
    }

    fn why_not(&self, id: &InstanceId) -> Option<&'static str> {
        let found = self
            .reference
            .instances
            .iter()
            .find(|(instance, _)| instance.id == *id);
        let (instance, state) = found.unwrap();
        let (seats, proven) = self.reference.seats(&id.pool, &id.name);
        let is_proven = self.request.proved && self.request.user.is_some();
        let taken = if is_proven { proven } else { seats };
        let taken = taken + self.reference.direct(&id.pool, &id.name);
        if self.request.exclude.contains(id) {
            return Some("unreachable");
        }
        match (state, (self.health)(id, self.request.protocol)) {
            (AdminState::Cordoned, _) => Some("cordoned"),
            (AdminState::Draining, _) => Some("draining"),
            (_, None) => Some("not running this service"),
            (_, Some(Health::Unknown)) => Some("not yet known to be up"),
            (_, Some(Health::NoLogins)) => Some("up but not admitting anybody new"),
            (_, Some(Health::Down)) => Some("down"),
            (_, Some(Health::Up)) if taken >= instance.capacity => Some("full"),
            (_, Some(Health::Up)) => None,
        }
    }

    fn takes_back(&self, id: &InstanceId) -> bool {
        let health = (self.health)(id, self.request.protocol);
        health.is_some_and(|health| health != Health::Down)
    }

    /// People who left less than half a minute ago and are remembered here.
    fn lingering(&self, instance: &Instance) -> u64 {
        let homes = self.reference.homes.values();
        let here = homes.filter(|(home, leave)| {
            let left = leave.map(|(left, until)| (left + LINGER).min(until));
            *home == instance.id && left.is_some_and(|end| end > self.now)
        });
        here.count() as u64
    }

    fn seats(&self, instance: &Instance) -> u64 {
        let (pool, name) = (&*instance.id.pool, &*instance.id.name);
        let (seats, _) = self.reference.seats(pool, name);
        u64::from(seats + self.reference.direct(pool, name))
    }
}
