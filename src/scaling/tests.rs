//! The policy case by case, and what holds of every plan it makes.

use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;

use super::facts::{Facts, InstanceFacts, Occupancy};
use super::lint::{self, Fault};
use super::*;
use crate::pool::{
    AdminState, Decider, Health, InstanceId, Machine, MachinePhase, Now, PlacementPolicy,
};

mod ahead;
mod lints;
mod orders;
mod swaps;
mod waits;
mod weeks;

/// Monday, 23 March 2026, 12:00 UTC.
const NOON_S: u64 = 1_774_267_200;

fn now() -> Now {
    Now {
        instant: Instant::now() + Duration::from_secs(1_000_000),
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(NOON_S),
    }
}

fn later(now: Now, seconds: u64) -> Now {
    let by = Duration::from_secs(seconds);
    Now {
        instant: now.instant + by,
        wall: now.wall + by,
    }
}

fn config(min: u32, max: u32) -> PolicyConfig {
    PolicyConfig::new(Schedule::always(Bounds {
        min,
        max,
        headroom: Headroom::Seats(2),
        placement: PlacementPolicy::Auto,
    }))
}

fn instance(name: &str, seats: u32) -> InstanceFacts {
    InstanceFacts {
        machine: Machine {
            id: id(name),
            generation: 1,
            phase: MachinePhase::Running,
            created: SystemTime::UNIX_EPOCH,
            is_spot: false,
            is_protected: false,
            is_latest_model: true,
            address: None,
        },
        occupancy: Occupancy::Seats(seats),
        capacity: 8,
        admin_state: AdminState::Ready,
        decided_by: Decider::Nobody,
        health: Health::Up,
        leaves_at: None,
        keep_until: None,
        busy_with: None,
    }
}

fn draining(name: &str, seats: u32, decided_by: Decider) -> InstanceFacts {
    InstanceFacts {
        admin_state: AdminState::Draining,
        decided_by,
        ..instance(name, seats)
    }
}

fn id(name: &str) -> InstanceId {
    InstanceId {
        pool: "main".into(),
        name: name.into(),
    }
}

fn facts(instances: Vec<InstanceFacts>, waiting: u32) -> Facts {
    Facts {
        pool: "main".into(),
        instances,
        waiting,
        requested: 0,
        capacity: 8,
        listing_age: Duration::ZERO,
        contradiction: None,
        counted_for: Duration::from_secs(86_400),
        unheard: Vec::new(),
        writes_after: None,
        order: None,
    }
}

/// What is planned after things have been so for an hour.
fn settled(facts: &Facts, config: &PolicyConfig) -> Plan {
    let mut history = History::default();
    let mut at = now();
    for _ in 0..60 {
        at = later(at, 60);
        history.observe(facts, config, at);
    }
    plan(facts, &history, config, at)
}

fn actions(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| step.action.to_string())
        .collect()
}

#[test]
fn people_who_wait_are_one_order() {
    let plan = settled(&facts(Vec::new(), 20), &config(0, 10));
    assert_eq!(actions(&plan), ["grow by 3"]);
    assert_eq!(
        plan.steps[0].reason,
        "20 people wait, and 0 seats are free or on their way"
    );
    let mut asked = facts(Vec::new(), 20);
    asked.requested = 3;
    assert_eq!(
        actions(&settled(&asked, &config(0, 10))),
        Vec::<String>::new()
    );
}

#[test]
fn what_drains_comes_back_before_anything_is_bought() {
    let there = vec![
        instance("a", 8),
        draining("b", 1, Decider::Policy),
        draining("c", 5, Decider::Policy),
        draining("d", 7, Decider::Admin),
    ];
    let plan = settled(&facts(there, 1), &config(0, 10));
    assert_eq!(actions(&plan), ["undrain c"]);
}

#[test]
fn what_is_off_is_started_before_anything_is_bought() {
    let mut off = instance("b", 0);
    off.machine.phase = MachinePhase::Deallocated;
    off.occupancy = Occupancy::Outside;
    let plan = settled(&facts(vec![instance("a", 8), off], 10), &config(0, 10));
    assert_eq!(actions(&plan), ["start b", "grow by 1"]);
}

