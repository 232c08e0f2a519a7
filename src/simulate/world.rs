//! The virtual world: people who come, wait and go, a pool that seats them, a cloud under it, and one clock.
//!
//! Steps are taken in the order of their time, and of their making where times are equal. The pool, its queue, the policy
//! and lint are the gate's own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::pool::{
    Health, InstanceId, LoginRequest, Now, Placement, PlacementPolicy, Pool, PoolRules, Protocol,
    Queue, SessionId, Waiter,
};
use crate::scaling::PolicyConfig;
use crate::scaling::cost::{Ledger, Prices, hours};
use crate::scaling::listing::Absences;

use super::cloud::{Cloud, DELETION};
use super::control::Control;
use super::dice::Dice;
use super::faults::{Fault, Faults};
use super::outcome::{Outcome, Wait};
use super::rivals::Mind;
use super::trace::{Trace, Visit};

#[derive(Clone, Debug)]
pub struct Settings {
    pub policy: PolicyConfig,
    /// Sessions a machine holds.
    pub capacity: u32,
    pub affinity: Duration,
    /// How long a boot takes in the mean.
    pub boot: Duration,
    pub prices: Prices,
    pub faults: Faults,
    pub seed: u64,
    /// What the clocks show when the trace begins; the wall clock is the trace's.
    pub clock: Now,
    /// Everything that must be true is looked at after each step.
    pub is_checked: bool,
}

/// The controller looks at the pool so often, and within a second when somebody begins to wait.
pub(super) const TICK: Duration = Duration::from_secs(30);
const WAKE: Duration = Duration::from_secs(1);
/// Whoever has waited so long gives up.
const PATIENCE: Duration = Duration::from_secs(1800);
/// After the last visit the pool is watched for a while, so that it can empty.
const AFTERMATH: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Arrive(usize),
    Leave(SessionId),
    Tick,
    /// The same, because somebody waits.
    Wake,
    Boot(InstanceId),
    Gone(InstanceId),
    /// An order that hung is answered.
    Answer,
    /// The cloud has taken it.
    Taken(InstanceId),
    Fault(Fault),
    /// A wall clock is set right; a hub speaks again.
    Mend(Mend),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mend {
    Clock,
    Hub(InstanceId),
}

pub(super) struct World<'a> {
    pub settings: &'a Settings,
    pub visits: Vec<Visit>,
    pub mind: Mind,
    pub pool_name: Arc<str>,
    pub pool: Pool,
    pub queue: Queue,
    pub waiting: VecDeque<Waiting>,
    pub seated: BTreeMap<SessionId, (usize, Duration)>,
    pub cloud: Cloud,
    pub absences: Absences,
    pub control: Control,
    pub ledger: Ledger,
    pub dice: Dice,
    pub at: Duration,
    /// How far the wall clock is off.
    pub skew: i64,
    pub begins: SystemTime,
    pub outcome: Outcome,
    visits_end: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    last_event: u64,
    is_woken: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    visit: usize,
    since: Duration,
    is_cold: bool,
}

/// Plays a trace to its end.
pub fn run(trace: &Trace, settings: &Settings, mind: Mind) -> Outcome {
    let mut world = World::new(trace, settings, mind);
    let end = trace.length() + AFTERMATH;
    while let Some(Reverse((at, _, event))) = world.events.pop() {
        if at > end && world.waiting.is_empty() && world.seated.is_empty() {
            break;
        }
        world.at = at;
        world.step(event);
        world.outcome.events += 1;
        if settings.is_checked {
            world.check();
        }
    }
    world.finish()
}

impl<'a> World<'a> {
    fn new(trace: &Trace, settings: &'a Settings, mind: Mind) -> Self {
        let mut world = Self {
            settings,
            visits: trace.visits.clone(),
            mind,
            pool_name: Arc::from("main"),
            pool: Pool::new(settings.seed),
            queue: Queue::default(),
            waiting: VecDeque::new(),
            seated: BTreeMap::new(),
            cloud: Cloud::default(),
            absences: Absences::default(),
            control: Control::default(),
            ledger: Ledger::default(),
            dice: Dice::new(settings.seed),
            at: Duration::ZERO,
            skew: 0,
            begins: trace.begins,
            outcome: Outcome::default(),
            visits_end: trace.length(),
            events: BinaryHeap::new(),
            last_event: 0,
            is_woken: false,
        };
        world.outcome.score.mind = world.mind.name().to_owned();
        world.set_placement(PlacementPolicy::Spread);
        for (index, visit) in trace.visits.iter().enumerate() {
            world.schedule(visit.start, Event::Arrive(index));
        }
        world.schedule(Duration::ZERO, Event::Tick);
        world.expect_fault();
        world
    }

