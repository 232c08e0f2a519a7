//! The gate's own pages in a real browser: what people see while they wait, and that each page goes on where it should.

use std::collections::BTreeMap;
use std::process::Stdio;

use crate::support::browser::{Browser, axe};
use crate::support::gate::poolgate;
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World, free_port};

/// A browser at the gate's door.
fn browser(world: &World, gate: &Gate, script: &str, words: &[&str]) -> Browser {
    let base = format!("https://127.0.0.1:{}", gate.https_port);
    let axe = axe();
    let words = [&[&*base, &*axe], words].concat();
    Browser::start(world, script, &words, "pages")
}

/// An instance as `poolgate demo` starts them, with a page in the shape of a hub.
fn instance(world: &World, name: &str, ssh_port: u16, jupyter_port: u16) -> Running {
    let mut command = poolgate();
    command.args(["demo-instance", "--name", name]);
    command.args(["--ssh-port", &ssh_port.to_string()]);
    command.args(["--jupyter-port", &jupyter_port.to_string()]);
    command.arg("--state-dir").arg(world.folder(name));
    command.arg("--user-ca").arg(world.path("user_ca.pub"));
    // It ends with its standard input.
    Running::start_with_stdin(command.stdin(Stdio::piped()))
}

#[test]
fn a_browser_waits_for_its_machine_and_goes_on_by_itself() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let (ssh, jupyter) = (free_port(), free_port());
    let setup = GateSetup::over(&sshds)
        .https("")
        .absent("late", ssh, jupyter);
    let gate = setup.start(&world);
    let path = "/hub/login?next=%2Fhub%2Fspawn";
    let mut browser = browser(&world, &gate, "chromium_waits.py", &[path]);
    browser.wait_asks("instance");
    let late = instance(&world, "late", ssh, jupyter);
    let facts = browser.finish(&[
        ("title", "Your machine is being prepared"),
        ("plain-title", "Ihr Rechner wird vorbereitet"),
        ("lang", "en"),
        (
            "status",
            "No machine is ready yet. One is starting or being repaired.",
        ),
        ("looks", "True"),
        ("axe", "[]"),
        ("console", "[]"),
        ("went-on", path),
        ("plain-went-on", path),
    ]);
    for asked in facts["requests"].split(' ') {
        let own = ["/hub/login", "/.poolgate/wait", "/favicon.ico"];
        assert!(own.contains(&asked), "{asked} in {facts:?}");
    }
    drop(late);
    gate.stop();
}

#[test]
fn every_page_of_the_gates_own_can_be_read_and_leads_on() {
    let world = World::new();
    let mut setup = GateSetup::default()
        .https("admins = [\"ada\"]")
        .pool("capacity = 2");
    let mut running = BTreeMap::new();
    for name in ["vm1", "vm2"] {
        let (ssh, jupyter) = (free_port(), free_port());
        setup = setup.instance(name, ssh, Some(jupyter));
        running.insert(name, instance(&world, name, ssh, jupyter));
    }
    let gate = setup.start(&world);
    let mut browser = browser(&world, &gate, "chromium_pages.py", &[]);
    browser.wait_asks("notice");
    let text = "the machines restart <soon>";
    let given = gate.cli(&["notify", "--deadline", "2h", text]).ok();
    assert!(given.text().starts_with("given to "), "{given}");
    let lost = browser.wait_asks("loss");
    drop(running.remove(lost.as_str()).expect("a known instance"));
    browser.finish(&[
        ("next", "You are next in line."),
        ("line", "Usted es el número 2 de la cola."),
        ("rows", "2"),
        ("stranger", "404"),
        ("visit", "This server is on another machine"),
        ("share", "Whose server does this link open?"),
        ("notice", text),
        ("after-loss", "/hub/login"),
        ("looks", "True"),
        ("axe", "[]"),
    ]);
    drop(running);
    gate.stop();
}
