//! The controller over a cloud that can be told to fail, with a clock that is moved by hand: what must hold whatever
//! happens is looked at after each second.

use std::collections::BTreeMap;

use super::*;
use crate::pool::{
    AdminState, Decision, Health, Instance, InstanceId, LoginRequest, PoolRules, Protocol, Waiter,
};
use crate::scaling::controller::asks::Wish;
use crate::scaling::{Bounds, Headroom, Schedule};
use crate::shared_pool::Seat;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::events::Event;
use cloud::Cloud;

mod cloud;
mod faults;
mod life;

const CAPACITY: u32 = 2;
/// Of a machine of the cloud.
const BOOT_S: u64 = 60;

struct World {
    now: Now,
    pool: SharedPool,
    cloud: Arc<Cloud>,
    controller: Controller,
    asks: Asks,
    events: Events,
    seats: BTreeMap<String, Seat>,
    folder: tempfile::TempDir,
}

impl World {
    fn new(bounds: (u32, u32)) -> Self {
        Self::with(bounds, |_| {})
    }

    fn with((min, max): (u32, u32), adjust: impl FnOnce(&mut ControllerConfig)) -> Self {
        let pool = SharedPool::new(7);
        pool.configure(
            "main",
            PoolRules {
                default: true,
                placement: PlacementPolicy::Auto,
                affinity: Duration::from_secs(600),
                rise: 1,
                fall: 1,
            },
        );
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(min, max, folder.path());
        adjust(&mut config);
        let cloud = Arc::new(Cloud::default());
        let events = Events::new(AuditLog::open(None).unwrap());
        let (controller, asks) = Controller::new(config, tools(&pool, &events), cloud.clone());
        let now = read_clocks();
        cloud.look(now.wall);
        Self {
            now,
            pool,
            cloud,
            controller,
            asks,
            events,
            seats: BTreeMap::new(),
            folder,
        }
    }

    /// The same pool and cloud under a new process's controller.
    async fn restart(&mut self) {
        self.controller.write_down().await;
        self.controller.costs.write().await;
        let (min, max) = {
            let bounds = self.controller.config.policy.schedule.base;
            (bounds.min, bounds.max)
        };
        let config = config(min, max, self.folder.path());
        let tools = tools(&self.pool, &self.events);
        let (controller, asks) = Controller::new(config, tools, self.cloud.clone());
        self.controller = controller;
        // A new process has only what it sees itself.
        self.cloud.look(self.now.wall);
        self.controller.begun = self.now.instant;
        self.asks = asks;
    }