    pub fn now(&self) -> Now {
        let skew = Duration::from_secs(self.skew.unsigned_abs());
        let wall = self.begins + self.at;
        Now {
            instant: self.settings.clock.instant + self.at,
            wall: match self.skew < 0 {
                true => wall - skew,
                false => wall + skew,
            },
        }
    }

    pub fn schedule(&mut self, at: Duration, event: Event) {
        self.last_event += 1;
        self.events.push(Reverse((at, self.last_event, event)));
    }

    pub fn set_placement(&mut self, placement: PlacementPolicy) {
        let rules = PoolRules {
            default: true,
            placement,
            affinity: self.settings.affinity,
            rise: 2,
            fall: 3,
        };
        self.pool.configure("main", rules);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrive(visit) => self.arrive(visit),
            Event::Leave(session) => self.leave(session),
            Event::Tick => {
                self.schedule(self.at + TICK, Event::Tick);
                self.give_up();
                self.tick();
            }
            Event::Wake => {
                self.is_woken = false;
                self.tick();
            }
            Event::Boot(id) => self.boot(&id),
            Event::Gone(id) => self.deleted(&id),
            Event::Answer => self.answer(),
            Event::Taken(id) => self.take_away(&id),
            Event::Fault(fault) => {
                self.strike(fault);
                self.expect_fault();
            }
            Event::Mend(Mend::Clock) => self.skew = 0,
            Event::Mend(Mend::Hub(id)) => self.pool.hear_hub(&id, Some(Vec::new())),
        }
    }

    pub fn arrive(&mut self, visit: usize) {
        let is_cold = self.cloud.count(|unit| unit.answers) == 0;
        let waiting = Waiting {
            visit,
            since: self.at,
            is_cold,
        };
        if self.waiting.is_empty() && self.seat(&waiting) {
            return;
        }
        let now = self.now().instant;
        if let Some(visit) = self.visits.get(visit) {
            let ticket = Waiter::Person(visit.user.clone());
            let by = visit.protocol;
            if self
                .queue
                .join(ticket, peer(waiting.visit), by, now)
                .is_err()
            {
                self.outcome.score.refusals += 1;
                return;
            }
        }
        self.waiting.push_back(waiting);
        self.serve();
        if !self.waiting.is_empty() && !self.is_woken {
            self.is_woken = true;
            self.schedule(self.at + WAKE, Event::Wake);
        }
    }

    /// Lets in whom there is a seat for, in the order they came.
    pub fn serve(&mut self) {
        let mut rest = VecDeque::new();
        while let Some(first) = self.waiting.pop_front() {
            if self.seat(&first) {
                continue;
            }
            rest.push_back(first);
            // Those behind may have a machine of their own to come back to; one look at each is enough.
            if rest.len() > 8 {
                break;
            }
        }
        rest.append(&mut self.waiting);
        self.waiting = rest;
    }

    fn seat(&mut self, waiting: &Waiting) -> bool {
        let Some(visit) = self.visits.get(waiting.visit).cloned() else {
            return true;
        };
        let request = LoginRequest {
            pool: None,
            instance: None,
            user: Some(visit.user.to_string()),
            proved: true,
            protocol: visit.protocol,
            peer: peer(waiting.visit),
            exclude: Vec::new(),
            patient: false,
        };
        let Ok(Placement { session, .. }) = self.pool.place(&request, self.now()) else {
            return false;
        };
        self.pool.set_live(session);
        self.queue.leave(&Waiter::Person(visit.user));
        let ends = self.at + visit.length;
        self.seated.insert(session, (waiting.visit, ends));
        self.schedule(ends, Event::Leave(session));
        self.outcome.waits.push(Wait {
            length: self.at - waiting.since,
            is_cold: waiting.is_cold,
        });
        true
    }

    fn leave(&mut self, session: SessionId) {
        if self.seated.remove(&session).is_some() {
            self.pool.end_session(session, self.now());
            self.serve();
        }
    }

    /// Sessions that ended without their people's will: they come again for the rest of their time.
    pub fn lose(&mut self, lost: &[SessionId]) {
        for session in lost {
            let Some((visit, ends)) = self.seated.remove(session) else {
                continue;
            };
            let rest = ends.saturating_sub(self.at);
            let Some(mut visit) = self.visits.get(visit).cloned() else {
                continue;
            };
            visit.length = rest;
            visit.start = self.at;
            self.visits.push(visit);
            self.schedule(self.at + WAKE, Event::Arrive(self.visits.len() - 1));
        }
    }

    fn give_up(&mut self) {
        let now = self.now().instant;
        let mut left = Vec::new();
        self.waiting.retain(|waiting| {
            let has_left = self.at - waiting.since > PATIENCE;
            if has_left {
                left.push(waiting.visit);
            }
            !has_left
        });
        self.outcome.score.refusals += u32::try_from(left.len()).unwrap_or(u32::MAX);
        let user = |visit: usize| {
            let visit = self.visits.get(visit);
            visit.map(|visit| Waiter::Person(visit.user.clone()))
        };
        for ticket in left.into_iter().filter_map(user) {
            self.queue.leave(&ticket);
        }
        for waiting in &self.waiting {
            // Somebody who waits for two visits has one ticket, and a new one when the first is seated.
            let by = self.visits.get(waiting.visit).map(|visit| visit.protocol);
            if let Some((ticket, by)) = user(waiting.visit).zip(by) {
                let _ = self.queue.join(ticket, peer(waiting.visit), by, now);
            }
        }
    }

    fn boot(&mut self, id: &InstanceId) {
        use super::faults::Fate;
        use crate::pool::MachinePhase::{Creating, Failed, Running};
        let Some(unit) = self.cloud.units.get_mut(id) else {
            return;
        };
        if unit.machine.phase != Creating {
            return;
        }
        if unit.fate == Fate::Vanishes {
            self.take_away(id);
            return;
        }
        unit.answers = unit.fate == Fate::Well;
        unit.machine.phase = match unit.fate {
            Fate::Fails => Failed,
            Fate::Well | Fate::Sick | Fate::Vanishes => Running,
        };
        let answers = unit.answers;
        self.probe(id, answers);
        self.serve();
    }

    /// As many answers as it takes to be believed.
    pub fn probe(&mut self, id: &InstanceId, answers: bool) {
        let health = match answers {
            true => Health::Up,
            false => Health::Down,
        };
        for _ in 0..3 {
            for service in Protocol::ALL {
                self.pool.observe(id, service, health, self.now());
            }
        }
    }

    fn expect_fault(&mut self) {
        if let Some((after, fault)) = self.settings.faults.next(&mut self.dice) {
            self.schedule(self.at + after, Event::Fault(fault));
        }
    }

    /// The machine goes, whoever is on it.
    pub fn take_away(&mut self, id: &InstanceId) {
        if self.cloud.end(id, self.at) {
            self.schedule(self.at + DELETION, Event::Gone(id.clone()));
        }
    }

    fn finish(mut self) -> Outcome {
        // Machines that are always on are paid for while the trace lasts.
        let until = match self.mind {
            Mind::AlwaysOn(_) => self.visits_end,
            _ => self.at,
        };
        let billed = self.cloud.billed(until);
        let total = self.ledger.total();
        let score = &mut self.outcome.score;
        score.machine_hours = hours(billed);
        score.used_hours = hours(total.used);
        score.idle_hours = hours(total.idle);
        score.booting_hours = hours(total.booting);
        score.cost = hours(billed) * self.settings.prices.regular;
        score.writes = self.cloud.writes;
        self.outcome.costs_csv = self.ledger.csv(self.settings.prices);
        self.outcome.count_waits();
        self.outcome
    }
}

/// One client each, as limits by source see it.
fn peer(visit: usize) -> IpAddr {
    let number = u32::try_from(visit % 65_536).unwrap_or(0);
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | number))
}
