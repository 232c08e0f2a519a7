//! Operations are crossed out by what is seen, and machines belong to one each.

use super::*;
use crate::pool::{InstanceId, Machine};
use crate::scaling::{Bounds, Headroom, Schedule};

fn now() -> Now {
    Now {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}

fn policy() -> PolicyConfig {
    PolicyConfig::new(Schedule::always(Bounds {
        min: 0,
        max: 9,
        headroom: Headroom::Seats(0),
        placement: crate::pool::PlacementPolicy::Auto,
    }))
}

fn seen(machines: &[(&str, u64)]) -> Observed {
    let machine = |(name, generation): &(&str, u64)| Machine {
        id: InstanceId {
            pool: "main".into(),
            name: (*name).into(),
        },
        generation: *generation,
        phase: MachinePhase::Running,
        created: SystemTime::UNIX_EPOCH,
        is_spot: false,
        is_protected: false,
        is_latest_model: true,
        address: None,
    };
    Observed {
        capacity: 0,
        version: String::new(),
        machines: machines.iter().map(machine).collect(),
        hindrances: Vec::new(),
        at: SystemTime::UNIX_EPOCH,
    }
}

fn growth(by: u32, before: &Observed) -> OpNote {
    OpNote::new(Op::grow(by, Vec::new()), by, before, Instant::now())
}

#[test]
fn each_new_machine_belongs_to_one_growth_only() {
    let (none, one) = (seen(&[]), seen(&[("a", 1)]));
    let mut notes = Notes {
        ops: vec![growth(2, &none), growth(1, &one)],
        ..Notes::default()
    };
    assert_eq!(notes.requested(&one), 2);
    assert_eq!(notes.requested(&seen(&[("a", 1), ("b", 1)])), 1);
    assert!(
        notes
            .settle_by_sight(&seen(&[("a", 1), ("b", 1)]), now(), &policy())
            .is_empty()
    );
    assert_eq!(notes.ops.len(), 1, "the first is carried out");
    let all = seen(&[("a", 1), ("b", 1), ("c", 1)]);
    assert_eq!(notes.requested(&all), 0);
}

#[test]
fn a_name_that_is_given_again_is_a_new_machine() {
    let before = seen(&[("a", 1)]);
    let notes = Notes {
        ops: vec![growth(1, &before)],
        ..Notes::default()
    };
    assert_eq!(notes.requested(&before), 1);
    assert_eq!(notes.requested(&seen(&[("a", 2)])), 0);
}

#[test]
fn an_operation_that_takes_too_long_is_crossed_out_and_told() {
    let mut notes = Notes {
        ops: vec![growth(1, &seen(&[]))],
        ..Notes::default()
    };
    let early = now();
    assert!(
        notes
            .settle_by_sight(&seen(&[]), early, &policy())
            .is_empty()
    );
    let late = Now {
        instant: early.instant + Duration::from_secs(901),
        ..early
    };
    let told = notes.settle_by_sight(&seen(&[]), late, &policy());
    assert!(told[0].complaint().contains("never came"));
    assert!(notes.is_empty());
}

#[test]
fn notes_survive_as_json_and_forget_what_is_long_gone() {
    let key = |name: &str| MachineKey {
        name: name.to_owned(),
        generation: 1,
    };
    let note = InstanceNote {
        machine: key("a"),
        decision: Some(Decision::by_admin(
            crate::pool::AdminState::Cordoned,
            "a new disk",
        )),
        keep: None,
        absent_since: None,
    };
    let mut notes = Notes {
        ops: vec![growth(1, &seen(&[("a", 1)]))],
        ..Notes::default()
    };
    let all = BTreeSet::from([key("a")]);
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    notes.replace_instances(vec![note.clone()], &all, start);
    let text = serde_json::to_string(&notes).unwrap();
    let mut read: Notes = serde_json::from_str(&text).unwrap();
    assert_eq!(read.about(&key("a")), Some(&note));
    assert_eq!(read.ops[0].by, 1);
    let nothing = BTreeSet::new();
    read.replace_instances(Vec::new(), &nothing, start);
    assert!(read.about(&key("a")).is_some(), "it may come back");
    let day = Duration::from_secs(25 * 3600);
    read.replace_instances(Vec::new(), &nothing, start + day);
    assert!(read.instances.is_empty());
}
