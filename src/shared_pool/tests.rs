//! Many threads at one pool, seats that end by themselves, switches and snapshots.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use super::*;
use crate::pool::PlacementPolicy;

mod asking;
mod elsewhere;

fn rules() -> PoolRules {
    PoolRules {
        default: true,
        placement: PlacementPolicy::Auto,
        affinity: Duration::from_secs(3600),
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

fn instance(name: &str, generation: u64) -> Instance {
    Instance {
        id: id(name),
        address: "192.0.2.1".into(),
        ssh_port: 22,
        jupyter_port: None,
        capacity: 100,
        generation,
    }
}

fn login(user: &str) -> LoginRequest {
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

/// `main` with this many instances, all up.
fn pool_of(instances: usize) -> SharedPool {
    let pool = SharedPool::new(7);
    pool.configure("main", rules());
    let names: Vec<String> = (1..=instances).map(|at| format!("vm{at}")).collect();
    pool.sync_instances("main", names.iter().map(|name| instance(name, 1)).collect());
    for name in &names {
        assert_eq!(
            pool.observe(&id(name), Protocol::Ssh, Health::Up),
            Some(Health::Up)
        );
    }
    pool
}

fn count_by_instance(seats: &[Seat]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for seat in seats {
        *counts
            .entry(seat.instance().id.name.to_string())
            .or_default() += 1;
    }
    counts
}

#[test]
fn simultaneous_logins_spread_exactly() {
    const THREADS: usize = 32;
    const INSTANCES: usize = 8;
    const EACH: usize = 12;
    for is_proven in [true, false] {
        let pool = pool_of(INSTANCES);
        let start = Barrier::new(THREADS);
        let share = INSTANCES * EACH / THREADS;
        let arrive = |thread: usize| {
            start.wait();
            let people = (0..share).map(|at| format!("person{}", thread * share + at));
            let place = |user: String| {
                pool.place(&LoginRequest {
                    proved: is_proven,
                    ..login(&user)
                })
            };
            people.map(|user| place(user).unwrap()).collect::<Vec<_>>()
        };
        let seats: Vec<Seat> = thread::scope(|scope| {
            let arrive = &arrive;
            let threads: Vec<_> = (0..THREADS)
                .map(|at| scope.spawn(move || arrive(at)))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        let counts = count_by_instance(&seats);
        assert_eq!(counts.len(), INSTANCES);
        assert!(counts.values().all(|count| *count == EACH), "{counts:?}");
        drop(seats);
        let snapshot = pool.lock().snapshot();
        assert!(snapshot.sessions.is_empty());
        assert!(
            pool.shared.switches.is_empty(),
            "no switch outlives its session"
        );
    }
}

#[test]
fn one_person_at_once_from_many_threads_lands_on_one_instance() {
    let pool = pool_of(8);
    let seats: Vec<Seat> = thread::scope(|scope| {
        let place = || pool.place(&login("alice")).unwrap();
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(place)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(count_by_instance(&seats).len(), 1);
}

#[test]
fn a_seat_reports_what_its_session_does() {
    let pool = pool_of(1);
    let seat = pool
        .place(&LoginRequest {
            proved: false,
            ..login("alice")
        })
        .unwrap();
    let stage = || pool.lock().snapshot().sessions[0].stage;
    assert_eq!(stage(), crate::pool::Stage::Provisional);
    seat.prove("alice");
    assert_eq!(stage(), crate::pool::Stage::Reserved);
    seat.set_live();
    assert_eq!(stage(), crate::pool::Stage::Live);
    let second = pool.place(&login("alice")).unwrap();
    assert_eq!(second.reason(), PlacementReason::LiveSession);
    assert_ne!(second.session(), seat.session());
}

#[test]
fn an_evicted_session_hears_of_it() {
    let pool = pool_of(1);
    let seat = pool.place(&login("alice")).unwrap();
    let other = pool.place(&login("bob")).unwrap();
    assert!(pool.evict(seat.session()));
    assert!(seat.ended().is_cancelled());
    assert!(!other.ended().is_cancelled());
    let session = seat.session();
    drop(seat);
    assert!(!pool.evict(session));
}

#[test]
fn sessions_of_a_lost_instance_hear_of_it() {
    let pool = pool_of(2);
    let seats: Vec<Seat> = ["alice", "bob"]
        .map(|user| pool.place(&login(user)).unwrap())
        .into();
    pool.sync_instances("main", vec![instance("vm1", 1), instance("vm2", 2)]);
    for seat in &seats {
        let is_lost = &*seat.instance().id.name == "vm2";
        assert_eq!(seat.ended().is_cancelled(), is_lost);
    }
    drop(seats);
    assert!(pool.lock().snapshot().sessions.is_empty());
    assert_eq!(pool.instance(&id("vm2")).unwrap().generation, 2);
    assert!(pool.instance(&id("vm3")).is_none());
}

#[test]
fn a_panic_under_the_lock_stops_nobody_else() {
    let pool = pool_of(1);
    let other = pool.clone();
    let panicked = thread::spawn(move || {
        let _locked = other.lock();
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(pool.place(&login("alice")).is_ok());
}

#[tokio::test]
async fn changes_are_published_and_bursts_share_a_snapshot() {
    let pool = pool_of(4);
    let stop = CancellationToken::new();
    let mut snapshots = pool.subscribe();
    let publishing = tokio::spawn(pool.clone().publish_changes(stop.clone()));
    snapshots
        .wait_for(|snapshot| snapshot.instances.len() == 4)
        .await
        .unwrap();
    let storm = || (0..200).map(|at| pool.place(&login(&format!("person{at}"))).unwrap());
    let seats: Vec<Seat> = storm().collect();
    let mut published = 0;
    while snapshots.borrow_and_update().sessions.len() < 200 {
        snapshots.changed().await.unwrap();
        published += 1;
    }
    assert!(published < 20, "{published} snapshots for one burst");
    assert_eq!(pool.snapshot().pool("main").unwrap().load, 200);
    drop(seats);
    stop.cancel();
    publishing.await.unwrap();
    assert!(
        pool.snapshot().sessions.is_empty(),
        "the last state is published on the way out"
    );
}

#[tokio::test]
async fn probes_that_change_nothing_are_not_announced() {
    let pool = pool_of(1);
    let is_announced = async || {
        tokio::select! {
            biased;
            () = pool.shared.changed.notified() => true,
            () = std::future::ready(()) => false,
        }
    };
    assert!(is_announced().await, "setting up was a change");
    assert_eq!(pool.observe(&id("vm1"), Protocol::Ssh, Health::Up), None);
    assert_eq!(pool.observe(&id("vm1"), Protocol::Ssh, Health::Down), None);
    assert!(!is_announced().await);
    pool.observe(&id("vm1"), Protocol::Ssh, Health::Down);
    assert_eq!(
        pool.observe(&id("vm1"), Protocol::Ssh, Health::Down),
        Some(Health::Down)
    );
    assert!(is_announced().await);
}
