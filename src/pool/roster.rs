//! One pool: its rules, its instances with their order, and its people.
//!
//! Every change of an instance goes through `update`, so the orders cannot fall behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::affinity::People;
use super::decision::{Expected, Prospect};
use super::instance::{Instance, Protocol};
use super::intent::Intent;
use super::member::Member;
use super::order::{Order, Standing, tie};
use super::placement::LoginRequest;
use super::rules::PoolRules;
use super::servers::{HubPerson, Servers};
use super::snapshot::PoolView;

#[derive(Clone, Debug)]
pub(super) struct Roster {
    pub rules: PoolRules,
    pub people: People,
    pub prospect: Option<Prospect>,
    /// Shared with every snapshot: it is words, and changes seldom.
    pub intent: Option<Arc<Intent>>,
    /// What was decided about instances that are not listed yet.
    pub expected: BTreeMap<Arc<str>, Expected>,
    servers: Servers,
    name: Arc<str>,
    members: BTreeMap<Arc<str>, Member>,
    ssh: Order,
    jupyter: Order,
    /// Logins that were placed by policy so far.
    turns: u64,
    /// When an instance last became full, or somebody who can wait found all of them full.
    crowded_at: Option<Instant>,
}

/// How long after that people count as arriving at once: seats that come free are dealt out by load, not by which is seen
/// first.
const CROWDED: Duration = Duration::from_secs(1);

impl Roster {
    pub fn new(name: Arc<str>, rules: PoolRules) -> Self {
        Self {
            rules,
            people: People::default(),
            prospect: None,
            intent: None,
            expected: BTreeMap::new(),
            servers: Servers::default(),
            name,
            members: BTreeMap::new(),
            ssh: Order::default(),
            jupyter: Order::default(),
            turns: 0,
            crowded_at: None,
        }
    }

    /// Whoever left a moment ago, as of `now`, tells on the order of instances, and whose time is over is forgotten.
    /// Before and after every change of people.
    pub fn settle(&mut self, now: Instant) {
        self.people.expire(now);
        for (name, change) in self.people.take_shifts() {
            self.update(&name, |member| {
                member.lingering = member.lingering.saturating_add_signed(change);
            });
        }
    }

    /// The instance was chosen for somebody new: of its equals it comes last from here on.
    pub fn take_turn(&mut self, name: &str) {
        self.turns = self.turns.saturating_add(1);
        let turn = self.turns;
        self.update(name, |member| member.turn = turn);
    }

    /// An instance has become full, or somebody who can wait found all of them full.
    pub fn crowd(&mut self, now: Instant) {
        self.crowded_at = Some(now);
    }

    pub fn is_crowded(&self, now: Instant) -> bool {
        self.crowded_at
            .is_some_and(|at| now.saturating_duration_since(at) < CROWDED)
    }

    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn order(&self, protocol: Protocol) -> &Order {
        match protocol {
            Protocol::Ssh => &self.ssh,
            Protocol::Jupyter => &self.jupyter,
        }
    }

    /// Changes an instance and its place in the orders; `None` if there is no such instance.
    pub fn update<T>(&mut self, name: &str, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let member = self.members.get_mut(name)?;
        let before = Protocol::ALL.map(|protocol| Some(Standing::of(member, protocol)));
        let answer = change(member);
        let after = Protocol::ALL.map(|protocol| Some(Standing::of(member, protocol)));
        self.shift(before, after);
        Some(answer)
    }

    /// Makes the roster hold exactly these instances; returns the names of those that left or became another machine.
    /// Entries of other pools are not for this roster.
    pub fn sync(
        &mut self,
        listing: Vec<Instance>,
        seed: u64,
        now: SystemTime,
    ) -> BTreeSet<Arc<str>> {
        let listing = listing.into_iter();
        let own = listing.filter(|instance| instance.id.pool == self.name);
        let mut listing: BTreeMap<Arc<str>, Instance> = own
            .map(|instance| (instance.id.name.clone(), instance))
            .collect();
        let is_same = |member: &Member| {
            let listed = listing.get(&member.instance.id.name);
            listed.is_some_and(|listed| listed.generation == member.instance.generation)
        };
        let gone = self.members.values().filter(|member| !is_same(member));
        let gone: BTreeSet<Arc<str>> = gone.map(|member| member.instance.id.name.clone()).collect();
        for name in &gone {
            self.remove(name);
        }
        while let Some((name, instance)) = listing.pop_first() {
            if self.members.contains_key(&name) {
                if instance.jupyter_port.is_none() {
                    self.servers.mute(&name);
                    self.count_direct(&name);
                }
                self.update(&name, |member| member.relist(instance, now));
            } else {
                self.enlist(instance, seed, now);
            }
        }
        self.greet();
        gone
    }

