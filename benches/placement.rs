//! What one login costs the pool: placing a person and ending their session, in pools of 10 to 10,000 instances that
//! hold 100 sessions each. The promise: at most 2 us at 1,000 instances, growing no faster than log n.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use poolgate::pool::{
    Health, Instance, InstanceId, LoginRequest, Now, PlacementPolicy, Pool, PoolRules, Protocol,
    SessionId,
};

const SESSIONS_EACH: u32 = 100;

fn place_and_end(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("place_and_end");
    let day = Duration::from_secs(24 * 3600);
    let cases = [
        ("spread", PlacementPolicy::Spread, Duration::ZERO),
        ("pack", PlacementPolicy::Pack, Duration::ZERO),
        ("affinity", PlacementPolicy::Spread, day),
    ];
    for (name, policy, affinity) in cases {
        for instances in [10, 100, 1_000, 10_000] {
            let now = read_clocks();
            let mut pool = filled_pool(instances, policy, affinity, now);
            // Without affinity each is new to the pool, and the policy chooses; with it each comes back.
            let people: Vec<LoginRequest> =
                (0..4096).map(|at| login(format!("visitor{at}"))).collect();
            let mut people = people.iter().cycle();
            group.bench_function(BenchmarkId::new(name, instances), |bench| {
                bench.iter(|| {
                    let placement = people.next().and_then(|login| pool.place(login, now).ok());
                    placement.and_then(|placement| pool.end_session(placement.session, now))
                });
            });
        }
    }
    group.finish();
}

fn filled_pool(instances: u32, placement: PlacementPolicy, affinity: Duration, now: Now) -> Pool {
    let mut pool = Pool::new(7);
    let rules = PoolRules {
        default: true,
        placement,
        affinity,
        rise: 2,
        fall: 3,
    };
    pool.configure("main", rules);
    let ids = (0..instances).map(|at| InstanceId {
        pool: "main".into(),
        name: format!("vm{at}").into(),
    });
    let ids: Vec<InstanceId> = ids.collect();
    let listing = ids.iter().map(|id| Instance {
        id: id.clone(),
        address: "192.0.2.1".into(),
        ssh_port: 22,
        jupyter_port: Some(8000),
        capacity: SESSIONS_EACH + 20,
        generation: 1,
    });
    pool.sync_instances("main", listing.collect(), now);
    for id in &ids {
        for service in Protocol::ALL {
            pool.observe(id, service, Health::Up, now);
        }
    }
    for (at, id) in ids.iter().enumerate() {
        for person in 0..SESSIONS_EACH {
            let wish = LoginRequest {
                instance: Some(id.name.to_string()),
                ..login(format!("person{at}-{person}"))
            };
            assert!(pool.place(&wish, now).is_ok());
        }
    }
    pool
}

fn login(user: String) -> LoginRequest {
    LoginRequest {
        pool: None,
        instance: None,
        user: Some(user),
        proved: true,
        protocol: Protocol::Ssh,
        peer: [192, 0, 2, 7].into(),
        exclude: Vec::new(),
        patient: false,
    }
}

/// Placing alone, while other sessions end anywhere: no step finds its data warm from the one before.
fn place_cold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("place_cold");
    for instances in [10, 100, 1_000, 10_000] {
        let now = read_clocks();
        let mut pool = filled_pool(instances, PlacementPolicy::Spread, Duration::ZERO, now);
        let mut sessions = scattered_sessions(&pool);
        let people: Vec<_> = (0..4096).map(|at| login(format!("visitor{at}"))).collect();
        let mut people = people.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(instances), |bench| {
            bench.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for login in people
                    .by_ref()
                    .take(usize::try_from(iterations).unwrap_or(0))
                {
                    if let Some(session) = sessions.pop_front() {
                        pool.end_session(session, now);
                    }
                    let start = Instant::now();
                    let placement = pool.place(login, now);
                    spent += start.elapsed();
                    sessions.extend(placement.map(|placement| placement.session));
                }
                spent
            });
        });
    }
    group.finish();
}

/// Every session once, each far from the one before.
fn scattered_sessions(pool: &Pool) -> VecDeque<SessionId> {
    let sessions = pool.snapshot().sessions;
    let count = sessions.len();
    let mut sessions: Vec<_> = sessions.into_iter().enumerate().collect();
    // A stride prime to the count visits each once.
    sessions.sort_unstable_by_key(|(at, _)| at.wrapping_mul(7_919) % count);
    sessions
        .into_iter()
        .map(|(_, session)| session.id)
        .collect()
}

/// How long publishing holds the lock.
fn take_snapshot(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("take_snapshot");
    for instances in [10, 100, 1_000] {
        let now = read_clocks();
        let pool = filled_pool(instances, PlacementPolicy::Spread, Duration::ZERO, now);
        let id = BenchmarkId::from_parameter(instances);
        group.bench_function(id, |bench| bench.iter_with_large_drop(|| pool.snapshot()));
    }
    group.finish();
}

fn read_clocks() -> Now {
    Now {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}

criterion_group!(benches, place_and_end, place_cold, take_snapshot);
criterion_main!(benches);
