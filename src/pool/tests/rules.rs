//! Placement, refusals, health and snapshots.

use std::collections::BTreeMap;

use super::super::PlacementPolicy::{Auto, Pack, Spread};
use super::super::PlacementReason::{LeastLoaded, LiveSession, MostLoaded, Requested};
use super::*;

/// Where these many distinct people land.
fn landings(world: &mut World, people: u32) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for person in 0..people {
        let (name, ..) = world.land(&proven(&format!("person{person}")));
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[test]
fn people_spread_evenly() {
    for policy in [Spread, Auto] {
        let mut world = World::new(7, policy, &[8; 5]);
        assert!(
            landings(&mut world, 30)
                .into_values()
                .all(|count| count == 6)
        );
    }
}

#[test]
fn people_spread_in_proportion_to_capacity() {
    let mut world = World::new(7, Spread, &[3, 9, 6]);
    let counts = landings(&mut world, 12);
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2, 6, 4]);
}

#[test]
fn pack_fills_one_instance_after_the_other() {
    let mut world = World::new(7, Pack, &[2; 3]);
    let placed: Vec<_> = (0..6)
        .map(|at| world.land(&proven(&format!("p{at}"))))
        .collect();
    for pair in placed.chunks(2) {
        assert_eq!(pair[0].0, pair[1].0);
        assert_eq!(pair[0].1, MostLoaded);
    }
    assert_eq!(
        world.place(&proven("late")).unwrap_err(),
        Refusal::Full("main".into())
    );
}

/// Six people stand in line at three instances of eight seats; people leave vm1 first, then vm2, then vm3.
#[test]
fn seats_that_come_free_are_dealt_out_by_load() {
    let mut world = World::new(7, Spread, &[8; 3]);
    let mut seated: BTreeMap<String, Vec<SessionId>> = BTreeMap::new();
    for at in 0..24 {
        let (name, _, session) = world.land(&proven(&format!("seated{at}")));
        seated.entry(name).or_default().push(session);
    }
    let waiting = |at: u32| LoginRequest {
        patient: true,
        ..proven(&format!("waiting{at}"))
    };
    for at in 0..6 {
        let refusal = world.place(&waiting(at)).unwrap_err();
        assert_eq!(refusal, Refusal::Full("main".into()));
    }
    let mut in_line: Vec<u32> = (0..6).collect();
    let mut landed: BTreeMap<String, u32> = BTreeMap::new();
    for session in seated.into_values().flatten() {
        world.end(session);
        in_line.retain(|at| match world.place(&waiting(*at)) {
            Ok(placement) => {
                *landed
                    .entry(placement.instance.id.name.to_string())
                    .or_default() += 1;
                false
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::InLine(_) | Refusal::Full(_)));
                true
            }
        });
    }
    assert_eq!(landed.into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn nobody_stands_in_line_for_long_or_where_there_is_none() {
    let mut world = World::new(7, Spread, &[2, 1]);
    world.land(&wishing("bob", "vm2"));
    world.wait(1);
    for gone in ["gone", "gone too"] {
        let (_, _, gone) = world.land(&wishing(gone, "vm1"));
        world.end(gone);
    }
    let patient = |user: &str| LoginRequest {
        patient: true,
        ..proven(user)
    };
    // More people belong on vm1 than on vm2, which is full, but has been for long.
    assert_eq!(world.land(&patient("alice")).0, "vm1");
    let (_, _, carol) = world.land(&patient("carol"));
    assert_eq!(
        world.place(&patient("dave")).unwrap_err(),
        Refusal::Full("main".into())
    );
    world.end(carol);
    assert_eq!(
        world.place(&patient("dave")).unwrap_err(),
        Refusal::InLine("main".into())
    );
    let (name, _, erin) = world.land(&proven("erin"));
    assert_eq!(name, "vm1", "who cannot wait does not");
    world.end(erin);
    world.wait(1);
    assert_eq!(
        world.land(&patient("dave")).0,
        "vm1",
        "nobody else has come"
    );
}

#[test]
fn ties_break_by_seed() {
    let first = |seed| World::new(seed, Spread, &[8; 16]).land(&proven("alice")).0;
    let firsts: Vec<String> = (0..32).map(first).collect();
    let again: Vec<String> = (0..32).map(first).collect();
    assert_eq!(firsts, again, "one seed, one answer");
    let distinct = firsts.iter().collect::<std::collections::BTreeSet<_>>();
    assert!(distinct.len() > 8, "seeds choose alike: {distinct:?}");
}

#[test]
fn refusals_say_the_truth() {
    let mut world = World::new(7, Spread, &[1, 1]);
    let refused = |world: &mut World, request: &LoginRequest| world.place(request).unwrap_err();
    let elsewhere = LoginRequest {
        pool: Some("gpu".into()),
        ..proven("alice")
    };
    assert_eq!(
        refused(&mut world, &elsewhere),
        Refusal::NoSuchPool("gpu".into())
    );
    let nowhere = Refusal::NoSuchInstance {
        pool: "main".into(),
        instance: "vm9".into(),
    };
    assert_eq!(refused(&mut world, &wishing("alice", "vm9")), nowhere);

    world.land(&wishing("bob", "vm1"));
    let full = Refusal::NotRoutable("vm1".into(), "full".into());
    assert_eq!(refused(&mut world, &wishing("alice", "vm1")), full);
    let unreachable = excluding(proven("alice"), "vm2");
    assert_eq!(
        refused(&mut world, &unreachable),
        Refusal::Full("main".into())
    );
    world.cordon("vm2");
    assert_eq!(
        refused(&mut world, &proven("alice")),
        Refusal::Full("main".into())
    );
    let cordoned = Refusal::NotRoutable("vm2".into(), "cordoned".into());
    assert_eq!(refused(&mut world, &wishing("alice", "vm2")), cordoned);
    assert_eq!(
        refused(&mut world, &excluding(proven("alice"), "vm1")),
        Refusal::NoneUp("main".into()),
        "the only open instance is out of reach"
    );
    world.observe_all("vm1", Health::Down);
    assert_eq!(
        refused(&mut world, &proven("alice")),
        Refusal::NoneUp("main".into())
    );
    let down = Refusal::NotRoutable("vm1".into(), "down".into());
    assert_eq!(refused(&mut world, &wishing("alice", "vm1")), down);
}

#[test]
fn excluding_an_instance_twice_counts_once() {
    let mut world = World::new(7, Spread, &[1, 1]);
    world.land(&wishing("bob", "vm2"));
    let request = LoginRequest {
        exclude: vec![id("vm1"), id("vm1")],
        ..proven("alice")
    };
    assert_eq!(
        world.place(&request).unwrap_err(),
        Refusal::Full("main".into())
    );
}

#[test]
fn an_excluded_instance_is_never_chosen() {
    let mut world = World::new(7, Spread, &[8, 8]);
    world.land(&wishing("alice", "vm1"));
    assert_eq!(world.land(&excluding(proven("alice"), "vm1")).0, "vm2");
    let refusal = world
        .place(&excluding(wishing("alice", "vm1"), "vm1"))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::NotRoutable("vm1".into(), "unreachable".into())
    );
}

