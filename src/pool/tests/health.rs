//! What was seen of an instance's services, told in sentences.

use jiff::tz::TimeZone;

use super::*;
use crate::pool::explain::health::add_people;

fn sentences(world: &World, name: &str) -> Vec<String> {
    let mut stories = world.pool.explain_health(Some(&id(name)));
    add_people(&mut stories, &world.pool.snapshot());
    assert_eq!(stories.len(), 1);
    stories[0].sentences(world.now.wall, &TimeZone::UTC)
}

#[test]
fn a_dead_service_is_told_with_what_killed_it_and_whom_it_concerns() {
    let mut world = World::new(1, PlacementPolicy::Spread, &[4]);
    world.land(&proven("alice"));
    world.land(&by_jupyter(proven("bob")));
    world.wait(60);
    let refused = Answer::new(Health::Down, "port 22: connection refused");
    for _ in 0..3 {
        world
            .pool
            .observe(&id("vm1"), Protocol::Ssh, refused.clone(), world.now);
    }
    world.wait(5);
    let greeted = Answer::new(Health::Up, "identification read");
    world
        .pool
        .observe(&id("vm1"), Protocol::Ssh, greeted, world.now);
    world.wait(2);
    let told = sentences(&world, "vm1");
    assert_eq!(
        told[..5],
        [
            "main/vm1 is no-logins since 00:01 UTC: not every service of it takes logins, and each counts by itself.",
            "ssh on port 22 is down since 00:01 UTC, when it was found down (port 22: connection refused). \
             Its last answer, 2 s ago: up (identification read). That makes 1 good in a row of the 2 that it takes.",
            "Nobody is sent there by ssh; 1 session by it is there (alice). Whose session breaks is placed elsewhere at the next login.",
            "jupyter on port 8000 is up since 00:00 UTC, when it was found up. Its last answer, 1 min ago: up.",
            "It takes logins by jupyter; 1 session by it is there (bob).",
        ]
    );
    assert_eq!(
        told[5],
        "A service is down after 3 bad answers in a row (health.fall), and up again after 2 good ones (health.rise); \
         the first good one of a new instance counts at once."
    );
}

#[test]
fn a_machine_that_closes_itself_an_operator_and_a_crowd_are_told() {
    let mut world = World::new(1, PlacementPolicy::Spread, &[40]);
    for number in 0..12 {
        world.land(&proven(&format!("person{number:02}")));
    }
    world.cordon("vm1");
    let closed = measured::telling(0, Some("drive"));
    world.pool.measure(&id("vm1"), closed, world.now);
    let told = sentences(&world, "vm1").join("\n");
    for part in [
        "takes nobody new: its shared drive does not answer.",
        "ssh on port 22 is no-logins",
        "12 sessions by it are there (person00, ",
        "person09, 2 more), and whoever is goes on working.",
        "Whatever its health, nobody new is sent there: it is cordoned.",
    ] {
        assert!(told.contains(part), "{part}\n{told}");
    }
    let json = serde_json::to_value(world.pool.explain_health(None)).unwrap();
    assert_eq!(json[0]["instance"], "vm1");
    assert_eq!(json[0]["services"][0]["service"], "ssh");
    assert_eq!(json[0]["closed"], "drive");
}