#[test]
fn nobody_on_for_a_while_means_zero_and_two_steps() {
    let plan = settled(&facts(vec![instance("a", 0)], 0), &config(0, 10));
    assert_eq!(actions(&plan), ["drain a"]);
    let plan = settled(
        &facts(vec![draining("a", 0, Decider::Policy)], 0),
        &config(0, 10),
    );
    assert_eq!(actions(&plan), ["remove a"]);
    let plan = settled(&facts(vec![instance("a", 0)], 0), &config(1, 10));
    assert_eq!(actions(&plan), Vec::<String>::new());
}

#[test]
fn no_seat_is_given_up_that_was_wanted_a_moment_ago() {
    let config = config(0, 10);
    let mut history = History::default();
    let busy = facts(vec![instance("a", 8), instance("b", 6)], 0);
    let quiet = facts(vec![instance("a", 4), instance("b", 1)], 0);
    history.observe(&busy, &config, now());
    let soon = later(now(), 300);
    history.observe(&quiet, &config, soon);
    assert_eq!(
        actions(&plan(&quiet, &history, &config, soon)),
        Vec::<String>::new()
    );
    let then = later(now(), 900);
    history.observe(&quiet, &config, then);
    assert_eq!(actions(&plan(&quiet, &history, &config, then)), ["drain b"]);
}

#[test]
fn what_people_or_operators_hold_stays() {
    let mut kept = instance("a", 0);
    kept.keep_until = Some(later(now(), 86_400).wall);
    let mut busy = instance("b", 0);
    busy.busy_with = Some("tmux".to_owned());
    let mut protected = instance("c", 0);
    protected.machine.is_protected = true;
    let mut unknown = instance("d", 0);
    unknown.occupancy = Occupancy::Unknown;
    let drained = draining("e", 0, Decider::Admin);
    let there = vec![kept, busy, protected, unknown, drained];
    let plan = settled(&facts(there, 0), &config(0, 10));
    assert_eq!(actions(&plan), Vec::<String>::new());
}

#[test]
fn a_machine_the_cloud_takes_is_closed_and_replaced() {
    let mut leaves = instance("a", 8);
    leaves.leaves_at = Some(later(now(), 30).wall);
    let plan = settled(&facts(vec![leaves], 0), &config(0, 10));
    assert_eq!(actions(&plan), ["drain a", "grow by 2"]);
}

#[test]
fn when_blind_nothing_is_changed() {
    let there = || facts(vec![instance("a", 0), instance("b", 8)], 30);
    let mut stale = there();
    stale.listing_age = Duration::from_secs(3600);
    let mut contradictory = there();
    contradictory.contradiction = Some("2 machines that answer are missing".to_owned());
    let mut sick = there();
    for name in ["c", "d", "e", "f"] {
        let mut one = instance(name, 0);
        one.health = Health::Down;
        one.machine.phase = MachinePhase::Failed;
        sick.instances.push(one);
    }
    for facts in [stale, contradictory, sick] {
        let plan = settled(&facts, &config(0, 20));
        assert_eq!(actions(&plan), Vec::<String>::new());
        assert!(plan.frozen.unwrap().starts_with("nothing is changed"));
    }
}

#[test]
fn a_clock_that_jumps_and_a_fresh_start_take_nobodys_machine() {
    let config = config(0, 10);
    let empty = facts(vec![instance("a", 0)], 0);
    let mut history = History::default();
    history.observe(&empty, &config, now());
    let mut jumped = later(now(), 3600);
    jumped.wall += Duration::from_secs(86_400);
    history.observe(&empty, &config, jumped);
    let made = plan(&empty, &history, &config, jumped);
    assert_eq!(actions(&made), Vec::<String>::new());
    assert!(made.frozen.unwrap().contains("the clock jumped"));
    let mut fresh = empty.clone();
    fresh.counted_for = Duration::from_secs(10);
    assert!(settled(&fresh, &config).frozen.is_some());
}

