//! What an operator asks for by number, and what it cannot ask for.

use super::*;

/// Asked for until 13:30 UTC.
fn ordered(machines: u32, mut facts: Facts) -> Facts {
    let until = now().instant + Duration::from_secs(5400);
    facts.order = Some(Order { machines, until });
    facts
}

/// Planned at once: nothing has been so for any time.
fn at_once(facts: &Facts, config: &PolicyConfig) -> Plan {
    let now = Now {
        instant: facts.order.unwrap().until - Duration::from_secs(5400),
        ..now()
    };
    let mut history = History::default();
    history.observe(facts, config, now);
    let plan = plan(facts, &history, config, now);
    assert_eq!(lint::check(&plan, facts, config, now), Ok(()), "{plan:?}");
    plan
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

#[test]
fn at_least_so_many_come_and_no_more_than_max() {
    let config = config(0, 5);
    let plan = at_once(&ordered(3, facts(vec![instance("a", 1)], 0)), &config);
    let why = "an operator asked for 3 machines until 13:30 UTC";
    assert_eq!(steps(&plan), [format!("grow by 2: {why}")]);
    assert_eq!(plan.desired, 3);
    assert!(plan.notes.contains(&why.to_owned()), "{:?}", plan.notes);
    let plan = at_once(&ordered(50, facts(Vec::new(), 0)), &config);
    assert_eq!(actions(&plan), ["grow by 5"]);
    assert_eq!(plan.desired, 5);
}

#[test]
fn what_is_beyond_it_is_drained_at_once() {
    let there = vec![instance("a", 5), instance("b", 1), instance("c", 0)];
    let plan = at_once(&ordered(1, facts(there.clone(), 0)), &config(0, 5));
    let why = "an operator asked for 1 machine until 13:30 UTC";
    assert_eq!(
        steps(&plan),
        [
            format!("drain c: {why}, and nobody is on it"),
            format!("drain b: {why}, and its 1 people and all others fit into 1 machines"),
        ]
    );
    let plan = at_once(&ordered(2, facts(there, 0)), &config(0, 5));
    assert_eq!(actions(&plan), ["drain c"]);
    let plan = at_once(&ordered(0, facts(vec![instance("a", 0)], 0)), &config(0, 5));
    assert_eq!(actions(&plan), ["drain a"]);
}

#[test]
fn people_are_seated_and_stay_whatever_is_asked_for() {
    let full = vec![instance("a", 8), instance("b", 7), instance("c", 3)];
    let plan = at_once(&ordered(1, facts(full.clone(), 0)), &config(0, 5));
    assert_eq!(actions(&plan), Vec::<String>::new());
    assert_eq!(plan.desired, 3);
    let plan = at_once(&ordered(1, facts(full, 9)), &config(0, 5));
    assert_eq!(actions(&plan), ["grow by 1"]);
    let mut kept = instance("a", 0);
    kept.busy_with = Some("tmux".to_owned());
    let plan = at_once(&ordered(0, facts(vec![kept], 0)), &config(0, 5));
    assert_eq!(actions(&plan), Vec::<String>::new());
}

#[test]
fn it_ends_when_its_time_is_over() {
    let mut old = facts(vec![instance("a", 1)], 0);
    old.order = Some(Order {
        machines: 4,
        until: now().instant,
    });
    let plan = settled(&old, &config(0, 5));
    assert_eq!(actions(&plan), Vec::<String>::new());
    assert_eq!(plan.notes.len(), 1);
}

#[test]
fn lint_knows_of_it() {
    let asked = ordered(2, facts(vec![instance("a", 0), instance("b", 0)], 0));
    let plan = Plan {
        desired: 1,
        placement: PlacementPolicy::Spread,
        steps: vec![Step {
            action: Action::Drain(id("a")),
            reason: "somebody said so".to_owned(),
        }],
        notes: Vec::new(),
        frozen: None,
    };
    let faults = lint::check(&plan, &asked, &config(0, 5), now()).unwrap_err();
    let below = Fault::BelowMin { left: 1, min: 2 };
    assert!(faults.contains(&below), "{faults:?}");
}

#[test]
fn one_of_many_days_names_its_date() {
    let order = Order {
        machines: 2,
        until: now().instant,
    };
    let before = Now {
        instant: order.until - Duration::from_secs(3 * 86_400),
        ..now()
    };
    assert_eq!(
        order.words(before),
        "an operator asked for 2 machines until 2026-03-26 12:00 UTC"
    );
}
