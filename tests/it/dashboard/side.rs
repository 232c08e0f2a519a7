//! The operators' side in process, over pools that a test makes up: without a gate, doors, machines or people.

use std::net::IpAddr;
use std::time::Duration;

use poolgate::admin::{AdminSide, AdminState, bind_socket};
use poolgate::files::FileFaults;
use poolgate::pool::{LoginRequest, PlacementPolicy, PoolRules, Protocol};
use poolgate::shared_pool::{Seat, SharedPool};
use poolgate::telemetry::audit::AuditLog;
use poolgate::telemetry::metrics::Metrics;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crowd::bridge;
use crate::support::World;

/// At work until it is ended.
pub struct Side {
    /// Where browsers find it.
    pub base: String,
    runtime: Runtime,
    tasks: TaskTracker,
    ending: CancellationToken,
    /// Who is there stays as long as these do.
    seats: Vec<Seat>,
}

/// Of no pool yet.
pub fn empty() -> AdminState {
    let audit = AuditLog::open(None).unwrap();
    let told = (Metrics::new(), FileFaults::default());
    AdminState::new(SharedPool::new(1), told, audit)
}

/// Of a pool that spreads people, and believes at once what it sees of its machines.
pub fn rules(name: &str) -> PoolRules {
    PoolRules {
        default: name == "main",
        placement: PlacementPolicy::Spread,
        affinity: Duration::from_secs(600),
        rise: 1,
        fall: 1,
    }
}

/// A session of somebody who comes from 192.0.2.`host`.
pub fn log_in(pool: &SharedPool, name: &str, user: &str, (protocol, host): (Protocol, u8)) -> Seat {
    let request = LoginRequest {
        pool: Some(name.to_owned()),
        instance: None,
        user: Some(user.to_owned()),
        proved: true,
        protocol,
        peer: IpAddr::from([192, 0, 2, host]),
        exclude: Vec::new(),
        patient: false,
    };
    let seat = pool.place(&request).unwrap();
    seat.prove(user);
    seat.set_live();
    seat
}

impl Side {
    /// Serves what `fill` has made of it, once everybody who has a seat can be seen.
    pub fn start(
        world: &World,
        state: &AdminState,
        fill: impl FnOnce(&AdminState) -> Vec<Seat>,
    ) -> Self {
        let runtime = Runtime::new().unwrap();
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let socket = world.path("admin.sock");
        let seats = runtime.block_on(async {
            tasks.spawn(state.pool.clone().publish_changes(ending.clone()));
            let side = AdminSide::begin(state.clone(), &tasks, ending.clone());
            tasks.spawn(side.serve_socket(bind_socket(&socket).unwrap(), ending.clone()));
            let seats = fill(state);
            let mut snapshots = state.pool.subscribe();
            let all = snapshots.wait_for(|snapshot| snapshot.sessions.len() == seats.len());
            all.await.unwrap();
            seats
        });
        Self {
            base: format!("http://127.0.0.1:{}", bridge(socket)),
            runtime,
            tasks,
            ending,
            seats,
        }
    }

    pub fn end(self) {
        drop(self.seats);
        self.ending.cancel();
        self.tasks.close();
        self.runtime.block_on(self.tasks.wait());
    }
}
