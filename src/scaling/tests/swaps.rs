//! Which machines go: those whose people are few and came lately, and not those where somebody stays anyway.

use super::*;

/// What is planned after the first has been so for five hours and then the second for a quarter of one.
fn after(first: &Facts, second: &Facts) -> (Plan, History, Now) {
    let config = config(0, 10);
    let mut history = History::default();
    let mut at = now();
    for (facts, minutes) in [(first, 300), (second, 15)] {
        for _ in 0..minutes {
            at = later(at, 60);
            history.observe(facts, &config, at);
        }
    }
    (plan(second, &history, &config, at), history, at)
}

#[test]
fn people_who_came_lately_will_sooner_leave() {
    let before = facts(vec![instance("a", 1), instance("b", 0)], 0);
    let present = facts(vec![instance("a", 1), instance("b", 3)], 0);
    let (plan, ..) = after(&before, &present);
    assert_eq!(actions(&plan), ["drain b"]);
    // Whoever leaves was the last to come.
    let before = facts(vec![instance("a", 1), instance("b", 5)], 0);
    let (plan, ..) = after(&before, &present);
    assert_eq!(actions(&plan), ["drain a"]);
}

#[test]
fn a_machine_that_stays_on_anyway_serves_in_the_place_of_another() {
    let draining = draining("a", 2, Decider::Policy);
    let before = facts(vec![draining.clone(), instance("b", 0)], 0);
    let present = facts(vec![draining, instance("b", 5)], 0);
    let (made, mut history, at) = after(&before, &present);
    let steps: Vec<_> = made.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        steps,
        [
            "undrain a: its people will stay longer than those of b",
            "drain b: people are sent to a instead, which will be on for longer",
        ]
    );
    let least = config(1, 10);
    assert_eq!(lint::check(&made, &present, &least, at), Ok(()));
    // Nobody is told something else every minute.
    history.executed(&made, at);
    let soon = later(at, 60);
    let swapped = facts(vec![instance("a", 2), instance("b", 0)], 0);
    history.observe(&swapped, &least, soon);
    assert!(history.swapped_within(Duration::from_secs(61), soon));
}

#[test]
fn what_an_operator_drains_takes_nobodys_place() {
    let draining = draining("a", 2, Decider::Admin);
    let before = facts(vec![draining.clone(), instance("b", 0)], 0);
    let present = facts(vec![draining, instance("b", 6)], 0);
    let (plan, ..) = after(&before, &present);
    assert_eq!(actions(&plan), Vec::<String>::new());
}