#[test]
fn a_login_without_a_pool_goes_to_the_default_one() {
    let mut world = World::new(7, Spread, &[8]);
    world.pool.configure(
        "gpu",
        PoolRules {
            default: false,
            ..rules(Spread)
        },
    );
    assert_eq!(world.land(&proven("alice")).0, "vm1");
    world.pool.configure("gpu", rules(Spread));
    let refusal = world.place(&proven("alice")).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::NoneUp("gpu".into()),
        "the newest default counts"
    );
}

#[test]
fn a_wish_is_honoured_where_there_is_room_or_a_session() {
    let mut world = World::new(7, Spread, &[1, 1]);
    let (name, reason, _) = world.land(&wishing("alice", "vm2"));
    assert_eq!((&*name, reason), ("vm2", Requested));
    world.cordon("vm2");
    assert_eq!(
        world.land(&wishing("alice", "vm2")).1,
        Requested,
        "full and cordoned, but hers"
    );
    assert!(world.place(&wishing("bob", "vm2")).is_err());
}

#[test]
fn each_protocol_asks_its_own_service() {
    let mut world = World::new(7, Spread, &[8, 8]);
    for _ in 0..3 {
        world.observe("vm1", Protocol::Jupyter, Health::NoLogins);
        world.observe("vm2", Protocol::Ssh, Health::Down);
    }
    assert_eq!(world.land(&proven("alice")).0, "vm1");
    assert_eq!(world.land(&by_jupyter(proven("bob"))).0, "vm2");
    let mut listing = vec![instance("vm1", 8), instance("vm2", 8)];
    listing[1].jupyter_port = None;
    world.sync(listing);
    let refusal = world
        .place(&by_jupyter(wishing("carol", "vm2")))
        .unwrap_err();
    assert_eq!(
        refusal,
        Refusal::NotRoutable("vm2".into(), "not running this service".into())
    );
    assert_eq!(
        world
            .pool
            .snapshot()
            .instance("main", "vm2")
            .unwrap()
            .health,
        Health::Down
    );
}