#[test]
fn bounds_and_budgets_are_kept_and_told() {
    let many = facts(Vec::new(), 1000);
    let mut tight = config(0, 100);
    assert_eq!(actions(&settled(&many, &tight)), ["grow by 10"]);
    tight.grow_hourly_max = 4;
    assert_eq!(actions(&settled(&many, &tight)), ["grow by 4"]);
    let full = facts(vec![instance("a", 8), instance("b", 8)], 3);
    let plan = settled(&full, &config(0, 2));
    assert_eq!(actions(&plan), Vec::<String>::new());
    assert!(plan.notes[1].contains("max is 2"), "{:?}", plan.notes);
    let mut poor = config(0, 100);
    poor.monthly_hours = Some(1);
    let plan = settled(&full, &poor);
    assert_eq!(actions(&plan), Vec::<String>::new());
    assert!(plan.notes.iter().any(|note| note.contains("month's hours")));
}

#[test]
fn boots_that_fail_are_tried_again_ever_more_rarely() {
    let config = config(0, 10);
    let mut history = History::default();
    let mut at = now();
    history.observe(&facts(Vec::new(), 1), &config, at);
    let failed = |name: &str| {
        let mut one = instance(name, 0);
        one.machine.phase = MachinePhase::Failed;
        one.health = Health::Down;
        one.occupancy = Occupancy::Outside;
        one
    };
    let three = facts(vec![failed("a"), failed("b"), failed("c")], 30);
    history.observe(&three, &config, at);
    assert_eq!(history.failures(), 3);
    assert_eq!(
        actions(&plan(&three, &history, &config, at)),
        ["remove a b c"]
    );
    at = later(at, 121);
    history.observe(&facts(Vec::new(), 30), &config, at);
    let made = plan(&facts(Vec::new(), 30), &history, &config, at);
    assert_eq!(actions(&made), ["grow by 1"]);
}

#[test]
fn machines_that_are_granted_and_never_made_are_failed_boots() {
    let config = config(0, 10);
    let mut history = History::default();
    let mut at = now();
    let mut granted = instance("a", 0);
    granted.machine.phase = MachinePhase::Creating;
    granted.health = Health::Unknown;
    granted.occupancy = Occupancy::Outside;
    let none = facts(Vec::new(), 5);
    for failures in 1..=3 {
        history.observe(&facts(vec![granted.clone()], 5), &config, at);
        at = later(at, 60);
        history.observe(&none, &config, at);
        assert_eq!(history.failures(), failures);
    }
    assert_eq!(
        actions(&plan(&none, &history, &config, at)),
        Vec::<String>::new()
    );
    // A machine that has served and is gone is no failed boot.
    let up = facts(vec![instance("b", 0)], 0);
    history.observe(&up, &config, at);
    history.observe(&none, &config, later(at, 60));
    assert_eq!(history.failures(), 0);
}

