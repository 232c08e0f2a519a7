//! What machines tell of themselves orders placement and closes them; people's own places stay.

use super::super::PlacementPolicy::Spread;
use super::super::PlacementReason::LiveSession;
use super::*;

pub(super) fn telling(load_percent: u32, closed: Option<&str>) -> Option<Measured> {
    Some(Measured {
        taken: SystemTime::UNIX_EPOCH,
        load_percent,
        cpu_percent: Some(load_percent),
        memory_percent: None,
        gpu_percent: None,
        people: 0,
        kept: 0,
        is_reboot_pending: false,
        closed: closed.map(Into::into),
    })
}

impl World {
    fn measure(&mut self, name: &str, measured: Option<Measured>) -> Option<Health> {
        self.pool.measure(&id(name), measured, self.now)
    }

    fn land_many(&mut self, users: std::ops::Range<u32>) -> Vec<String> {
        users
            .map(|user| self.land(&proven(&format!("u{user}"))).0)
            .collect()
    }
}

fn count(landed: &[String], name: &str) -> usize {
    landed.iter().filter(|one| *one == name).count()
}

#[test]
fn a_machine_that_computes_gets_nobody_new_until_others_are_as_full() {
    let mut world = World::new(7, Spread, &[10, 10]);
    world.measure("vm1", telling(60, None));
    let first = world.land_many(0..6);
    assert_eq!(count(&first, "vm2"), 6, "{first:?}");
    let then = world.land_many(6..10);
    assert_eq!(count(&then, "vm1"), 2, "evenly from there: {then:?}");
    // What its own people make of it is no load beyond them.
    world.measure("vm1", telling(20, None));
    world.measure("vm2", None);
    assert_eq!(count(&world.land_many(10..12), "vm1"), 2);
}

#[test]
fn a_herd_does_not_follow_a_figure_of_before_it() {
    let mut world = World::new(7, Spread, &[10, 10]);
    // Told while nobody was there: 40 people's worth of a hundredth each, say.
    world.measure("vm1", telling(40, None));
    world.measure("vm2", telling(30, None));
    let herd = world.land_many(0..10);
    let counts = (count(&herd, "vm1"), count(&herd, "vm2"));
    assert!(counts == (4, 6) || counts == (5, 5), "{counts:?}");
}

#[test]
fn load_alone_turns_nobody_away() {
    let mut world = World::new(7, Spread, &[2]);
    world.measure("vm1", telling(900, None));
    assert_eq!(world.land_many(0..2), ["vm1", "vm1"]);
}

#[test]
fn a_machine_that_closes_itself_gets_nobody_new_and_keeps_its_own() {
    let mut world = World::new(7, Spread, &[8, 8]);
    let (home, ..) = world.land(&proven("alice"));
    let flip = world.measure(&home, telling(0, Some("nologin")));
    assert_eq!(flip, Some(Health::NoLogins));
    let landed = world.land_many(0..4);
    assert_eq!(count(&landed, &home), 0, "{landed:?}");
    let (name, reason, _) = world.land(&proven("alice"));
    assert_eq!((name.as_str(), reason), (home.as_str(), LiveSession));
    let view = world.pool.snapshot();
    let view = view.instance("main", &home).unwrap();
    assert_eq!(view.services.ssh, Health::NoLogins);
    assert_eq!(view.services.jupyter, Some(Health::NoLogins));
    // A dead service is dead, whatever was told before.
    world.observe_all(&home, Health::Down);
    assert_eq!(world.measure(&home, None), None);
    world.observe_all(&home, Health::Up);
    assert_eq!(world.measure(&home, telling(0, None)), None);
    assert_eq!(count(&world.land_many(10..12), &home), 2);
}

#[test]
fn who_is_behind_others_gets_no_seat_but_where_they_are() {
    let mut world = World::new(7, Spread, &[2]);
    let behind = |world: &mut World, user| world.pool.place_behind(&proven(user), world.now);
    let refused = behind(&mut world, "alice");
    assert!(matches!(refused, Err(Refusal::Full(_))), "{refused:?}");
    assert_eq!(world.sessions("vm1"), 0, "no seat is taken");
    world.land(&proven("alice"));
    assert_eq!(behind(&mut world, "alice").unwrap().reason, LiveSession);
}
