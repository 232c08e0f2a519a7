//! A ledger through days, restarts and crowds.

use super::*;
use crate::pool::{AdminState, Decider, Machine, Protocol, SessionId};

/// 2026-11-30 23:00 UTC, an hour before a month's end.
const BEGIN_S: u64 = 1_796_079_600;
const MINUTE: Duration = Duration::from_secs(60);

/// A clock that is moved by hand.
struct Clock {
    begin: Instant,
    passed: Duration,
}

impl Clock {
    fn new() -> Self {
        Self {
            begin: Instant::now(),
            passed: Duration::ZERO,
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.begin + self.passed,
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN_S) + self.passed,
        }
    }

    fn after(&mut self, time: Duration) -> Now {
        self.passed += time;
        self.now()
    }
}

fn machine(seats: u32, phase: MachinePhase, health: Health) -> InstanceFacts {
    InstanceFacts {
        machine: Machine {
            id: InstanceId {
                pool: "main".into(),
                name: "vm1".into(),
            },
            generation: 1,
            phase,
            created: SystemTime::UNIX_EPOCH,
            is_spot: seats == 0,
            is_protected: false,
            is_latest_model: true,
            address: None,
        },
        occupancy: Occupancy::Seats(seats),
        capacity: 8,
        admin_state: AdminState::Ready,
        decided_by: Decider::Nobody,
        health,
        leaves_at: None,
        keep_until: None,
        busy_with: None,
    }
}

fn running(seats: u32) -> InstanceFacts {
    machine(seats, MachinePhase::Running, Health::Up)
}

fn session(id: u64, user: &str, instance: &str) -> SessionView {
    SessionView {
        id: SessionId(id),
        user: Some(user.into()),
        protocol: Protocol::Ssh,
        pool: "main".into(),
        instance: instance.into(),
        peer: [127, 0, 0, 1].into(),
        since: SystemTime::UNIX_EPOCH,
        stage: Stage::Live,
        is_elsewhere: false,
    }
}

const PRICES: Prices = Prices {
    regular: 2.0,
    spot: 1.0,
};

#[test]
fn time_is_counted_by_what_it_was_for_and_by_whose() {
    let mut clock = Clock::new();
    let mut ledger = Ledger::default();
    assert!(ledger.view("main", PRICES, 3).is_none(), "nothing was seen");
    let people = [
        session(1, "alice", "vm1"),
        session(2, "bob", "vm1"),
        session(3, "alice", "vm2"),
    ];
    let claimed = SessionView {
        stage: Stage::Provisional,
        ..session(4, "mallory", "vm1")
    };
    let sessions = || people.iter().chain([&claimed]);
    let machines = [
        running(2),
        running(1),
        running(0),
        machine(0, MachinePhase::Booting, Health::Unknown),
        machine(0, MachinePhase::Running, Health::Down),
        machine(0, MachinePhase::Deallocated, Health::Down),
    ];
    let first = ledger.observe(&machines, sessions(), clock.now());
    assert_eq!(first, MachineTime::default());
    let mut counted = MachineTime::default();
    for _ in 0..6 {
        counted.add(ledger.observe(&machines, sessions(), clock.after(10 * MINUTE)));
    }
    assert_eq!(counted, ledger.total());
    let by_use = [counted.used, counted.idle, counted.booting, counted.lost()];
    assert_eq!(by_use.map(hours), [2.0, 1.0, 1.0, 1.0]);
    let view = ledger.view("main", PRICES, 7).unwrap();
    assert_eq!(
        (view.hours.billed_h, view.hours.lost_h, view.hours.spot_h),
        (5.0, 1.0, 3.0)
    );
    assert_eq!((view.span_h, view.saved_h), (1.0, 2.0));
    assert_eq!((view.cost, view.price), (7.0, 1.4));
    let people: Vec<_> = view
        .people
        .iter()
        .map(|one| (&*one.user, one.hours, one.cost))
        .collect();
    assert_eq!(people, [("alice", 1.5, 2.1), ("bob", 0.5, 0.7)]);
    assert_eq!((view.others_h, view.unused_h), (0.0, 3.0));
    let csv = "person,machine_hours,cost\n\"alice\",1.500,2.10\n\"bob\",0.500,0.70\n,3.000,4.20\n";
    assert_eq!(view.csv(), csv);
    let json = serde_json::to_value(&view).unwrap();
    assert_eq!(
        (&json["since"], &json["billed_h"]),
        (&"2026-11-30T23:00:00.000Z".into(), &5.0.into())
    );
    assert_eq!(serde_json::from_value::<CostView>(json).unwrap(), view);
}

