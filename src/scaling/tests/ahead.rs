//! What comes next, as foretold, is what is planned then.

use super::*;
use crate::scaling::foresight::foresee;

fn after_minutes(facts: &Facts, config: &PolicyConfig, minutes: u64) -> (History, Now) {
    let (mut history, mut at) = (History::default(), now());
    for _ in 0..minutes * 6 {
        at = later(at, 10);
        history.observe(facts, config, at);
    }
    (history, at)
}

#[test]
fn an_idle_machine_is_foretold_to_go_when_it_goes() {
    let config = config(1, 10);
    let facts = facts(vec![instance("vm1", 1), instance("vm2", 0)], 0);
    let (history, at) = after_minutes(&facts, &config, 8);
    assert_eq!(actions(&plan(&facts, &history, &config, at)), [""; 0]);
    let (after, step) = foresee(&facts, &history, &config, at).unwrap();
    assert_eq!(step.action.to_string(), "drain vm2");
    let minutes = after.as_secs_f64() / 60.0;
    assert!((6.5..=7.5).contains(&minutes), "{minutes}");
    let (history, then) = after_minutes(&facts, &config, 15);
    let due = plan(&facts, &history, &config, later(then, 10));
    assert_eq!(due.steps, [step]);
}

#[test]
fn nothing_is_foretold_where_nothing_will_happen() {
    let config = config(2, 10);
    let facts = facts(vec![instance("vm1", 1), instance("vm2", 0)], 0);
    let (history, at) = after_minutes(&facts, &config, 60);
    assert_eq!(foresee(&facts, &history, &config, at), None);
}