fn any_instance(number: usize) -> impl Strategy<Value = InstanceFacts> {
    let phases = prop::sample::select(vec![
        MachinePhase::Creating,
        MachinePhase::Running,
        MachinePhase::Running,
        MachinePhase::Running,
        MachinePhase::Stopping,
        MachinePhase::Stopped,
        MachinePhase::Deallocated,
        MachinePhase::Deleting,
        MachinePhase::Failed,
    ]);
    let healths = prop::sample::select(vec![Health::Up, Health::Up, Health::Down, Health::Unknown]);
    let states = prop::sample::select(vec![
        (AdminState::Ready, Decider::Nobody),
        (AdminState::Ready, Decider::Nobody),
        (AdminState::Draining, Decider::Policy),
        (AdminState::Draining, Decider::Admin),
        (AdminState::Cordoned, Decider::Admin),
    ]);
    let seats = prop_oneof![
        3 => (0_u32..9).prop_map(Occupancy::Seats),
        2 => Just(Occupancy::Seats(0)),
        1 => Just(Occupancy::Unknown),
        1 => Just(Occupancy::Outside),
    ];
    let marks = (any::<bool>(), 0..8_u8);
    (phases, healths, states, seats, marks).prop_map(
        move |(phase, health, (admin_state, decided_by), occupancy, (is_spot, mark))| {
            let mut one = instance(&format!("m{number:02}"), 0);
            one.machine.phase = phase;
            one.machine.is_spot = is_spot;
            one.machine.is_protected = mark == 0;
            one.health = health;
            one.admin_state = admin_state;
            one.decided_by = decided_by;
            one.occupancy = occupancy;
            one.leaves_at = (mark == 1).then_some(SystemTime::UNIX_EPOCH);
            one.keep_until = (mark == 2).then_some(later(now(), 86_400).wall);
            one
        },
    )
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let instances = (0..12_usize).prop_flat_map(|count| {
        let each: Vec<_> = (0..count).map(any_instance).collect();
        each
    });
    (instances, 0_u32..30, 0_u32..3, 0_u64..400, 0..6_u8).prop_map(
        |(instances, waiting, requested, age_s, mark)| {
            let mut facts = facts(instances, waiting);
            facts.requested = requested;
            facts.listing_age = Duration::from_secs(age_s);
            facts.contradiction = (mark == 0).then(|| "it cannot be".to_owned());
            if mark == 1 {
                facts.counted_for = Duration::ZERO;
            }
            facts.order = (mark == 2).then(|| Order {
                machines: requested + u32::try_from(age_s % 9).unwrap(),
                until: now().instant + Duration::from_secs(3600),
            });
            facts
        },
    )
}

proptest! {
    /// Whatever is known, and whatever was before: the plan is safe, within bounds, and takes nobody's machine.
    #[test]
    fn every_plan_is_safe(
        steps in prop::collection::vec((any_facts(), 15_u64..2000), 1..6),
        min in 0_u32..4,
        more in 0_u32..10,
    ) {
        let config = config(min, min + more.max(1));
        let mut history = History::default();
        let mut at = now();
        for (facts, passed) in steps {
            at = later(at, passed);
            history.observe(&facts, &config, at);
            let plan = plan(&facts, &history, &config, at);
            prop_assert_eq!(lint::check(&plan, &facts, &config, at), Ok(()), "{:?}", plan);
            prop_assert!((min..=min + more.max(1)).contains(&plan.desired));
            for step in &plan.steps {
                prop_assert!(!step.reason.is_empty());
                if let Action::Remove(ids) = &step.action {
                    for id in ids {
                        let one = facts.instances.iter().find(|one| one.machine.id == *id).unwrap();
                        prop_assert!(one.is_empty() && one.decided_by != Decider::Admin);
                    }
                }
            }
            history.executed(&plan, at);
        }
    }

    /// To drain what may be drained asks for nothing anew.
    #[test]
    fn a_scale_in_causes_no_scale_out(seats in prop::collection::vec(0_u32..9, 1..12)) {
        let config = config(0, 20);
        let there = seats.iter().enumerate();
        let there = there.map(|(number, seats)| instance(&format!("m{number:02}"), *seats));
        let mut facts = facts(there.collect(), 0);
        let mut history = History::default();
        let mut at = now();
        for _ in 0..30 {
            at = later(at, 60);
            history.observe(&facts, &config, at);
        }
        let less = plan(&facts, &history, &config, at);
        let drains = less.steps.iter().any(|step| matches!(step.action, Action::Drain(_)));
        for step in &less.steps {
            for one in &mut facts.instances {
                if step.action == Action::Drain(one.machine.id.clone()) {
                    one.admin_state = AdminState::Draining;
                    one.decided_by = Decider::Policy;
                }
            }
        }
        history.executed(&less, at);
        at = later(at, 60);
        history.observe(&facts, &config, at);
        let next = plan(&facts, &history, &config, at);
        let is_more = |step: &Step| !matches!(step.action, Action::Drain(_) | Action::Remove(_));
        prop_assert!(!drains || !next.steps.iter().any(is_more), "{:?} then {:?}", less, next);
    }
}