    /// An instance that is new here.
    pub fn enlist(&mut self, instance: Instance, seed: u64, now: SystemTime) {
        let name = instance.id.name.clone();
        let tie = tie(seed, &self.name, &name);
        let expected = self.expected.remove(&name);
        let mut member = Member::new(instance, tie, now);
        if let Some(expected) = expected {
            expected.apply(&mut member);
        }
        self.insert(member);
    }

    /// Instances that people are remembered on from before the start are awaited no longer once they are listed.
    pub fn greet(&mut self) {
        let members = &self.members;
        self.people.greet(|name| members.contains_key(name));
    }

    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// What the instance's hub says, or `None` where it did not answer.
    pub fn hear_hub(&mut self, name: &str, people: Option<Vec<HubPerson>>) {
        let hub = self.members.get(name).filter(|member| {
            // A poll may outlive the hub it asks.
            member.instance.jupyter_port.is_some()
        });
        let Some(member) = hub else { return };
        match people {
            Some(people) => self.servers.report(&member.instance.id.name, people),
            None => self.servers.mark_stale(name),
        }
        self.count_direct(name);
    }

    /// Somebody has a seat there: their name, which is remembered if it is proved.
    pub fn welcome(&mut self, name: &Arc<str>, request: &LoginRequest) -> Option<Arc<str>> {
        let Some(user) = request.proven_user() else {
            return request.user.as_deref().map(Arc::from);
        };
        let user = self.people.arrive(user, name);
        self.attend(name, &user, request.protocol);
        Some(user)
    }

    /// A proven session of this protocol began.
    pub fn attend(&mut self, name: &Arc<str>, user: &Arc<str>, protocol: Protocol) {
        if protocol == Protocol::Jupyter {
            self.servers.attend(name, user);
            self.count_direct(name);
        }
    }

    /// It ended, or is somebody else's.
    pub fn unattend(&mut self, name: &str, user: &str, protocol: Protocol) {
        if protocol == Protocol::Jupyter {
            self.servers.leave(name, user);
            self.count_direct(name);
        }
    }

    fn count_direct(&mut self, name: &str) {
        let hub = self.servers.view(name);
        self.update(name, |member| {
            member.direct = hub.map_or(0, |hub| hub.direct);
            member.hub = hub;
        });
    }

    pub fn view(&self) -> PoolView {
        let is_routable = |member: &&Member| {
            let mut protocols = Protocol::ALL.into_iter();
            protocols.any(|protocol| member.is_routable(protocol, true))
        };
        let sum = |of: &dyn Fn(&Member) -> u32| {
            let values = self.members.values().map(of);
            values.fold(0, u32::saturating_add)
        };
        let routable = self.members.values().filter(is_routable);
        let free = routable.clone().map(|member| {
            let capacity = member.instance.capacity;
            capacity.saturating_sub(member.load())
        });
        PoolView {
            name: self.name.clone(),
            default: self.rules.default,
            placement: self.rules.placement,
            instances: sum(&|_| 1),
            headroom: free.fold(0, u32::saturating_add),
            instances_routable: u32::try_from(routable.count()).unwrap_or(u32::MAX),
            capacity: sum(&|member| member.instance.capacity),
            load: sum(&Member::load),
            sessions: sum(&Member::sessions),
            prospect: self.prospect.clone(),
            intent: self.intent.clone(),
        }
    }

    /// The orders made anew from the instances: what they must equal at any time.
    pub fn rebuilt_order(&self, protocol: Protocol) -> Order {
        let mut order = Order::default();
        for member in self.members.values() {
            order.shift(None, Some(Standing::of(member, protocol)));
        }
        order
    }

    fn insert(&mut self, member: Member) {
        let standing = Protocol::ALL.map(|protocol| Some(Standing::of(&member, protocol)));
        self.shift([None, None], standing);
        self.members.insert(member.instance.id.name.clone(), member);
    }

    fn remove(&mut self, name: &str) {
        if let Some(member) = self.members.remove(name) {
            self.servers.forget(&member.instance.id.name);
            let standing = Protocol::ALL.map(|protocol| Some(Standing::of(&member, protocol)));
            self.shift(standing, [None, None]);
        }
    }

    /// Standings in the order of `Protocol::ALL`.
    fn shift(&mut self, before: [Option<Standing>; 2], after: [Option<Standing>; 2]) {
        let [ssh_before, jupyter_before] = before;
        let [ssh_after, jupyter_after] = after;
        self.ssh.shift(ssh_before, ssh_after);
        self.jupyter.shift(jupyter_before, jupyter_after);
    }
}
