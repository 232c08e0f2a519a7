//! What hubs say counts, and draws people, as long as it is their last word.

use super::super::PlacementPolicy::Spread;
use super::super::PlacementReason::{Affinity, LeastLoaded, LiveServer, LiveSession, Requested};
use super::*;

fn on(world: &mut World, name: &str, people: &[&str]) {
    let people = people.iter().map(|user| HubPerson {
        name: (*user).into(),
        is_pending: false,
        last_activity: SystemTime::UNIX_EPOCH,
    });
    world.pool.hear_hub(&id(name), Some(people.collect()));
}

fn load(world: &World, name: &str) -> (u32, u32) {
    let snapshot = world.pool.snapshot();
    let view = snapshot.instance("main", name).unwrap();
    (view.load, view.sessions)
}

#[test]
fn people_only_the_hub_knows_take_room_and_are_counted_once() {
    let mut world = World::new(7, Spread, &[2, 2]);
    on(&mut world, "vm1", &["alice", "bob"]);
    assert_eq!(load(&world, "vm1"), (2, 0));
    assert_eq!(world.land(&by_jupyter(proven("carol"))).0, "vm2");
    assert_eq!(world.land(&by_jupyter(proven("dave"))).0, "vm2");
    assert_eq!(world.pool.snapshot().pools[0].headroom, 0);
    let full = world.place(&by_jupyter(proven("erin")));
    assert!(matches!(full, Err(Refusal::Full(_))), "{full:?}");
    // alice comes by the gate: the same person.
    let (name, reason, session) = world.land(&by_jupyter(proven("alice")));
    assert_eq!((&*name, reason), ("vm1", LiveServer));
    assert_eq!(load(&world, "vm1"), (2, 1));
    // By ssh she is one session more.
    assert_eq!(world.land(&proven("alice")).1, LiveSession);
    assert_eq!(load(&world, "vm1"), (3, 2));
    world.end(session);
    assert_eq!(load(&world, "vm1"), (3, 1), "her server runs on");
    on(&mut world, "vm1", &["bob"]);
    assert_eq!(load(&world, "vm1"), (2, 1));
}

#[test]
fn a_live_server_draws_its_person_even_where_nobody_new_may_go() {
    let mut world = World::new(7, Spread, &[8, 8]);
    let (home, _, session) = world.land(&proven("alice"));
    world.end(session);
    let other = if home == "vm1" { "vm2" } else { "vm1" };
    on(&mut world, other, &["alice"]);
    world.cordon(other);
    let (name, reason, session) = world.land(&proven("alice"));
    assert_eq!((&*name, reason), (other, LiveServer), "before memory");
    world.end(session);
    let wish = LoginRequest {
        instance: Some(other.to_owned()),
        ..proven("alice")
    };
    assert_eq!(world.place(&wish).unwrap().reason, Requested);
    assert!(
        world
            .place(&LoginRequest {
                user: Some("bob".into()),
                ..wish
            })
            .is_err()
    );
}

#[test]
fn a_silent_hubs_last_word_stays_and_a_lost_instances_goes() {
    let mut world = World::new(7, Spread, &[8, 8]);
    on(&mut world, "vm1", &["alice"]);
    world.pool.hear_hub(&id("vm1"), None);
    world.pool.hear_hub(&id("vm2"), None);
    let snapshot = world.pool.snapshot();
    let hub = |name| snapshot.instance("main", name).unwrap().hub;
    assert!(hub("vm1").is_some_and(|hub| hub.is_stale && hub.people == 1));
    assert_eq!(hub("vm2"), None, "never heard");
    let (name, reason, session) = world.land(&by_jupyter(proven("alice")));
    assert_eq!((&*name, reason), ("vm1", LiveServer));
    world.end(session);
    let mut reimaged = instance("vm1", 8);
    reimaged.generation += 1;
    world.sync(vec![reimaged, instance("vm2", 8)]);
    world.observe_all("vm1", Health::Up);
    assert_eq!(load(&world, "vm1"), (0, 0));
    assert_eq!(world.land(&proven("alice")).1, LeastLoaded);
    // What was asked of an instance that left is nobody's.
    world.sync(vec![instance("vm2", 8)]);
    on(&mut world, "vm1", &["alice"]);
    assert_eq!(world.land(&proven("bob")).0, "vm2");
}

#[test]
fn the_server_used_last_wins() {
    let mut world = World::new(7, Spread, &[8, 8, 8]);
    for (at, name) in ["vm3", "vm1", "vm2"].into_iter().enumerate() {
        let active = SystemTime::UNIX_EPOCH
            + Duration::from_secs(if name == "vm1" { 99 } else { at as u64 });
        let alice = HubPerson {
            name: "alice".into(),
            is_pending: false,
            last_activity: active,
        };
        world.pool.hear_hub(&id(name), Some(vec![alice]));
    }
    assert_eq!(
        world
            .place(&proven("alice"))
            .unwrap()
            .instance
            .id
            .name
            .as_ref(),
        "vm1"
    );
}

#[test]
fn where_somebody_belongs_is_told_without_a_trace() {
    let mut world = World::new(7, Spread, &[8, 8]);
    let alice = by_jupyter(claimed("alice"));
    let elsewhere = |world: &World, at: &str| {
        let found = world.pool.belongs_elsewhere(&alice, &id(at), world.now);
        found.map(|(instance, reason)| (instance.id.name.to_string(), reason))
    };
    assert_eq!(elsewhere(&world, "vm1"), None);
    on(&mut world, "vm2", &["alice"]);
    assert_eq!(elsewhere(&world, "vm1"), Some(("vm2".into(), LiveServer)));
    assert_eq!(elsewhere(&world, "vm2"), None);
    on(&mut world, "vm1", &["alice"]);
    assert_eq!(elsewhere(&world, "vm1"), None, "both: they may stay");
    on(&mut world, "vm1", &[]);
    on(&mut world, "vm2", &[]);
    let wish = LoginRequest {
        instance: Some("vm2".into()),
        ..proven("alice")
    };
    let (_, _, session) = world.land(&wish);
    assert_eq!(elsewhere(&world, "vm1"), Some(("vm2".into(), LiveSession)));
    world.end(session);
    assert_eq!(elsewhere(&world, "vm1"), Some(("vm2".into(), Affinity)));
    world.observe_all("vm2", Health::NoLogins);
    assert_eq!(elsewhere(&world, "vm1"), None, "no hub there takes logins");
    assert_eq!(world.pool.snapshot().sessions.len(), 0);
}
