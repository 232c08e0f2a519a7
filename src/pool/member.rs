//! What a pool knows of one of its instances: what was decided, what was observed, and who sits there.
//!
//! The only place that says whether an instance is routable. Changed through `Roster::update` alone, which keeps the
//! order of instances true.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::decision::{Decider, Decision, Keep};
use super::health::overall;
use super::instance::{AdminState, Health, Instance, Protocol};
use super::measured::Measured;
use super::service::{Answer, Service};
use super::snapshot::{HubView, InstanceView, ServicesView};

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub instance: Arc<Instance>,
    pub decision: Decision,
    pub keep: Option<Keep>,
    /// It is about to be removed: not even those come back who were there.
    pub is_sealed: bool,
    ssh: Service,
    jupyter: Service,
    health_since: SystemTime,
    /// Seats of people who proved who they are.
    pub proven: u32,
    /// Seats of people who only claim a name, or none.
    pub claimed: u32,
    /// People whom only the hub knows there.
    pub direct: u32,
    pub hub: Option<HubView>,
    measured: Option<Measured>,
    /// Seats that were taken when it was measured.
    seats_then: u32,
    /// People without a session who left a moment ago and will be sent back here.
    pub lingering: u32,
    /// When it was last chosen for somebody new; orders instances that are equally loaded, before `tie`.
    pub turn: u64,
    pub tie: u64,
}

/// Why an instance takes no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    Cordoned,
    Draining,
    /// It runs no service of this protocol.
    NoService,
    Unknown,
    NoLogins,
    Down,
    Full,
}

impl Member {
    pub fn new(instance: Instance, tie: u64, now: SystemTime) -> Self {
        Self {
            instance: Arc::new(instance),
            decision: Decision::none(),
            keep: None,
            is_sealed: false,
            ssh: Service::new(now),
            jupyter: Service::new(now),
            health_since: now,
            proven: 0,
            claimed: 0,
            direct: 0,
            hub: None,
            measured: None,
            seats_then: 0,
            lingering: 0,
            turn: 0,
            tie,
        }
    }

    /// False if the policy would overrule a person, or has decided so already.
    pub fn decide(&mut self, decision: Decision) -> bool {
        let is_policy = decision.by == Decider::Policy;
        let is_settled = match self.decision.by {
            Decider::Admin => true,
            Decider::Policy => self.decision.state == decision.state,
            Decider::Nobody => false,
        };
        if is_policy && is_settled {
            return false;
        }
        self.decision = decision;
        true
    }

    pub fn is_drained_by_policy(&self) -> bool {
        self.decision.state == AdminState::Draining && self.decision.by == Decider::Policy
    }

    /// Ready, its service up, and below capacity: the meaning of routable. Seats of people who proved nothing yet keep
    /// no proven person out.
    pub fn is_routable(&self, protocol: Protocol, is_proven: bool) -> bool {
        self.obstacle(protocol, is_proven).is_none()
    }

    /// Ready and its service up, whether or not there is room.
    pub fn is_open(&self, protocol: Protocol) -> bool {
        matches!(self.obstacle(protocol, true), None | Some(Obstacle::Full))
    }

    /// Why it is not routable; decisions of people first, because those are what somebody can undo.
    pub fn obstacle(&self, protocol: Protocol, is_proven: bool) -> Option<Obstacle> {
        let taken = if is_proven { self.load() } else { self.seats() };
        let by_service = match self.service(protocol) {
            None => Some(Obstacle::NoService),
            Some(Health::Unknown) => Some(Obstacle::Unknown),
            Some(Health::NoLogins) => Some(Obstacle::NoLogins),
            Some(Health::Down) => Some(Obstacle::Down),
            Some(Health::Up) => None,
        };
        match self.decision.state {
            _ if self.is_sealed => Some(Obstacle::Draining),
            AdminState::Cordoned => Some(Obstacle::Cordoned),
            AdminState::Draining => Some(Obstacle::Draining),
            AdminState::Ready if by_service.is_some() => by_service,
            AdminState::Ready if taken >= self.instance.capacity => Some(Obstacle::Full),
            AdminState::Ready => None,
        }
    }

    /// Whether somebody who has a session here may come back: nothing but a dead service is in the way.
    pub fn takes_back(&self, protocol: Protocol) -> bool {
        let service = self.service(protocol);
        !self.is_sealed && service.is_some_and(|health| health != Health::Down)
    }

    /// Seats taken, by proven people or not: what instances are ordered by, so that simultaneous logins spread.
    pub fn seats(&self) -> u32 {
        self.sessions().saturating_add(self.direct)
    }

    /// Seats taken for certain: by proven people, and by those only the hub knows.
    pub fn load(&self) -> u32 {
        self.proven.saturating_add(self.direct)
    }

