//! Pools that are full, asleep, waking, frozen and empty, with the longest names and reasons there may be.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use poolgate::admin::{AdminState, ConfigState, RefusedReload};
use poolgate::config::diff::Written;
use poolgate::pool::idle::{Busy, Idle};
use poolgate::pool::{
    AdminState as State, Decision, Foreseen, Health, Instance, InstanceId, Intent, Measured,
    Prospect, Protocol, Waiter,
};
use poolgate::shared_pool::Seat;
use poolgate::telemetry::events::EventKind;
use serde_json::json;

use super::super::side;

/// Some before `main`, which is the default and yet the first to be looked at.
const NAMES: [&str; 6] = ["asleep", "empty", "frozen", "main", LONG, "waking"];
const MACHINES: usize = 50;
const PEOPLE: usize = 1000;
const CAPACITY: u32 = 24;
/// The longest that a configuration takes.
const LONG: &str = "a-pool-whose-name-is-as-long-as-any-name-may-be-in-this-gate-abc";

/// The longest that an order takes.
fn long_reason() -> String {
    let words = "a disk of this machine is replaced and somebody has to wait for the new one, ";
    words.repeat(7).chars().take(500).collect()
}

fn instance(pool: &str, name: &str, number: u8) -> Instance {
    Instance {
        id: InstanceId {
            pool: pool.into(),
            name: name.into(),
        },
        address: format!("10.20.30.{number}"),
        ssh_port: 22,
        jupyter_port: Some(8000),
        capacity: CAPACITY,
        generation: 1,
    }
}

fn log_in(state: &AdminState, pool: &str, user: &str, number: usize) -> Seat {
    let protocol = if number.is_multiple_of(3) {
        Protocol::Jupyter
    } else {
        Protocol::Ssh
    };
    let host = u8::try_from(number % 250).unwrap();
    side::log_in(&state.pool, pool, user, (protocol, host))
}

/// Who is there stays as long as the seats do.
pub fn fill(state: &AdminState) -> Vec<Seat> {
    for name in NAMES {
        state.pool.configure(name, side::rules(name));
    }
    fleet(state);
    let mut seats: Vec<Seat> = (0..PEOPLE)
        .map(|number| log_in(state, "main", &format!("person{number:04}"), number))
        .collect();
    seats.extend((0..3).map(|number| log_in(state, LONG, LONG, number)));
    decide(state);
    foresee(state);
    line_up(state);
    seats
}

/// Machines of `main` and of the long name are up, that of `waking` boots.
fn fleet(state: &AdminState) {
    let main =
        (1..=MACHINES).map(|at| instance("main", &format!("vm{at}"), u8::try_from(at).unwrap()));
    let long = instance(LONG, LONG, 201);
    let waking = instance("waking", "vm1", 202);
    let frozen = instance("frozen", "vm1", 203);
    let up: Vec<_> = main.clone().chain([long.clone(), frozen.clone()]).collect();
    state.pool.sync_instances("main", main.collect());
    state.pool.sync_instances(LONG, vec![long]);
    state.pool.sync_instances("waking", vec![waking]);
    state.pool.sync_instances("frozen", vec![frozen]);
    for (at, one) in up.iter().enumerate() {
        state.pool.observe(&one.id, Protocol::Ssh, Health::Up);
        state.pool.observe(&one.id, Protocol::Jupyter, Health::Up);
        let measured = Measured {
            taken: SystemTime::now(),
            load_percent: u32::try_from(at * 7 % 100).unwrap(),
            cpu_percent: Some(40),
            memory_percent: Some(55),
            gpu_percent: Some(99),
            people: 3,
            kept: 2,
            is_reboot_pending: at == 4,
            closed: None,
        };
        state.pool.measure(&one.id, Some(measured));
    }
}

fn decide(state: &AdminState) {
    let reason = long_reason();
    for (pool, name, to) in [
        ("main", "vm2", State::Draining),
        ("main", "vm3", State::Cordoned),
        (LONG, LONG, State::Draining),
    ] {
        let id = InstanceId {
            pool: pool.into(),
            name: name.into(),
        };
        state.pool.decide(&id, Decision::by_admin(to, &reason));
        let events = &state.events;
        events.tell(pool, Some(name), EventKind::Drain, reason.clone());
    }
    for name in ["vm4", "vm31"] {
        let id = InstanceId {
            pool: "main".into(),
            name: name.into(),
        };
        state.pool.observe(&id, Protocol::Ssh, Health::Down);
        state.pool.observe(&id, Protocol::Jupyter, Health::Down);
    }
    let notice = &state.events;
    notice.tell(
        "",
        None,
        EventKind::Reload,
        "the configuration was read again".to_owned(),
    );
    notice.tell(
        "waking",
        Some("vm1"),
        EventKind::Start,
        "started vm1: somebody waits".to_owned(),
    );
}