#[test]
fn a_month_is_counted_where_it_began_and_the_oldest_is_forgotten() {
    let mut clock = Clock::new();
    let mut ledger = Ledger::default();
    ledger.observe(&[running(1)], [].iter(), clock.now());
    for _ in 0..12 {
        ledger.observe(&[running(1)], [].iter(), clock.after(10 * MINUTE));
    }
    let view = ledger.view("main", PRICES, 1).unwrap();
    let months: Vec<_> = view
        .months
        .iter()
        .map(|month| (&*month.month, month.hours.used_h))
        .collect();
    assert_eq!(months, [("2026-11", 1.0), ("2026-12", 1.0)]);
    for _ in 0..20 {
        ledger.observe(&[running(1)], [].iter(), clock.after(31 * 24 * 60 * MINUTE));
    }
    let view = ledger.view("main", PRICES, 1).unwrap();
    assert_eq!(view.months.len(), MONTHS_MAX);
    assert!(&*view.months[0].month > "2026-12");
    // Of a month in which nobody looked, no more than ten minutes are known.
    assert_eq!(view.span_h, 5.333);
}

#[test]
fn a_ledger_goes_on_after_a_restart_and_counts_no_more_than_it_may() {
    let mut clock = Clock::new();
    let mut ledger = Ledger::default();
    let people = [session(1, "alice", "vm1")];
    ledger.observe(&[running(1)], people.iter(), clock.now());
    ledger.observe(&[running(1)], people.iter(), clock.after(6 * MINUTE));
    let written = serde_json::to_string(&ledger).unwrap();
    for (away, counted_h) in [(3 * MINUTE, 0.15), (24 * 60 * MINUTE, 0.267)] {
        let mut clock = Clock {
            passed: clock.passed + away,
            ..Clock::new()
        };
        let mut read: Ledger = serde_json::from_str(&written).unwrap();
        read.observe(&[running(1)], people.iter(), clock.now());
        let view = read.view("main", PRICES, 1).unwrap();
        assert_eq!(
            (view.hours.used_h, view.people[0].hours),
            (counted_h, counted_h)
        );
        read.observe(&[], [].iter(), clock.after(MINUTE));
        assert_eq!(
            read.total().used,
            ledger.total().used + away.min(GAP_MAX) + MINUTE
        );
    }
    // A wall clock that was set back leaves a gap out.
    let mut read: Ledger = serde_json::from_str(&written).unwrap();
    let early = Now {
        wall: SystemTime::UNIX_EPOCH,
        ..clock.now()
    };
    assert_eq!(read.observe(&[], [].iter(), early), MachineTime::default());
    assert_eq!(
        serde_json::from_str::<Ledger>("{}").unwrap(),
        Ledger::default()
    );
}

#[test]
fn a_file_that_was_tampered_with_stops_nobody() {
    let observed = r#"{"observed":{"wall":"2026-11-30T22:59:00.000Z","rate":
        {"used":4294967295,"idle":4294967295,"booting":1,"lost":1,"spot":9},"shares":{"eve":-1e300,"bob":1e300}},
        "total":{"billed":{"secs":18446744073709551615,"nanos":0}}}"#;
    let mut read: Ledger = serde_json::from_str(observed).unwrap();
    read.observe(&[], [].iter(), Clock::new().now());
    assert!(
        read.view("main", PRICES, 1)
            .unwrap()
            .csv()
            .contains("\"eve\",0.000")
    );
}

#[test]
fn those_with_least_share_a_line_once_there_are_too_many() {
    let mut clock = Clock::new();
    let mut ledger = Ledger::default();
    let regular = [session(0, "regular", "vm0")];
    ledger.observe(&[running(1)], regular.iter(), clock.now());
    let crowd: Vec<_> = (0..PEOPLE_MAX)
        .map(|at| session(1, &format!("p{at}"), "vm1"))
        .collect();
    ledger.observe(&[running(1)], crowd.iter(), clock.after(MINUTE));
    ledger.observe(&[], [].iter(), clock.after(10 * MINUTE));
    let view = ledger.view("main", PRICES, 1).unwrap();
    assert_eq!(view.people.len(), PEOPLE_MAX / 10 * 9);
    assert!(view.people.iter().any(|person| &*person.user == "regular"));
    assert_eq!(view.others_h, 0.017);
    assert!(
        view.csv().contains("\n(others),0.017,0.03\n"),
        "{}",
        view.others_h
    );
}