    /// Sessions of this gate, of proven people or not.
    pub fn sessions(&self) -> u32 {
        self.proven.saturating_add(self.claimed)
    }

    pub fn service(&self, protocol: Protocol) -> Option<Health> {
        let told = self.measured.as_ref();
        let is_closed = told.is_some_and(|told| told.closed.is_some());
        match self.heard(protocol).map(Service::verdict) {
            // The machine itself says that it takes nobody new.
            Some(Health::Up) if is_closed => Some(Health::NoLogins),
            answered => answered,
        }
    }

    /// What is known of a service; `None` where the instance does not run it.
    pub fn heard(&self, protocol: Protocol) -> Option<&Service> {
        match protocol {
            Protocol::Ssh => Some(&self.ssh),
            Protocol::Jupyter => self.instance.jupyter_port.map(|_| &self.jupyter),
        }
    }

    /// People beyond those who are there that its machine's load is worth. Whoever came since it was measured is not in
    /// the figure yet and counts on top, so that a herd does not follow a figure of before it.
    pub fn burden(&self) -> u32 {
        let Some(measured) = &self.measured else {
            return 0;
        };
        let since = self.seats().saturating_sub(self.seats_then);
        let worth = measured.worth(self.instance.capacity);
        worth.saturating_add(since).saturating_sub(self.seats())
    }

    /// The new overall health if this flipped it.
    pub fn measure(&mut self, measured: Option<Measured>, now: SystemTime) -> Option<Health> {
        let before = self.health();
        self.seats_then = self.seats();
        self.measured = measured;
        self.note_flip(before, now)
    }

    pub fn health(&self) -> Health {
        let services = Protocol::ALL.into_iter();
        overall(services.filter_map(|protocol| self.service(protocol)))
    }

    /// The new overall health if this answer flipped it.
    pub fn observe(
        &mut self,
        protocol: Protocol,
        answer: Answer,
        runs: (u32, u32),
        now: SystemTime,
    ) -> Option<Health> {
        let before = self.health();
        match protocol {
            Protocol::Ssh => self.ssh.observe(answer, runs, now),
            // A probe may outlive the hub it asks; its answer is nobody's health.
            Protocol::Jupyter if self.instance.jupyter_port.is_none() => {}
            Protocol::Jupyter => self.jupyter.observe(answer, runs, now),
        }
        self.note_flip(before, now)
    }

    fn note_flip(&mut self, before: Health, now: SystemTime) -> Option<Health> {
        let after = self.health();
        if before == after {
            return None;
        }
        self.health_since = now;
        Some(after)
    }

    /// Takes over what the fleet lists under the same name and generation.
    pub fn relist(&mut self, instance: Instance, now: SystemTime) {
        if instance.jupyter_port.is_none() {
            self.jupyter = Service::new(now);
        }
        if *self.instance != instance {
            self.instance = Arc::new(instance);
        }
    }

    pub fn take_seat(&mut self, is_proven: bool) {
        let seats = self.seats_of(is_proven);
        *seats = seats.saturating_add(1);
    }

    pub fn free_seat(&mut self, is_proven: bool) {
        let seats = self.seats_of(is_proven);
        *seats = seats.saturating_sub(1);
    }

    pub fn services(&self) -> ServicesView {
        ServicesView {
            ssh: self.service(Protocol::Ssh).unwrap_or(Health::Unknown),
            jupyter: self.service(Protocol::Jupyter),
        }
    }

    pub fn view(&self) -> InstanceView {
        let instance = &self.instance;
        InstanceView {
            name: instance.id.name.clone(),
            address: instance.address.clone(),
            pool: instance.id.pool.clone(),
            admin_state: self.decision.state,
            decided_by: self.decision.by,
            reason: Some(&self.decision.reason)
                .filter(|reason| !reason.is_empty())
                .cloned(),
            deadline: self.decision.deadline,
            keep: self.keep.clone(),
            is_sealed: self.is_sealed,
            health: self.health(),
            health_since: self.health_since,
            services: self.services(),
            hub: self.hub,
            measured: self.measured.clone(),
            sessions: self.sessions(),
            capacity: instance.capacity,
            load: self.load(),
            ssh_port: instance.ssh_port,
            jupyter_port: instance.jupyter_port,
            generation: instance.generation,
        }
    }

    fn seats_of(&mut self, is_proven: bool) -> &mut u32 {
        if is_proven {
            &mut self.proven
        } else {
            &mut self.claimed
        }
    }
}

impl Obstacle {
    /// Completes "it is ...".
    pub fn why(self) -> &'static str {
        match self {
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::NoService => "not running this service",
            Self::Unknown => "not yet known to be up",
            Self::NoLogins => "up but not admitting anybody new",
            Self::Down => "down",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why())
    }
}
