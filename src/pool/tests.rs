//! The rules of the pool, one test each; `model` tries them all together against a naive reference.

mod affinity;
mod health;
mod measured;
mod memory;
mod model;
mod rules;
mod sent;
mod servers;

use super::*;
use std::time::Duration;

/// A pool with a clock that moves only when told to.
struct World {
    pool: Pool,
    now: Now,
}

impl World {
    /// The default pool `main` with ready instances vm1, vm2, ... of these capacities, all services up.
    fn new(seed: u64, placement: PlacementPolicy, capacities: &[u32]) -> Self {
        let start = Now {
            instant: Instant::now(),
            wall: SystemTime::UNIX_EPOCH,
        };
        let mut world = Self {
            pool: Pool::new(seed),
            now: start,
        };
        world.pool.configure("main", rules(placement));
        let numbered = capacities.iter().enumerate();
        let listing = numbered.map(|(at, capacity)| instance(&format!("vm{}", at + 1), *capacity));
        world.sync(listing.collect());
        for at in 1..=capacities.len() {
            world.observe_all(&format!("vm{at}"), Health::Up);
        }
        world
    }

    fn sync(&mut self, listing: Vec<Instance>) -> Vec<SessionId> {
        self.pool.sync_instances("main", listing, self.now)
    }

    fn observe(&mut self, name: &str, service: Protocol, answer: Health) -> Option<Health> {
        self.pool.observe(&id(name), service, answer, self.now)
    }

    /// As many answers as any flip takes, on every service.
    fn observe_all(&mut self, name: &str, answer: Health) {
        for service in Protocol::ALL.repeat(3) {
            self.observe(name, service, answer);
        }
    }

    fn cordon(&mut self, name: &str) {
        assert!(self.pool.decide(
            &id(name),
            Decision::by_admin(AdminState::Cordoned, "a test")
        ));
    }

    fn place(&mut self, request: &LoginRequest) -> Result<Placement, Refusal> {
        self.pool.place(request, self.now)
    }

    /// Places a login that must succeed and goes live; the instance's name, why, and the session.
    fn land(&mut self, request: &LoginRequest) -> (String, PlacementReason, SessionId) {
        let placement = self.place(request).unwrap();
        assert!(self.pool.set_live(placement.session));
        let name = placement.instance.id.name.to_string();
        (name, placement.reason, placement.session)
    }

    fn end(&mut self, session: SessionId) {
        assert!(self.pool.end_session(session, self.now).is_some());
    }

    fn wait(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.now.wall += Duration::from_secs(seconds);
    }

    fn sessions(&self, name: &str) -> u32 {
        self.pool
            .snapshot()
            .instance("main", name)
            .unwrap()
            .sessions
    }
}

const HOUR: u64 = 3600;

fn rules(placement: PlacementPolicy) -> PoolRules {
    PoolRules {
        default: true,
        placement,
        affinity: Duration::from_secs(12 * HOUR),
        rise: 2,
        fall: 3,
    }
}

fn id(name: &str) -> InstanceId {
    InstanceId {
        pool: "main".into(),
        name: name.into(),
    }
}

fn instance(name: &str, capacity: u32) -> Instance {
    Instance {
        id: id(name),
        address: "192.0.2.1".into(),
        ssh_port: 22,
        jupyter_port: Some(8000),
        capacity,
        generation: 1,
    }
}

/// A proven ssh login to the default pool.
fn proven(user: &str) -> LoginRequest {
    LoginRequest {
        pool: None,
        instance: None,
        user: Some(user.into()),
        proved: true,
        protocol: Protocol::Ssh,
        peer: [192, 0, 2, 7].into(),
        exclude: Vec::new(),
        patient: false,
    }
}

fn claimed(user: &str) -> LoginRequest {
    LoginRequest {
        proved: false,
        ..proven(user)
    }
}

fn wishing(user: &str, name: &str) -> LoginRequest {
    LoginRequest {
        instance: Some(name.into()),
        ..proven(user)
    }
}

fn by_jupyter(request: LoginRequest) -> LoginRequest {
    LoginRequest {
        protocol: Protocol::Jupyter,
        ..request
    }
}

fn excluding(request: LoginRequest, name: &str) -> LoginRequest {
    LoginRequest {
        exclude: vec![id(name)],
        ..request
    }
}
