//! An operator's word where a person goes, and what is told of a next login.

use jiff::tz::TimeZone;

use super::*;
use crate::pool::explain::PersonView;

impl World {
    fn explain(&mut self, user: &str) -> PersonView {
        let now = self.now;
        let found = self.pool.explain(user, None, |_, _| false, now).unwrap();
        // What is told is what happens.
        let placed = self.pool.clone().place(&proven(user), now);
        let told = found.next[0].instance.clone();
        assert_eq!(
            told,
            placed.ok().map(|placed| placed.instance.id.name.clone())
        );
        found
    }

    fn told(&mut self, user: &str) -> String {
        let person = self.explain(user);
        person.sentences(self.now.wall, &TimeZone::UTC).join("\n")
    }
}

fn spread() -> World {
    World::new(1, PlacementPolicy::Spread, &[4, 4])
}

#[test]
fn who_is_sent_goes_there_before_all_that_ties_them() {
    let mut world = spread();
    let first = world.place(&proven("alice")).unwrap();
    world.pool.set_live(first.session);
    let other = match &*first.instance.id.name {
        "vm1" => "vm2",
        _ => "vm1",
    };
    assert!(world.pool.send("alice", &id(other), world.now));
    assert!(!world.pool.send("alice", &id("vm9"), world.now));
    let told = world.told("alice");
    assert!(
        told.starts_with(&format!(
            "The next login of alice by ssh goes to {other}: an operator sends them there."
        )),
        "{told}"
    );
    let second = world.place(&proven("alice")).unwrap();
    assert_eq!(
        (second.reason, &*second.instance.id.name),
        (PlacementReason::Sent, other)
    );
    let claim = proven("alice");
    assert!(
        world
            .pool
            .sent_elsewhere(&claim, &first.instance.id, world.now)
    );
    assert!(
        !world
            .pool
            .sent_elsewhere(&claim, &second.instance.id, world.now)
    );
    world.pool.end_session(second.session, world.now);
    let third = world.place(&proven("alice")).unwrap();
    assert_eq!(
        &*third.instance.id.name, other,
        "also before the session they still have"
    );
    world.observe_all(other, Health::Down);
    assert_eq!(
        world.place(&proven("alice")).unwrap().reason,
        PlacementReason::LiveSession
    );
}

#[test]
fn an_operators_word_is_forgotten_with_its_instance() {
    let mut world = spread();
    assert!(world.pool.send("bob", &id("vm2"), world.now));
    assert_eq!(
        world.place(&proven("bob")).unwrap().reason,
        PlacementReason::Sent
    );
    assert!(world.pool.send("carol", &id("vm2"), world.now));
    world.sync(vec![instance("vm1", 4)]);
    assert_eq!(
        &*world.place(&proven("carol")).unwrap().instance.id.name,
        "vm1"
    );
}

#[test]
fn each_case_is_told_in_sentences() {
    let mut world = spread();
    let told = world.told("nobody");
    assert!(
        told.contains("least loaded of those that take logins"),
        "{told}"
    );
    assert!(told.contains("nothing ties them to an instance"), "{told}");
    let placed = world.place(&proven("alice")).unwrap();
    world.pool.set_live(placed.session);
    let name = placed.instance.id.name.to_string();
    world.cordon(&name);
    let told = world.told("alice");
    for part in [
        &format!("goes to {name}: a session of theirs is there"),
        &format!("{name} is cordoned for everybody new."),
        &format!("alice has a session by ssh on {name} since 00:00 UTC"),
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    world.pool.end_session(placed.session, world.now);
    let told = world.told("alice");
    assert!(
        told.contains(&format!("{name}, where they are remembered, is cordoned.")),
        "{told}"
    );
    let person = world.explain("alice");
    let kept_out = person.next[0]
        .candidates
        .iter()
        .find(|one| *one.instance == *name);
    assert_eq!(kept_out.unwrap().why, "it is cordoned");
    let other = if name == "vm1" { "vm2" } else { "vm1" };
    for at in 0..4 {
        world.place(&proven(&format!("p{at}"))).unwrap();
    }
    let told = world.told("alice");
    assert!(
        told.contains("every instance of pool main is full; it would wait in line"),
        "{told}"
    );
    world.observe_all(other, Health::Down);
    let told = world.told("alice");
    assert!(told.contains("no instance of pool main is up"), "{told}");
}
