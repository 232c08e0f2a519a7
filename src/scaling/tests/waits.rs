//! What is told of why nothing is done: each rule that holds a machine or a step back, with when it ends.

use super::super::patience::{held, waits};
use super::*;

#[test]
fn every_rule_that_holds_something_back_is_named() {
    let config = config(0, 9);
    let mut kept = instance("kept", 1);
    kept.keep_until = Some(now().wall + Duration::from_secs(86_400));
    let mut unknown = instance("unknown", 0);
    unknown.occupancy = Occupancy::Unknown;
    let mut booting = instance("booting", 0);
    booting.health = Health::Unknown;
    booting.machine.phase = MachinePhase::Booting;
    let mut facts = facts(
        vec![
            kept,
            unknown,
            booting,
            instance("empty", 0),
            instance("also-empty", 0),
            draining("drains", 2, Decider::Policy),
        ],
        0,
    );
    facts.requested = 2;
    let at = now();
    facts.writes_after = Some(at.instant + Duration::from_secs(120));
    let mut history = History::default();
    history.observe(&facts, &config, at);
    let mut made = plan(&facts, &history, &config, at);
    made.desired = 1;
    let grown = Plan {
        steps: vec![Step {
            action: Action::Grow { by: 2 },
            reason: String::new(),
        }],
        ..made.clone()
    };
    history.executed(&grown, at);
    assert_eq!(
        waits(&made, &facts, &history, &config, at),
        [
            "2 machines that were asked for are not listed yet",
            "booting boots, which takes some 5 min",
            "the cloud takes no orders before 12:02 UTC",
            "drains drains, and 2 people are still on it",
            "machines were asked for a moment ago, and none is drained before 12:10 UTC (scaling.cool_down)",
            "empty is empty, and may go at 12:15 UTC (scaling.idle)",
            "also-empty is empty, and may go at 12:15 UTC (scaling.idle)",
        ]
        .map(Into::into)
    );
    let held = held(&facts, at);
    let held: Vec<_> = held.iter().map(|one| (&*one.instance, &*one.why)).collect();
    assert_eq!(
        held,
        [
            ("kept", "a person keeps it"),
            (
                "unknown",
                "nobody can tell who is on it: its hub does not answer"
            )
        ]
    );
}
