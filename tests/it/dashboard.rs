//! The dashboard in a real browser, over 50 instances with 1,000 sessions: what it shows is so, it follows what happens, and
//! every order works by keyboard, with JavaScript and without.
//!
//! `crowd` has the gate and its people, `awkward` what names and reasons try on its pages, `gallery` each page at each width; these
//! two have no gate: `side`.

mod awkward;
pub mod crowd;
mod gallery;
mod side;

use std::time::Instant;

use crowd::{INSTANCES, SESSIONS, Scene, bridge};

use crate::support::browser::{Browser, axe};

/// Where pictures go, below .test.
const PICTURES: &str = "dashboard";

/// A reason that a page must not take for markup. Names of people hold no such thing: the doors refuse them.
const AWKWARD: &str = "<img src=x onerror=alert(1)> \"'&";

#[test]
fn a_thousand_sessions_are_shown_followed_and_ordered_about() {
    let scene = Scene::new();
    let began = Instant::now();
    let mut crowd = scene.crowd();
    eprintln!(
        "{SESSIONS} sessions on {INSTANCES} instances in {:?}",
        began.elapsed()
    );
    let admin = bridge(scene.gate.socket());
    let base = format!("http://127.0.0.1:{admin}");
    let mut browser = Browser::start(
        &scene.world,
        "chromium_dashboard.py",
        &[&base, &axe()],
        PICTURES,
    );
    browser.wait_asks("change");
    let order = ["cordon", "vm17", "--reason", AWKWARD];
    scene.gate.cli(&order).ok();
    browser.wait_asks("leaving");
    crowd.truncate(SESSIONS - 100);
    let facts = browser.finish(&[
        ("sessions", "1,000"),
        ("machines", "50"),
        ("free", "200"),
        ("rows", "50"),
        ("seats", "1000 of 1200"),
        ("people", "1–100 of 1,000 sessions"),
        ("found", "1 session"),
        ("left", "900"),
        (
            "by-keyboard",
            "cordon uncordon drain keep notice move evict",
        ),
        (
            "without-script",
            "cordon uncordon drain keep notice move evict",
        ),
        ("serious", "[]"),
        ("policy", "[]"),
        ("console", "[]"),
        ("elsewhere", "[]"),
        ("looks", "True"),
        ("fits", "True"),
    ]);
    eprintln!("{facts:#?}");
    assert_eq!(facts["followed"], format!("by an operator: {AWKWARD}"));
    let orders = scene.gate.audit("fleet");
    for kind in ["cordon", "undrain", "drain", "keep", "move", "evict"] {
        let count = orders.iter().filter(|line| line["kind"] == kind).count();
        assert!(count >= 2, "{kind}: {orders:?}");
    }
    drop(crowd);
    scene.gate.stop();
}
