//! One person, one instance: live sessions, and the memory of ended ones.

use super::super::PlacementPolicy::Spread;
use super::super::PlacementReason::{Affinity, LeastLoaded, LiveSession};
use super::super::affinity::REMEMBERED_MAX;
use super::*;

/// Alice on one of two instances with a session just ended there; the instance's name and the other's.
fn after_a_session() -> (World, String, String) {
    let mut world = World::new(7, Spread, &[2, 2]);
    let (home, _, session) = world.land(&proven("alice"));
    world.end(session);
    let other = if home == "vm1" { "vm2" } else { "vm1" };
    // The home is the fuller one, so policy alone would choose the other.
    world.land(&wishing("bob", &home));
    (world, home, other.into())
}

#[test]
fn a_person_returns_to_their_live_session_by_any_protocol() {
    let mut world = World::new(7, Spread, &[1, 8]);
    world.land(&wishing("alice", "vm1"));
    world.cordon("vm1");
    for request in [
        proven("alice"),
        by_jupyter(proven("alice")),
        claimed("alice"),
    ] {
        let (name, reason, _) = world.land(&request);
        assert_eq!(
            (&*name, reason),
            ("vm1", LiveSession),
            "full and cordoned, but hers"
        );
    }
    let draining = Decision::by_admin(AdminState::Draining, "a test");
    world.pool.decide(&id("vm1"), draining);
    assert_eq!(world.land(&proven("alice")).0, "vm1");
    world.observe_all("vm1", Health::NoLogins);
    assert_eq!(world.land(&proven("alice")).0, "vm1");
    world.observe_all("vm1", Health::Down);
    assert_eq!(
        world.land(&proven("alice")).0,
        "vm2",
        "nobody is sent to the dead"
    );
}

#[test]
fn of_several_live_sessions_the_latest_leads() {
    let mut world = World::new(7, Spread, &[8, 8]);
    world.land(&wishing("alice", "vm1"));
    let (_, _, second) = world.land(&wishing("alice", "vm2"));
    assert_eq!(world.land(&proven("alice")).0, "vm2");
    world.end(second);
    assert_eq!(world.land(&excluding(proven("alice"), "vm2")).0, "vm1");
}

#[test]
fn an_unproven_session_leads_nobody() {
    let mut world = World::new(7, Spread, &[8, 8]);
    let (first, ..) = world.land(&claimed("alice"));
    let (second, reason, session) = world.land(&proven("alice"));
    assert_ne!(first, second);
    assert_eq!(reason, LeastLoaded);
    world.end(session);
    assert_eq!(
        world.land(&claimed("alice")).1,
        Affinity,
        "but a claim is sent where she belongs"
    );
}

#[test]
fn a_person_is_remembered_for_a_while() {
    let (mut world, home, other) = after_a_session();
    world.wait(12 * HOUR - 1);
    let (name, reason, session) = world.land(&by_jupyter(proven("alice")));
    assert_eq!((&name, reason), (&home, Affinity));
    world.wait(HOUR);
    world.end(session);
    world.wait(12 * HOUR);
    assert_eq!(
        world.land(&proven("alice")).0,
        other,
        "the time runs from the end of the last session"
    );
}

/// A seat given back before any byte of its session flowed.
fn seat_given_back(world: &mut World, request: &LoginRequest, is_refused: bool) -> String {
    let placement = world.place(request).unwrap();
    if is_refused {
        world.pool.turn_away(placement.session);
    }
    world.end(placement.session);
    placement.instance.id.name.to_string()
}

#[test]
fn where_no_session_went_live_nobody_is_remembered() {
    let mut world = World::new(7, Spread, &[8, 8]);
    let first = seat_given_back(&mut world, &proven("alice"), false);
    assert_eq!(world.pool.next_deadline(), None);
    let placement = world.place(&proven("alice")).unwrap();
    assert_eq!(placement.reason, LeastLoaded);
    assert_ne!(
        *placement.instance.id.name, *first,
        "the other one has its turn"
    );
}