    async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.second().await;
        }
    }

    /// Until it is so; a test that waits for an hour fails.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..3600 {
            if is_so(self) {
                return;
            }
            self.second().await;
        }
        panic!("never: {what}\n{}\n{:?}", self.story(), self.cloud.names());
    }

    async fn second(&mut self) {
        let step = Duration::from_secs(1);
        self.now.instant += step;
        self.now.wall += step;
        self.cloud.pass(step, self.now.wall);
        self.list_and_probe();
        self.pool.publish_now();
        self.controller.round(self.now);
        self.controller.write_down().await;
        // So that whatever hangs at least gets there.
        tokio::task::yield_now().await;
        while !self.controller.running.is_empty() && !self.cloud.hangs() {
            let done = self.controller.running.join_next().await.unwrap();
            self.controller.settle(done, self.now);
        }
        self.pool.publish_now();
        self.check();
    }

    /// As the gate does it: what answers exists, until it was removed.
    fn list_and_probe(&mut self) {
        let listed = self.cloud.listed();
        let is_listed = |id: &InstanceId| listed.iter().any(|one| one.id == *id);
        let snapshot = self.pool.snapshot();
        let kept = snapshot.instances.iter().filter(|view| {
            let id = gather::id_of(view);
            !is_listed(&id)
                && !view.is_sealed
                && view.health == Health::Up
                && self.cloud.answers(&id)
        });
        let kept = kept.filter_map(|view| self.pool.instance(&gather::id_of(view)));
        let kept: Vec<Instance> = kept.map(|one| (*one).clone()).collect();
        let mut instances: Vec<Instance> = listed.clone();
        instances.extend(kept);
        self.pool.sync_instances("main", instances.clone());
        for instance in instances {
            let health = match self.cloud.answers(&instance.id) {
                true => Health::Up,
                false => Health::Down,
            };
            self.pool.observe(&instance.id, Protocol::Ssh, health);
        }
    }

    /// Nobody's machine was removed, and nothing was ordered twice.
    fn check(&self) {
        for (user, seat) in &self.seats {
            let id = &seat.instance().id;
            assert!(
                self.cloud.exists(id) || self.cloud.was_taken(id),
                "{user} was on {id}, which was removed\n{}",
                self.story()
            );
        }
        assert!(self.cloud.count() <= self.controller.config.policy.schedule.base.max);
    }

    fn log_in(&mut self, user: &str) -> bool {
        let request = LoginRequest {
            proved: true,
            ..request(user)
        };
        let lines = self.pool.lines();
        let waiter = Waiter::Person(user.into());
        match self.pool.place(&request) {
            Ok(seat) => {
                lines.leave("main", &waiter);
                seat.set_live();
                self.seats.insert(user.to_owned(), seat);
                true
            }
            Err(_) => {
                let by = (Protocol::Ssh, [127, 0, 0, 1].into());
                let snapshot = self.pool.snapshot();
                lines.join(&"main".into(), &waiter, by, &snapshot).unwrap();
                false
            }
        }
    }

    /// Stands in line until there is a seat, as a login does.
    async fn wait_in(&mut self, user: &str) -> u64 {
        for second in 0..3600 {
            if self.log_in(user) {
                return second;
            }
            self.second().await;
        }
        panic!("{user} never got in\n{}", self.story());
    }

    fn log_out(&mut self, user: &str) {
        drop(self.seats.remove(user).unwrap());
    }

    fn events(&self) -> Vec<Event> {
        self.events.after(0)
    }

    fn has_event(&self, kind: EventKind, part: &str) -> bool {
        let mut events = self.events().into_iter();
        events.any(|event| event.kind == kind && event.text.contains(part))
    }

    fn count(&self, kind: EventKind) -> usize {
        let events = self.events();
        events.iter().filter(|event| event.kind == kind).count()
    }

    fn story(&self) -> String {
        let events = self.events();
        let lines = events.iter().map(|event| {
            let instance = event.instance.as_deref().unwrap_or("-");
            format!("{:?} {instance}: {}\n", event.kind, event.text)
        });
        lines.collect()
    }

    fn prospect(&self) -> crate::pool::Prospect {
        let snapshot = self.pool.snapshot();
        snapshot.pool("main").unwrap().prospect.clone().unwrap()
    }

    /// As `poolgate explain scaling` says it.
    fn explained(&self) -> String {
        let snapshot = self.pool.snapshot();
        let view = snapshot.pool("main").unwrap();
        let told = view.scaling_sentences(self.now.wall, &jiff::tz::TimeZone::UTC);
        told.join("\n")
    }

    fn intent(&self) -> crate::pool::Intent {
        let snapshot = self.pool.snapshot();
        let intent = snapshot.pool("main").unwrap().intent.clone();
        Arc::unwrap_or_clone(intent.unwrap())
    }
}

fn config(min: u32, max: u32, folder: &std::path::Path) -> ControllerConfig {
    let schedule = Schedule::always(Bounds {
        min,
        max,
        headroom: Headroom::Seats(0),
        placement: PlacementPolicy::Auto,
    });
    let policy = PolicyConfig {
        idle: Duration::from_secs(120),
        stabilise: Duration::from_secs(60),
        cool_down: Duration::from_secs(60),
        boot_timeout: Duration::from_secs(300),
        learned_seats_max: 0,
        ..PolicyConfig::new(schedule)
    };
    ControllerConfig {
        pool: "main".into(),
        policy,
        prices: Prices::default(),
        capacity: CAPACITY,
        placement: PlacementPolicy::Auto,
        eviction: None,
        is_resized: true,
        folder: Folder::new(folder),
    }
}

fn tools(pool: &SharedPool, events: &Events) -> Tools {
    Tools {
        traces: Default::default(),
        pool: pool.clone(),
        events: events.clone(),
        metrics: Metrics::new(),
        ask_idle: Arc::new(|_| Box::pin(std::future::ready(None))),
    }
}

fn request(user: &str) -> LoginRequest {
    LoginRequest {
        pool: None,
        instance: None,
        user: Some(user.to_owned()),
        protocol: Protocol::Ssh,
        peer: [127, 0, 0, 1].into(),
        proved: true,
        patient: false,
        exclude: Vec::new(),
    }
}
