//! People at two real JupyterHubs behind one https address: by script, and with headless Chromium.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::certificate::certificate_files;
use crate::support::client::{client_script, venv_python};
use crate::support::hub::HUB_PASSWORD;
use crate::support::{Finished, HubScene, finish, tool, wait_until};

/// A login, a server's start, a kernel's start and 160 MB, on a busy machine.
const LONG: Duration = Duration::from_secs(300);

impl HubScene {
    /// tests/clients/jupyter_person.py as this person.
    fn scripted(&self, user: &str, megabytes: &str) -> BTreeMap<String, String> {
        let (ca, _) = certificate_files(&self.world);
        let mut python = venv_python();
        python.arg(client_script("jupyter_person.py"));
        python
            .args([&self.base(), user, HUB_PASSWORD])
            .arg(ca)
            .arg(megabytes);
        facts(&finish(&mut python, LONG).ok())
    }

    /// The person is on this instance and on no other, as the gate, the hubs and an ssh login say.
    #[track_caller]
    fn is_only_on(&self, user: &str, number: usize, instance: &str) {
        let logins = self.gate.audit("login");
        let theirs: Vec<_> = logins.iter().filter(|line| line["user"] == user).collect();
        assert!(!theirs.is_empty(), "the gate audited the login: {logins:?}");
        for line in theirs {
            assert_eq!(line["instance"], instance, "{line}");
            assert_eq!(line["protocol"], "jupyter", "{line}");
        }
        let sessions = self.gate.sessions();
        assert!(
            sessions
                .iter()
                .any(|row| row["user"] == user && row["instance"] == instance),
            "{sessions:?}"
        );
        for hub in &self.hubs {
            assert_eq!(hub.knows(user), hub.name == instance, "hub of {}", hub.name);
        }
        let person = self.world.person(number);
        assert_eq!(
            self.gate.door(&self.world).instance_of(&person),
            instance,
            "ssh follows"
        );
    }

    fn curl(&self, arguments: &[&str]) -> Finished {
        let mut curl = tool("curl");
        curl.args(["-q", "-sS", "-k", "--max-time", "20"])
            .args(arguments);
        finish(&mut curl, LONG)
    }
}

/// The `name value` lines that a script printed.
fn facts(finished: &Finished) -> BTreeMap<String, String> {
    let lines = finished
        .stdout
        .lines()
        .filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn a_scripted_person_works_on_one_hub_by_both_versions_of_http_and_ssh_follows() {
    let scene = HubScene::new();
    let facts = scene.scripted("person08", "40");
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    assert!(
        fact("first-cookies").contains("__Host-poolgate"),
        "pinned by the first answer: {facts:?}"
    );
    for (name, expected) in [
        ("login", "302"),
        ("insecure-cookies", "_xsrf"),
        ("spawn", "200"),
        ("progress", "200 text/event-stream"),
        ("lab", "200 /user/person08/lab"),
        ("kernel", "201"),
        ("reload", "200"),
        ("upload-1", "201"),
        ("download-1", "200 same"),
        ("upload-2", "2 201"),
        ("download-2", "2 200 same"),
    ] {
        assert_eq!(fact(name), expected, "{name} in {facts:?}");
    }
    let first_event: u64 = fact("first-event-ms").parse().unwrap();
    assert!(
        first_event < 2000,
        "progress is not held back: {first_event} ms"
    );
    let instance = fact("output").strip_prefix("42 ").unwrap().to_owned();
    scene.is_only_on("person08", 8, &instance);
    scene.gate.stop();
}

#[test]
fn a_person_with_a_browser_runs_a_cell_over_http2_and_ssh_follows() {
    let scene = HubScene::new();
    drop(tool("chromium"));
    let screenshot = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/chromium.png");
    let mut python = venv_python();
    python.arg(client_script("chromium_person.py"));
    python
        .args([&scene.base(), "person09", HUB_PASSWORD])
        .arg(&screenshot);
    // The browser keeps its profile and caches below its home.
    python.env("HOME", scene.world.folder("browser-home"));
    let finished = finish(&mut python, LONG).ok();
    let facts = facts(&finished);
    let fact = |name: &str| facts.get(name).map_or("", String::as_str);
    assert_eq!(fact("saved"), "201", "{finished}");
    assert_eq!(fact("protocols"), "h2", "{finished}");
    assert_eq!(
        fact("sockets"),
        "200",
        "WebSockets inside of HTTP/2 (RFC 8441): {finished}"
    );
    assert_eq!(fact("bad"), "[]", "{finished}");
    let instance = fact("output")
        .strip_prefix("answer 42 ")
        .unwrap()
        .to_owned();
    scene.is_only_on("person09", 9, &instance);
    assert!(screenshot.exists());
    scene.gate.stop();
}

#[test]
fn a_hub_that_hangs_gets_nobody_new_and_one_that_died_is_a_503() {
    let mut scene = HubScene::new();
    let facts = scene.scripted("person10", "0");
    let busy = facts["output"].strip_prefix("42 ").unwrap().to_owned();
    let hung = scene.hubs.iter().position(|hub| hub.name == busy).unwrap();

    scene.hubs[hung].signal(Signal::SIGSTOP);
    wait_until(
        "the hung hub's instance to take no logins",
        Duration::from_secs(30),
        || {
            let rows = scene.gate.instances();
            rows.iter()
                .any(|row| row["name"] == busy.as_str() && row["health"] != "up")
                .then_some(())
        },
    );
    // Six new browsers, each without a cookie: all are answered, so none went to the hub that hangs.
    for _ in 0..6 {
        let page = scene.curl(&[
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &format!("{}/hub/login", scene.base()),
        ]);
        assert_eq!(page.text(), "200", "{page}");
    }
    scene.hubs[hung].signal(Signal::SIGCONT);

    // Both gone: a browser is told to come again, by the status that JupyterLab takes for an interruption.
    scene.hubs.clear();
    let page = scene.curl(&[
        "-D",
        "-",
        "-o",
        "/dev/null",
        &format!("{}/hub/login", scene.base()),
    ]);
    let head = page.stdout.to_lowercase();
    assert!(head.starts_with("http/2 503"), "{page}");
    assert!(head.contains("retry-after:"), "{page}");
    scene.gate.stop();
}