#[test]
fn a_login_that_came_to_nothing_leaves_the_old_memory() {
    let (mut world, home, other) = after_a_session();
    assert_eq!(
        seat_given_back(&mut world, &wishing("alice", &other), true),
        other
    );
    assert_eq!(seat_given_back(&mut world, &proven("alice"), false), home);
    assert_eq!(world.land(&proven("alice")).1, Affinity);
}

#[test]
fn an_instance_that_refuses_its_own_person_is_not_their_home_any_more() {
    let (mut world, home, other) = after_a_session();
    assert_eq!(seat_given_back(&mut world, &proven("alice"), true), home);
    assert_eq!(world.land(&proven("alice")).0, other);
}

#[test]
fn a_refusal_beside_a_session_that_goes_on_changes_nothing() {
    let mut world = World::new(7, Spread, &[8, 8]);
    let (home, _, session) = world.land(&proven("alice"));
    assert_eq!(seat_given_back(&mut world, &proven("alice"), true), home);
    world.end(session);
    let (name, reason, _) = world.land(&proven("alice"));
    assert_eq!((name, reason), (home, Affinity));
}

#[test]
fn a_claim_does_not_lengthen_the_memory() {
    let (mut world, home, other) = after_a_session();
    world.wait(6 * HOUR);
    let (name, _, claim) = world.land(&claimed("alice"));
    assert_eq!(name, home);
    world.wait(6 * HOUR);
    world.end(claim);
    assert_eq!(world.land(&proven("alice")).0, other);
}

#[test]
fn memory_yields_to_what_is_decided_and_observed() {
    let changes: [fn(&mut World, &str); 3] = [
        |world, home| world.cordon(home),
        |world, home| world.observe_all(home, Health::Down),
        |world, home| world.observe_all(home, Health::NoLogins),
    ];
    for change in changes {
        let (mut world, home, other) = after_a_session();
        change(&mut world, &home);
        let (name, _, session) = world.land(&proven("alice"));
        assert_eq!(name, other);
        world.end(session);
        world.pool.decide(&id(&home), Decision::none());
        world.observe_all(&home, Health::Up);
        assert_eq!(
            world.land(&proven("alice")).0,
            other,
            "the new instance is the one remembered"
        );
    }
}

#[test]
fn a_full_home_is_left() {
    let (mut world, home, other) = after_a_session();
    world.land(&wishing("carol", &home));
    assert_eq!(world.land(&proven("alice")).0, other);
}

#[test]
fn a_replaced_instance_is_nobodys_home() {
    let (mut world, home, other) = after_a_session();
    let mut replaced = instance(&home, 2);
    replaced.generation = 2;
    world.sync(vec![replaced, instance(&other, 2)]);
    assert_eq!(world.pool.next_deadline(), None);
    world.observe_all(&home, Health::Up);
    assert_eq!(world.land(&proven("alice")).1, LeastLoaded);
}

#[test]
fn who_loses_their_home_belongs_where_they_went_before() {
    let mut world = World::new(7, Spread, &[8, 8, 8, 8]);
    let left = ["vm1", "vm3"].map(|name| world.land(&wishing("alice", name)).2);
    world.land(&wishing("alice", "vm2"));
    world.sync(["vm1", "vm3", "vm4"].map(|name| instance(name, 8)).into());
    left.into_iter().for_each(|session| world.end(session));
    let (name, reason, _) = world.land(&proven("alice"));
    assert_eq!((&*name, reason), ("vm3", Affinity));
}

#[test]
fn a_browsers_proof_leads_ssh() {
    let mut world = World::new(7, Spread, &[8, 8]);
    let anonymous = LoginRequest {
        user: None,
        ..by_jupyter(claimed(""))
    };
    let (name, _, session) = world.land(&anonymous);
    assert!(world.pool.session(session).unwrap().user.is_none());
    assert!(world.pool.prove(session, "alice", world.now));
    assert_eq!(world.land(&proven("alice")).0, name);
}

