//! What lint refuses, whoever planned it.

use super::*;

fn plan_of(actions: Vec<Action>) -> Plan {
    let step = |action| Step {
        action,
        reason: "somebody said so".to_owned(),
    };
    Plan {
        desired: 1,
        placement: PlacementPolicy::Spread,
        steps: actions.into_iter().map(step).collect(),
        notes: Vec::new(),
        frozen: None,
    }
}

fn faults(actions: Vec<Action>, instances: Vec<InstanceFacts>) -> Vec<Fault> {
    let facts = facts(instances, 0);
    lint::check(&plan_of(actions), &facts, &config(1, 3), now())
        .err()
        .unwrap_or_default()
}

fn remove(names: &[&str]) -> Vec<Action> {
    vec![Action::Remove(names.iter().map(|name| id(name)).collect())]
}

#[test]
fn a_machine_with_people_is_never_removed() {
    let used = draining("a", 1, Decider::Policy);
    assert_eq!(
        faults(remove(&["a"]), vec![used]),
        [Fault::InUse(id("a"), 1)]
    );
    let mut unknown = draining("a", 0, Decider::Policy);
    unknown.occupancy = Occupancy::Unknown;
    assert_eq!(
        faults(remove(&["a"]), vec![unknown]),
        [Fault::Uncounted(id("a"))]
    );
    let open = instance("a", 0);
    assert_eq!(
        faults(remove(&["a"]), vec![open]),
        [Fault::NotDrained(id("a"))]
    );
    let held = faults(remove(&["a"]), vec![draining("a", 0, Decider::Admin)]);
    assert!(matches!(held[..], [Fault::Held { .. }]));
    let fine = draining("a", 0, Decider::Policy);
    assert_eq!(faults(remove(&["a"]), vec![fine]), []);
}

#[test]
fn an_order_without_names_would_be_for_all() {
    assert_eq!(faults(remove(&[]), Vec::new()), [Fault::NoId("remove")]);
    assert_eq!(
        faults(vec![Action::Start(Vec::new())], Vec::new()),
        [Fault::NoId("start")]
    );
    assert_eq!(
        faults(vec![Action::Grow { by: 0 }], Vec::new()),
        [Fault::NoGrowth]
    );
}

#[test]
fn names_are_known_and_told_once() {
    let twice = faults(remove(&["a", "a"]), vec![draining("a", 0, Decider::Policy)]);
    assert_eq!(twice, [Fault::Twice(id("a"))]);
    assert_eq!(
        faults(remove(&["x"]), Vec::new()),
        [Fault::NotListed(id("x"))]
    );
}

#[test]
fn bounds_hold() {
    let there = || vec![instance("a", 0), instance("b", 0)];
    let both = vec![Action::Drain(id("a")), Action::Drain(id("b"))];
    assert_eq!(faults(both, there()), [Fault::BelowMin { left: 0, min: 1 }]);
    let above = faults(vec![Action::Grow { by: 2 }], there());
    assert_eq!(above, [Fault::AboveMax { would: 4, max: 3 }]);
    let both = faults(
        vec![Action::Grow { by: 1 }, Action::Drain(id("a"))],
        there(),
    );
    assert_eq!(both, [Fault::BothWays]);
}

#[test]
fn only_what_a_plan_drained_is_given_back() {
    let undrain = || vec![Action::Undrain(id("a"))];
    let ready = faults(undrain(), vec![instance("a", 0)]);
    assert_eq!(ready, [Fault::NotOurs(id("a"))]);
    let admin = faults(undrain(), vec![draining("a", 0, Decider::Admin)]);
    assert_eq!(admin, [Fault::NotOurs(id("a"))]);
    assert_eq!(
        faults(undrain(), vec![draining("a", 0, Decider::Policy)]),
        []
    );
    let started = faults(vec![Action::Start(vec![id("a")])], vec![instance("a", 0)]);
    assert_eq!(started, [Fault::NotOff(id("a"))]);
}

#[test]
fn the_blind_do_nothing() {
    let mut stale = facts(vec![draining("a", 0, Decider::Policy)], 0);
    stale.listing_age = Duration::from_secs(600);
    let check = |facts: &Facts, plan: &Plan| lint::check(plan, facts, &config(0, 3), now());
    let plan = plan_of(remove(&["a"]));
    assert_eq!(check(&stale, &plan), Err(vec![Fault::Stale(600)]));
    stale.listing_age = Duration::ZERO;
    let frozen = Plan {
        frozen: Some("the clock jumped".to_owned()),
        ..plan
    };
    assert_eq!(check(&stale, &frozen), Err(vec![Fault::Frozen]));
}

#[test]
fn an_older_gate_that_has_not_told_may_hold_people_anywhere() {
    let mut unheard = facts(vec![draining("a", 0, Decider::Policy), instance("b", 0)], 0);
    unheard.unheard = vec![4711];
    let check = |actions| lint::check(&plan_of(actions), &unheard, &config(0, 3), now());
    let refused = || Err(vec![Fault::Unheard(4711)]);
    assert_eq!(check(remove(&["a"])), refused());
    assert_eq!(check(vec![Action::Drain(id("b"))]), refused());
    assert_eq!(check(vec![Action::Grow { by: 1 }]), Ok(()));
    let plan = settled(&unheard, &config(0, 3));
    assert!(plan.frozen.unwrap().contains("4711"));
    assert_eq!(plan.steps, []);
}
