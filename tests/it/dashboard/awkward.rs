//! The dashboard over pools, machines, people, reasons and events whose words try to become markup, looked at in Chromium.
//!
//! The doors and the configuration refuse most of these names: here the operators' side is given them directly, in process, so
//! that what it does about them does not lean on others.

use std::net::IpAddr;
use std::sync::Arc;

use poolgate::admin::AdminState;
use poolgate::pool::{
    AdminState as State, Decision, Health, Instance, InstanceId, Protocol, Waiter,
};
use poolgate::shared_pool::Seat;
use poolgate::telemetry::events::EventKind;

use super::PICTURES;
use super::side::{self, Side};
use crate::support::World;
use crate::support::browser::Browser;

/// Each is a pool's name, a machine's, a person's, a reason, a notice of the queue and an event.
const AWKWARD: [&str; 14] = [
    "<script>window.pwned=1</script>",
    "\"><img src=x onerror=window.pwned=1>",
    "' onmouseover='window.pwned=1' x='",
    "\" autofocus onfocus=\"window.pwned=1",
    "</title><script>window.pwned=1</script>",
    "</td></tr></table><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "//example.invalid/%2e%2e?a=b&c#d",
    "{{7*7}}${7*7}{%raw%}<%=7*7%>",
    "&lt;b&gt;&#60;i&#62;",
    "evil\u{202e}txt.exe\u{2066}\u{200b}",
    "a\tb\u{1b}[2J\u{0}c\u{7f}\u{85}",
    "<b>bold</b>\u{0301}\u{0301}\u{0301}",
    "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
];

fn instance(pool: &str, name: &str, address: &str) -> Instance {
    Instance {
        id: InstanceId {
            pool: pool.into(),
            name: name.into(),
        },
        address: address.to_owned(),
        ssh_port: 22,
        jupyter_port: None,
        capacity: 8,
        generation: 1,
    }
}

/// Fills the operators' side with awkward words.
fn fill(state: &AdminState) -> Vec<Seat> {
    let pool = &state.pool;
    let mut seats = Vec::new();
    for name in ["main"].into_iter().chain(AWKWARD) {
        pool.configure(name, side::rules(name));
        let calm = instance(name, "calm", name);
        let own = instance(name, name, "192.0.2.1");
        pool.sync_instances(name, vec![calm.clone(), own.clone()]);
        for one in [&calm, &own] {
            pool.observe(&one.id, Protocol::Ssh, Health::Up);
        }
        seats.push(side::log_in(pool, name, name, (Protocol::Ssh, 7)));
        pool.decide(&own.id, Decision::by_admin(State::Draining, name));
        let events = &state.events;
        events.tell(name, Some(name), EventKind::Drain, name.to_owned());
        let source = IpAddr::from([192, 0, 2, 9]);
        let (person, by) = (Waiter::Person(name.into()), (Protocol::Ssh, source));
        let joined = pool
            .lines()
            .join(&Arc::from(name), &person, by, &pool.snapshot());
        joined.unwrap();
    }
    seats
}

#[test]
fn names_and_reasons_stay_words() {
    let world = World::new();
    let side = Side::start(&world, &side::empty(), fill);
    let names = serde_json::to_string(&AWKWARD).unwrap();
    let browser = Browser::start(
        &world,
        "chromium_awkward.py",
        &[&side.base, &names],
        PICTURES,
    );
    let facts = browser.finish(&[
        ("named", "True"),
        ("people", "True"),
        ("looks", "True"),
        ("dialogs", "[]"),
        ("policy", "[]"),
        ("console", "[]"),
        ("elsewhere", "[]"),
        ("wrong", "[]"),
    ]);
    eprintln!("{facts:#?}");
    let pages: usize = facts["pages"].parse().unwrap();
    assert!(pages > 8 * AWKWARD.len(), "{pages} pages");
    side.end();
}