#[test]
fn another_proof_on_one_session_moves_it_to_the_other_person() {
    let mut world = World::new(7, Spread, &[8]);
    let (_, _, session) = world.land(&by_jupyter(proven("alice")));
    assert!(world.pool.prove(session, "bob", world.now));
    assert!(world.pool.prove(session, "bob", world.now));
    assert_eq!(world.sessions("vm1"), 1);
    assert_eq!(world.land(&proven("bob")).1, LiveSession);
    assert_eq!(world.land(&proven("alice")).1, Affinity);
}

#[test]
fn memories_end_in_time() {
    let mut world = World::new(7, Spread, &[8]);
    assert_eq!(world.pool.next_deadline(), None);
    let (_, _, session) = world.land(&proven("alice"));
    assert_eq!(
        world.pool.next_deadline(),
        None,
        "nothing ends while she is here"
    );
    world.end(session);
    let deadline = world.now.instant + Duration::from_secs(12 * HOUR);
    assert_eq!(world.pool.next_deadline(), Some(deadline));
    world.wait(12 * HOUR - 1);
    world.pool.expire(world.now);
    assert_eq!(world.pool.next_deadline(), Some(deadline));
    world.wait(1);
    world.pool.expire(world.now);
    assert_eq!(world.pool.next_deadline(), None);
}

#[test]
fn no_affinity_means_none_and_endless_affinity_is_bounded() {
    for (affinity, is_remembered) in [(Duration::ZERO, false), (Duration::MAX, true)] {
        let mut world = World::new(7, Spread, &[8]);
        world.pool.configure(
            "main",
            PoolRules {
                affinity,
                ..rules(Spread)
            },
        );
        let (_, _, session) = world.land(&proven("alice"));
        world.end(session);
        assert_eq!(world.pool.next_deadline().is_some(), is_remembered);
    }
}

/// On the table itself: with the pool around it every step would count everything again.
#[test]
fn the_oldest_memory_makes_room() {
    let mut people = super::super::affinity::People::default();
    let home: Arc<str> = "vm1".into();
    let start = Instant::now();
    for at in 0..=REMEMBERED_MAX {
        let user = people.arrive(&format!("person{at}"), &home);
        people.settle_in(&user, &home);
        let now = start + Duration::from_millis(at as u64);
        people.leave(&user, &home, now, Duration::from_secs(12 * HOUR));
    }
    assert_eq!(people.home("person0", start), None);
    assert_eq!(people.home("person1", start), Some(&home));
    assert!(people.is_consistent());
}

/// Where people land whose sessions end at once, `seconds` apart.
fn landings_of_short_sessions(people: u32, seconds: u64) -> Vec<u32> {
    let mut world = World::new(3, Spread, &[8, 8, 8]);
    let mut landings = vec![0; 3];
    for person in 0..people {
        let (name, _, session) = world.land(&proven(&format!("person{person}")));
        world.end(session);
        world.wait(seconds);
        let at: usize = name.trim_start_matches("vm").parse().unwrap();
        landings[at - 1] += 1;
    }
    landings
}

#[test]
fn people_who_leave_at_once_spread_as_those_who_stay() {
    assert_eq!(landings_of_short_sessions(9, 0), [3, 3, 3]);
    assert_eq!(landings_of_short_sessions(9, 3600), [3, 3, 3]);
}

#[test]
fn whoever_left_a_moment_ago_counts_until_they_are_back_or_forgotten() {
    let mut world = World::new(3, Spread, &[8, 8]);
    for person in ["alice", "bob"] {
        let (_, _, session) = world.land(&wishing(person, "vm1"));
        world.end(session);
    }
    world.land(&wishing("carol", "vm2"));
    assert_eq!(
        world.land(&proven("dave")).0,
        "vm2",
        "two are expected on vm1"
    );
    world.wait(31);
    assert_eq!(
        world.land(&proven("erin")).0,
        "vm1",
        "nobody is there any more"
    );
}