fn foresee(state: &AdminState) {
    let soon = SystemTime::now() + Duration::from_secs(400);
    let asleep = Intent {
        machines_max: 4,
        notes: vec!["nights: asleep until 07:30, and woken by whoever comes".into()],
        ..Intent::default()
    };
    let waking = Intent {
        desired: 1,
        machines_max: 4,
        steps: vec!["start vm1: 2 people wait".into()],
        ..Intent::default()
    };
    let frozen = Intent {
        desired: 1,
        machines_max: 40,
        frozen: Some("nothing is changed: the cloud's listing is 200 s old".into()),
        next: Some(Foreseen {
            at: soon,
            step: "drain vm1: nobody has been on it for the idle time".into(),
        }),
        ..Intent::default()
    };
    state.pool.intend("asleep", asleep);
    state.pool.intend("waking", waking);
    state.pool.intend("frozen", frozen);
    state.pool.foretell("asleep", Some(Prospect::default()));
    let coming = Prospect {
        coming: 1,
        ready_at: Some(soon),
        trouble: None,
    };
    state.pool.foretell("waking", Some(coming));
    let trouble = Prospect {
        trouble: Some(long_reason().into()),
        ..Prospect::default()
    };
    state.pool.foretell("frozen", Some(trouble));
}

fn line_up(state: &AdminState) {
    let snapshot = state.pool.snapshot();
    for (at, user) in ["alice", LONG, "bob"].into_iter().enumerate() {
        let source = IpAddr::from([192, 0, 2, u8::try_from(at + 1).unwrap()]);
        let (person, by) = (Waiter::Person(user.into()), (Protocol::Ssh, source));
        let lines = state.pool.lines();
        let joined = lines.join(&Arc::from("waking"), &person, by, &snapshot);
        joined.unwrap();
    }
}

/// Why a machine is in use, in every way there is.
pub fn idle(id: InstanceId) -> Pin<Box<dyn Future<Output = Option<Idle>> + Send>> {
    let user: Arc<str> = LONG.into();
    let reasons = vec![
        Busy::SshSession {
            user: Some(user.clone()),
        },
        Busy::KernelBusy {
            user: user.clone(),
            kernels: 3,
        },
        Busy::HubUnknown { why: long_reason() },
        Busy::RecentActivity { user, ago_s: 60 },
    ];
    Box::pin(std::future::ready(Some(Idle {
        pool: id.pool,
        instance: id.name,
        is_idle: false,
        idle_after_s: 1800,
        reasons,
    })))
}

/// A configuration in force whose last change has faults, one a line.
pub fn refused() -> ConfigState {
    let now = SystemTime::now();
    let fault =
        "/etc/poolgate/poolgate.toml:12: pools.main.capactiy: no such key; write capacity = 24";
    ConfigState {
        refused: Some(RefusedReload {
            at: now,
            why: format!("{fault}\n{}", long_reason()),
        }),
        ..ConfigState::loaded(&Written::default(), now)
    }
}

/// A day of `main`, as a gate before this one has left it.
pub fn write_day(state: &Path) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let newest = now.unwrap().as_secs() / 60 - 1;
    let minute = |back: u64| {
        let busy = (back * 7 / 10) % 900;
        json!({
            "minute": newest - back,
            "sessions": busy + 100,
            "waiting": busy.saturating_sub(800),
            "wait_p95_s": if busy > 800 { Some(busy / 10) } else { None },
            "capacity": 1200,
            "billed": busy / 20 + 1,
            "machines_max": 50,
            "states": BTreeMap::from([("ready", busy / 20 + 1), ("down", 2)]),
        })
    };
    let minutes: Vec<_> = (0..1400).rev().map(minute).collect();
    let history = json!({ "version": 1, "pools": { "main": minutes } });
    fs::write(state.join("history.json"), history.to_string()).unwrap();
}