#[test]
fn unproven_logins_spread_and_take_no_room_from_proven_ones() {
    let mut world = World::new(7, Spread, &[2, 2]);
    for at in 0..4 {
        world.land(&claimed(&format!("claim{at}")));
    }
    assert_eq!((world.sessions("vm1"), world.sessions("vm2")), (2, 2));
    assert_eq!(
        world.place(&claimed("one-more")).unwrap_err(),
        Refusal::Full("main".into())
    );
    for at in 0..4 {
        world.land(&proven(&format!("person{at}")));
    }
    assert_eq!(
        world.place(&proven("late")).unwrap_err(),
        Refusal::Full("main".into())
    );
    let snapshot = world.pool.snapshot();
    let vm1 = snapshot.instance("main", "vm1").unwrap();
    assert_eq!((vm1.sessions, vm1.load, vm1.capacity), (4, 2, 2));
}

#[test]
fn a_proof_counts_even_beyond_capacity() {
    let mut world = World::new(7, Spread, &[1]);
    let claim = world.place(&claimed("alice")).unwrap().session;
    world.land(&proven("bob"));
    assert!(world.pool.prove(claim, "alice", world.now));
    assert_eq!(world.pool.session(claim).unwrap().stage, Stage::Reserved);
    assert_eq!(world.pool.snapshot().pool("main").unwrap().load, 2);
    assert_eq!(world.land(&proven("alice")).1, LiveSession);
}

#[test]
fn a_session_is_live_once_it_is_proven_and_carries() {
    let mut world = World::new(7, Spread, &[8]);
    let claim = world.place(&claimed("alice")).unwrap().session;
    assert!(world.pool.set_live(claim));
    assert_eq!(world.pool.session(claim).unwrap().stage, Stage::Provisional);
    assert!(world.pool.prove(claim, "alice", world.now));
    assert_eq!(world.pool.session(claim).unwrap().stage, Stage::Live);
    let session = world.place(&proven("bob")).unwrap().session;
    assert!(world.pool.set_live(session));
    assert_eq!(world.pool.session(session).unwrap().stage, Stage::Live);
}

#[test]
fn what_has_ended_stays_ended() {
    let mut world = World::new(7, Spread, &[8]);
    let (_, _, session) = world.land(&proven("alice"));
    world.end(session);
    assert!(world.pool.end_session(session, world.now).is_none());
    assert!(!world.pool.prove(session, "alice", world.now));
    assert!(!world.pool.set_live(session));
    assert_eq!(world.sessions("vm1"), 0);
}

#[test]
fn a_listing_keeps_what_stays_and_ends_what_goes() {
    let mut world = World::new(7, Spread, &[8, 8, 8]);
    let (_, _, stays) = world.land(&wishing("alice", "vm1"));
    let (_, _, replaced) = world.land(&wishing("bob", "vm2"));
    let (_, _, gone) = world.land(&claimed("carol"));
    let mut listing = vec![instance("vm1", 1), instance("vm2", 8)];
    listing[1].generation = 2;
    listing.push(Instance {
        id: InstanceId {
            pool: "gpu".into(),
            name: "vm3".into(),
        },
        ..instance("vm3", 8)
    });
    assert_eq!(world.sync(listing), [replaced, gone]);
    assert!(world.pool.session(stays).is_some());
    let snapshot = world.pool.snapshot();
    assert_eq!(snapshot.instances.len(), 2);
    assert_eq!(snapshot.instance("main", "vm1").unwrap().health, Health::Up);
    assert_eq!(
        snapshot.instance("main", "vm2").unwrap().health,
        Health::Unknown
    );
    assert_eq!(snapshot.pool("main").unwrap().headroom, 0);
}

#[test]
fn only_flips_are_reported() {
    let mut world = World::new(7, Spread, &[8]);
    world.wait(5);
    let flips = [1, 2, 3].map(|_| world.observe("vm1", Protocol::Ssh, Health::Down));
    assert_eq!(flips, [None, None, Some(Health::NoLogins)]);
    let snapshot = world.pool.snapshot();
    assert_eq!(
        snapshot.instance("main", "vm1").unwrap().health_since,
        world.now.wall
    );
    assert_eq!(world.observe("vm9", Protocol::Ssh, Health::Down), None);
}

