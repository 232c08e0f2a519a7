//! What one decision about a pool's size costs, from the pool's snapshot to a plan that lint has passed: 1,000 instances
//! and 100,000 sessions. The promise: at most 5 ms.

use std::time::{Duration, Instant, SystemTime};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use poolgate::pool::{
    Health, Instance, InstanceId, LoginRequest, Machine, MachinePhase, Now, PlacementPolicy, Pool,
    PoolRules, Protocol, Snapshot,
};
use poolgate::scaling::facts::{Remarks, views};
use poolgate::scaling::{
    Bounds, Facts, Headroom, History, InstanceFacts, PolicyConfig, Schedule, lint, plan,
};

const SESSIONS_EACH: u32 = 100;
const CAPACITY: u32 = 120;

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for instances in [10, 100, 1_000] {
        let now = Now {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        let (ids, snapshot) = filled_pool(instances, now);
        let config = PolicyConfig::new(Schedule::always(Bounds {
            min: 0,
            max: 2 * instances,
            headroom: Headroom::Percent(10),
            placement: PlacementPolicy::Auto,
        }));
        let mut history = History::default();
        // An hour of them, so that there is as much history as there ever is.
        for minute in 0..60 {
            let then = later(now, 60 * minute);
            history.observe(&facts(&ids, &snapshot, now), &config, then);
        }
        let now = later(now, 3600);
        let id = BenchmarkId::from_parameter(instances);
        group.bench_function(id, |bench| {
            bench.iter(|| {
                let facts = facts(&ids, &snapshot, now);
                history.observe(&facts, &config, now);
                let plan = plan(&facts, &history, &config, now);
                lint::check(&plan, &facts, &config, now).map(|()| plan)
            });
        });
    }
    group.finish();
}

fn later(now: Now, seconds: u64) -> Now {
    let by = Duration::from_secs(seconds);
    Now {
        instant: now.instant + by,
        wall: now.wall + by,
    }
}

fn facts(ids: &[InstanceId], snapshot: &Snapshot, now: Now) -> Facts {
    let views = views(snapshot, "main");
    let join = |id: &InstanceId| {
        let machine = Machine {
            id: id.clone(),
            phase: MachinePhase::Running,
            created: now.wall,
            is_spot: false,
            is_protected: false,
            is_latest_model: true,
            generation: 1,
            address: None,
        };
        let view = views.get(&*id.name).copied();
        InstanceFacts::join(machine, view, Remarks::default(), CAPACITY)
    };
    Facts {
        pool: "main".into(),
        instances: ids.iter().map(join).collect(),
        waiting: 50,
        requested: 0,
        capacity: CAPACITY,
        listing_age: Duration::ZERO,
        contradiction: None,
        counted_for: Duration::from_secs(86_400),
        unheard: Vec::new(),
        writes_after: None,
        order: None,
    }
}

fn filled_pool(instances: u32, now: Now) -> (Vec<InstanceId>, Snapshot) {
    let mut pool = Pool::new(7);
    let rules = PoolRules {
        default: true,
        placement: PlacementPolicy::Spread,
        affinity: Duration::ZERO,
        rise: 2,
        fall: 3,
    };
    pool.configure("main", rules);
    let ids = (0..instances).map(|at| InstanceId {
        pool: "main".into(),
        name: format!("m{at}").into(),
    });
    let ids: Vec<InstanceId> = ids.collect();
    let listing = ids.iter().map(|id| Instance {
        id: id.clone(),
        address: "192.0.2.1".into(),
        ssh_port: 22,
        jupyter_port: None,
        capacity: CAPACITY,
        generation: 1,
    });
    pool.sync_instances("main", listing.collect(), now);
    for id in &ids {
        pool.observe(id, Protocol::Ssh, Health::Up, now);
    }
    for person in 0..instances * SESSIONS_EACH {
        let login = LoginRequest {
            pool: None,
            instance: None,
            user: Some(format!("person{person}")),
            proved: true,
            protocol: Protocol::Ssh,
            peer: [192, 0, 2, 7].into(),
            exclude: Vec::new(),
            patient: false,
        };
        assert!(pool.place(&login, now).is_ok());
    }
    let snapshot = pool.snapshot();
    (ids, snapshot)
}

criterion_group!(benches, decide);
criterion_main!(benches);
