//! A day in a real browser at a real JupyterHub over HTTP/2: login, lab, terminal, upload, download, logout.
//!
//! Pictures of it are left in .test/pages, for eyes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::support::client::{client_script, venv_python};
use crate::support::hub::{HUB_PASSWORD, Hub};
use crate::support::hub_scene::polling;
use crate::support::{HubScene, finish, tool};

const LONG: Duration = Duration::from_secs(300);

#[test]
fn a_day_in_a_browser_from_login_to_logout() {
    let scene = HubScene::with(Hub::start, polling);
    drop(tool("chromium"));
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/pages");
    fs::create_dir_all(&pictures).unwrap();
    let mut python = venv_python();
    python
        .arg(client_script("chromium_day.py"))
        .args([&scene.base(), "person37", HUB_PASSWORD])
        .arg(&pictures)
        // The browser keeps its profile and caches below its home.
        .env("HOME", scene.world.folder("browser-home"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let finished = finish(&mut python, LONG).ok();
    let lines = finished.stdout.lines();
    let facts: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once(' ')).collect();
    let homes = scene.homes_of("person37");
    let told = format!("told 42 {}", homes.join(" and "));
    for (name, expected) in [
        ("terminal", &*told),
        ("upload", "same"),
        ("download", "same"),
        ("logged-out", "/hub/login"),
        ("protocols", "h2"),
        ("sockets", "200"),
        ("bad", "[]"),
    ] {
        assert_eq!(facts.get(name), Some(&expected), "{name} in {finished}");
    }
    scene.gate.stop();
}