#[test]
fn a_snapshot_prints_as_the_contract_says() {
    let mut world = World::new(0, Spread, &[8]);
    world.wait(1);
    let session = world.place(&proven("alice")).unwrap().session;
    let bob = HubPerson {
        name: "bob".into(),
        is_pending: true,
        last_activity: SystemTime::UNIX_EPOCH,
    };
    world.pool.hear_hub(&id("vm1"), Some(vec![bob]));
    let snapshot = world.pool.snapshot();
    let json = serde_json::to_value(&snapshot).unwrap();
    let expected = serde_json::json!({
        "pools": [{
            "name": "main", "default": true, "placement": "spread", "instances": 1, "instances_routable": 1,
            "capacity": 8, "load": 2, "headroom": 6, "sessions": 1, "prospect": null, "intent": null,
        }],
        "instances": [{
            "name": "vm1", "address": "192.0.2.1", "pool": "main", "admin_state": "ready", "decided_by": "nobody",
            "reason": null, "deadline": null, "keep": null, "is_sealed": false, "health": "up",
            "health_since": "1970-01-01T00:00:00.000Z", "services": {"ssh": "up", "jupyter": "up"},
            "hub": {"people": 1, "direct": 1, "pending": 1, "is_stale": false},
            "measured": null, "sessions": 1, "capacity": 8, "load": 2, "ssh_port": 22, "jupyter_port": 8000, "generation": 1,
        }],
        "sessions": [{
            "id": session.to_string(), "user": "alice", "protocol": "ssh", "pool": "main", "instance": "vm1",
            "peer": "192.0.2.7", "since": "1970-01-01T00:00:01.000Z", "stage": "reserved",
            "is_elsewhere": false,
        }],
        "older": [],
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Snapshot>(json).unwrap(), snapshot);
    assert_eq!(session.to_string().parse(), Ok(session));
    assert!(snapshot.session(session).is_some());
    assert_eq!(snapshot.sessions_on(&id("vm1")).count(), 1);
    assert_eq!("+00000000000000f".parse::<SessionId>(), Err(SessionIdError));
}

#[test]
fn the_first_least_loaded_has_that_reason() {
    let mut world = World::new(7, Auto, &[8]);
    assert_eq!(world.land(&proven("alice")).1, LeastLoaded);
}

#[test]
fn the_policy_never_overrules_a_person() {
    let mut world = World::new(7, Auto, &[8]);
    let vm1 = id("vm1");
    let drained = || Decision::by_policy(AdminState::Draining, "nobody is on it");
    assert!(world.pool.decide(&vm1, drained()));
    assert!(
        world
            .pool
            .decide(&vm1, Decision::by_admin(AdminState::Draining, "a new disk"))
    );
    assert!(
        !world.pool.reopen(&vm1),
        "it was an operator who closed it last"
    );
    assert!(
        world
            .pool
            .decide(&vm1, Decision::by_admin(AdminState::Ready, ""))
    );
    assert!(world.pool.decide(&vm1, drained()));
    assert!(world.pool.reopen(&vm1) && !world.pool.reopen(&vm1));
    assert!(!world.pool.decide(&id("vm9"), drained()));
}

#[test]
fn nobody_gets_onto_a_machine_that_is_about_to_be_removed() {
    let mut world = World::new(7, Auto, &[8]);
    let vm1 = id("vm1");
    assert!(!world.pool.seal(&vm1), "it is not drained");
    let (_, _, session) = world.land(&proven("alice"));
    world
        .pool
        .decide(&vm1, Decision::by_policy(AdminState::Draining, "a test"));
    assert!(!world.pool.seal(&vm1), "alice is there");
    assert!(world.place(&proven("alice")).is_ok(), "and may come back");
    let sessions: Vec<_> = world
        .pool
        .snapshot()
        .sessions
        .iter()
        .map(|one| one.id)
        .collect();
    assert!(sessions.contains(&session));
    for session in sessions {
        world.end(session);
    }
    assert!(world.pool.seal(&vm1));
    assert!(world.place(&proven("alice")).is_err());
    world.pool.unseal(&vm1);
    world.pool.reopen(&vm1);
    assert!(world.place(&proven("alice")).is_ok());
}
