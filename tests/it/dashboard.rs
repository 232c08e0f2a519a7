//! The dashboard in a real browser, over 50 instances with 1,000 sessions: what it shows is so, it follows what happens, and
//! every order works by keyboard, with JavaScript and without.
//!
//! `crowd` has the gate and its people, `awkward` what names and reasons try on its pages.

mod awkward;
pub mod crowd;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crowd::{INSTANCES, SESSIONS, Scene, bridge};

use crate::support::client::{client_script, venv_python};
use crate::support::{Running, World, tool, wait_until};

const LONG: Duration = Duration::from_secs(240);

/// A reason that a page must not take for markup. Names of people hold no such thing: the doors refuse them.
const AWKWARD: &str = "<img src=x onerror=alert(1)> \"'&";

/// A script of tests/clients, at work. It is given an address, a folder for pictures and more words; `AXE` says where axe-core is.
struct Browser {
    process: Running,
    log: PathBuf,
}

impl Browser {
    fn start(world: &World, script: &str, base: &str, words: &[&str]) -> Self {
        drop(tool("chromium"));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let axe = here.join(".test/npm/node_modules/axe-core/axe.min.js");
        assert!(axe.exists(), "{} is missing: tests/run", axe.display());
        let pictures = here.join(".test/dashboard");
        fs::create_dir_all(&pictures).unwrap();
        let log = world.path("browser.log");
        let mut python = venv_python();
        python
            .arg(client_script(script))
            .arg(base)
            .arg(pictures)
            .args(words)
            .env("AXE", axe)
            .env("HOME", world.folder("browser-home"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let process = Running::start_logged(&mut python, File::create(&log).unwrap());
        Self { process, log }
    }

    fn told(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn wait_asks(&mut self, what: &str) {
        let line = format!("asks {what}");
        wait_until(&format!("the browser: {line}"), LONG, || {
            let told = self.told();
            assert!(self.process.is_running(), "it ended: {told}");
            told.lines().any(|told| told == line).then_some(())
        });
    }

    fn finish(mut self) -> BTreeMap<String, String> {
        wait_until("the browser's end", LONG, || {
            (!self.process.is_running()).then_some(())
        });
        let text = self.told();
        assert!(text.ends_with("done yes\n"), "{text}");
        let facts = text.lines().filter_map(|line| line.split_once(' '));
        facts
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

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
    let mut browser = Browser::start(&scene.world, "chromium_dashboard.py", &base, &[]);
    browser.wait_asks("change");
    let order = ["cordon", "vm17", "--reason", AWKWARD];
    scene.gate.cli(&order).ok();
    browser.wait_asks("leaving");
    crowd.truncate(SESSIONS - 100);
    let facts = browser.finish();
    eprintln!("{facts:#?}");
    for (name, value) in [
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
    ] {
        assert_eq!(facts.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(facts["followed"], format!("by an operator: {AWKWARD}"));
    let orders = scene.gate.audit("fleet");
    for kind in ["cordon", "undrain", "drain", "keep", "move", "evict"] {
        let count = orders.iter().filter(|line| line["kind"] == kind).count();
        assert!(count >= 2, "{kind}: {orders:?}");
    }
    drop(crowd);
    scene.gate.stop();
}
