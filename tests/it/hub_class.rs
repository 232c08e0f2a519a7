//! A class at a pool of real JupyterHubs: all log in at once and spread, and nobody is logged out by what they do then.
//!
//! In the suite the lesson is short, with a few servers. `POOLGATE_CLASS_MINUTES=10` makes it that long, with as many
//! servers as 6 GB hold. What it took is printed (`-- --nocapture hub_class`).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::HubScene;
use crate::support::hub::{HUB_PASSWORD, Hub};
use crate::support::hub_scene::polling;
use crate::support::visitor::Visitor;

const PUPILS: usize = 30;
/// Some 200 MB each, with a kernel and a terminal.
const SERVERS_MAX: usize = 20;
/// One round of the long lesson, within what a step may take.
const ROUND_S: u64 = 60;

/// How long the lesson is, and how many of the class have servers.
fn lesson() -> (u64, usize) {
    match std::env::var_os("POOLGATE_CLASS_MINUTES") {
        Some(minutes) => (
            minutes.to_str().unwrap().parse::<u64>().unwrap() * 60,
            SERVERS_MAX,
        ),
        None => (25, 4),
    }
}

/// The class takes a step, and nobody gets an answer they should not. Of a hundred things they do one may come to nothing,
/// because the machine is too busy with all of them.
#[track_caller]
fn all_do(class: &mut Visitor, wish: &Value) -> Value {
    let told = class.step(wish);
    assert_eq!(told["fault_count"], 0, "{wish}: {told:#}");
    let count = |what: &str| told[what].as_u64().unwrap();
    assert!(
        count("hiccup_count") * 100 <= count("acts"),
        "{wish}: {told:#}"
    );
    told
}

#[test]
fn a_class_that_logs_in_at_once_spreads_and_nobody_is_logged_out() {
    let (seconds, servers) = lesson();
    let scene = HubScene::of(2, Hub::start, |world, setup| {
        polling(world, setup).pool("capacity = 40")
    });
    let mut class = Visitor::with_script("hub_class.py", &scene.base());
    let enter = json!({ "step": "enter", "count": PUPILS, "password": HUB_PASSWORD });
    let entered = all_do(&mut class, &enter);
    eprintln!("a class of {PUPILS} came: {}", entered["took"]);
    let (one, two) = (scene.people_of("vm1"), scene.people_of("vm2"));
    assert_eq!((one.len(), two.len()), (15, 15), "{one:?} {two:?}");
    assert!(one.is_disjoint(&two), "{one:?} {two:?}");

    let started = all_do(&mut class, &json!({ "step": "servers", "count": servers }));
    eprintln!("{servers} servers: {}", started["took"]);
    let instances = started["instances"].as_object().unwrap();
    assert_eq!(instances.len(), servers);
    for (user, instance) in instances {
        assert!(scene.people_of(instance.as_str().unwrap()).contains(user));
    }
    for version in ["1.1", "2"] {
        // The middle one: several servers start at once, and all of that on one machine.
        let first = started["took"][format!("first-event-{version}")]["median"].as_u64();
        let first = first.expect("both versions have watched a server start");
        assert!(first < 1000, "HTTP/{version}: first event after {first} ms");
    }

    let mut left = seconds;
    while left > 0 {
        let round = left.min(ROUND_S);
        let mixed = all_do(&mut class, &json!({ "step": "mix", "seconds": round }));
        eprintln!(
            "{round} s of a lesson: {}, {}",
            mixed["took"], mixed["hiccups"]
        );
        left -= round;
    }
    // By the hubs' word, past the gate: every server runs where it was started, and nowhere else.
    for name in ["vm1", "vm2"] {
        let active = scene.hub_says(name, "/hub/api/users?state=active");
        let active = active.as_array().unwrap().iter();
        let active: BTreeSet<&str> = active.map(|user| user["name"].as_str().unwrap()).collect();
        let expected = instances.iter().filter(|(_, at)| *at == name);
        let expected: BTreeSet<&str> = expected.map(|(user, _)| &**user).collect();
        assert_eq!(active, expected, "{name}");
        assert_eq!(scene.row(name)["hub"]["direct"], 0);
    }
    // Nor did second browsers make anybody known on another hub.
    assert_eq!((scene.people_of("vm1"), scene.people_of("vm2")), (one, two));
    drop(class);
    scene.gate.stop();
}
