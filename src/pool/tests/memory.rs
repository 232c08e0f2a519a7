//! What of affinity is told to the next gate, and taken back by it.

use super::super::PlacementPolicy::Spread;
use super::super::PlacementReason::{Affinity, LeastLoaded, Sent};
use super::super::affinity::{Memory, REMEMBERED_MAX};
use super::*;

/// What a gate wrote down, as the next one reads it.
fn told(world: &World) -> Vec<Memory> {
    let text = serde_json::to_string(&world.pool.memories(world.now)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Another gate, `seconds` later, over instances of these capacities.
fn next_gate(before: &World, seconds: u64, capacities: &[u32]) -> World {
    let mut next = World::new(99, Spread, capacities);
    next.now = before.now;
    next.wait(seconds);
    next
}

fn memory(user: &str, until: Option<SystemTime>) -> Memory {
    Memory {
        pool: "main".into(),
        user: user.into(),
        instance: Some("vm1".into()),
        sent_to: None,
        until,
    }
}

#[test]
fn the_next_gate_knows_who_left_who_was_there_and_who_is_sent() {
    let mut world = World::new(7, Spread, &[9, 9]);
    let (_, _, left) = world.land(&wishing("alice", "vm2"));
    world.land(&wishing("bob", "vm2"));
    world.land(&wishing("carol", "vm2"));
    assert!(world.pool.send("carol", &id("vm1"), world.now));
    assert!(world.pool.send("dave", &id("vm2"), world.now));
    world.place(&wishing("erin", "vm2")).unwrap();
    world.end(left);

    let mut next = next_gate(&world, 60, &[9, 9]);
    next.pool.take_back(told(&world), next.now);
    let mut where_to = |user: &str| {
        let (name, reason, session) = next.land(&proven(user));
        next.end(session);
        (name, reason)
    };
    assert_eq!(where_to("alice"), ("vm2".into(), Affinity));
    assert_eq!(where_to("bob"), ("vm2".into(), Affinity));
    assert_eq!(where_to("carol"), ("vm1".into(), Sent));
    assert_eq!(where_to("dave"), ("vm2".into(), Sent));
    assert_eq!(
        where_to("erin").1,
        LeastLoaded,
        "her session never went live"
    );
}

#[test]
fn a_memory_ends_when_it_would_have() {
    let mut world = World::new(7, Spread, &[9, 9]);
    let (_, _, left) = world.land(&wishing("alice", "vm2"));
    world.end(left);
    world.land(&wishing("bob", "vm2"));
    world.wait(11 * HOUR);
    let told = told(&world);
    for (seconds, is_known) in [(HOUR - 1, true), (HOUR, false)] {
        let mut next = next_gate(&world, seconds, &[9, 9]);
        next.pool.take_back(told.clone(), next.now);
        let known = next.pool.memories(next.now);
        let known: Vec<&str> = known.iter().map(|one| &*one.user).collect();
        assert_eq!(known.contains(&"alice"), is_known, "{seconds}");
        assert!(known.contains(&"bob"), "was there to the last");
        next.wait(12 * HOUR);
        next.pool.expire(next.now);
        assert_eq!(next.pool.memories(next.now), [], "by the rules of today");
    }
}

#[test]
fn an_instance_that_is_not_listed_yet_is_waited_for() {
    let mut next = World::new(7, Spread, &[]);
    next.pool
        .take_back(vec![memory("alice", None), memory("bob", None)], next.now);
    assert!(next.place(&proven("alice")).is_err());
    next.sync(vec![instance("vm2", 9)]);
    next.observe_all("vm2", Health::Up);
    // Bob cannot wait, and has a new home from then on.
    let (_, _, session) = next.land(&proven("bob"));
    next.end(session);
    next.sync(vec![instance("vm1", 9), instance("vm2", 9)]);
    next.observe_all("vm1", Health::Up);
    assert_eq!(next.land(&proven("alice")).0, "vm1");
    assert_eq!(next.land(&proven("bob")).0, "vm2");
    next.sync(vec![instance("vm2", 9)]);
    let known = next.pool.memories(next.now);
    assert_eq!(
        known.len(),
        1,
        "once it was listed, it can be gone: {known:?}"
    );
}

#[test]
fn what_cannot_be_of_use_is_left_out() {
    let mut world = World::new(7, Spread, &[9]);
    let (_, _, session) = world.land(&proven("carol"));
    let over = Some(world.now.wall);
    let never = world.now.wall + Duration::from_secs(99 * 365 * 24 * HOUR);
    let elsewhere = Memory {
        pool: "other".into(),
        ..memory("bob", None)
    };
    let carol = Memory {
        instance: Some("vm9".into()),
        ..memory("carol", None)
    };
    let version = world.pool.memories_version();
    let memories = vec![
        memory("alice", over),
        elsewhere,
        carol,
        memory("dave", Some(never)),
    ];
    world.pool.take_back(memories, world.now);
    assert_ne!(world.pool.memories_version(), version);
    let mut known = world.pool.memories(world.now);
    known.sort_unstable();
    let latest = world.now.wall + Duration::from_secs(12 * HOUR);
    assert_eq!(
        known,
        [memory("carol", None), memory("dave", Some(latest))],
        "whoever is here is known better, and nobody longer than the rules say"
    );
    world.end(session);
}

#[test]
fn the_newest_memories_are_kept_of_too_many() {
    let mut world = World::new(7, Spread, &[9]);
    let start = world.now.wall;
    let one = |at: u64| {
        memory(
            &format!("person{at}"),
            Some(start + Duration::from_secs(at)),
        )
    };
    let many = REMEMBERED_MAX as u64 + 2;
    world.pool.configure(
        "main",
        PoolRules {
            affinity: Duration::from_secs(many + 1),
            ..rules(Spread)
        },
    );
    world
        .pool
        .take_back((1..=many).map(one).collect(), world.now);
    let known = world.pool.memories(world.now);
    assert_eq!(known.len(), REMEMBERED_MAX);
    let is_old = |one: &Memory| ["person1", "person2"].contains(&&*one.user);
    assert!(!known.iter().any(is_old));
}
