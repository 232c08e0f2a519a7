//! `ssh POOL poolgate keep 2h`: a command that the gate answers itself, asked by real clients, beside sessions that go on.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::client::{PATIENCE, client_script, host, venv_python};
use crate::support::world::public;
use crate::support::{
    Finished, Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, tool, wait_until,
};

struct Scene {
    world: World,
    gate: Gate,
    _sshds: Vec<Sshd>,
    person: Person,
}

impl Scene {
    fn new(setup: impl FnOnce(GateSetup) -> GateSetup) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = setup(GateSetup::over(&sshds)).start(&world);
        let person = world.person(1);
        Self {
            world,
            gate,
            _sshds: sshds,
            person,
        }
    }

    fn run(&self, command: &str) -> Finished {
        self.gate.door(&self.world).run(&self.person, command)
    }

    /// Who keeps the instance, as the command line shows it.
    fn kept_by(&self) -> Option<String> {
        let shown = self.gate.cli(&["instances", "-o", "json"]).ok();
        let rows: Value = serde_json::from_str(&shown.stdout).unwrap();
        let rows = rows.get("instances").unwrap_or(&rows).clone();
        let keep = &rows[0]["keep"];
        keep["by"].as_str().map(str::to_owned)
    }

    fn wait_kept_by(&self, expected: Option<&str>) {
        wait_until("who keeps the instance", PATIENCE, || {
            (self.kept_by().as_deref() == expected).then_some(())
        });
    }
}

#[test]
fn a_person_keeps_an_instance_sees_it_and_lets_it_go() {
    let scene = Scene::new(|setup| setup);
    let kept = scene.run("poolgate keep 2h").ok();
    assert!(
        kept.stdout.starts_with("instance vm1 stays until "),
        "{kept}"
    );
    assert_eq!((kept.stdout.matches('\n').count(), &*kept.stderr), (1, ""));
    scene.wait_kept_by(Some(&scene.person.name));
    assert_eq!(scene.run("poolgate keep").ok().stdout, kept.stdout);
    let cut = scene.run("poolgate keep 20h").ok();
    assert!(cut.stdout.contains("allows no more than 12h"), "{cut}");
    let door = scene.gate.door(&scene.world);
    let terminal = door.run_with(&scene.person, &["-tt"], "poolgate keep").ok();
    assert!(
        terminal.stdout.starts_with("instance vm1 stays until "),
        "{terminal}"
    );
    let fault = scene.run("poolgate keep forever");
    assert_eq!((fault.code(), &*fault.stdout), (Some(1), ""), "{fault}");
    assert!(
        fault.stderr.contains("write such as 18:00 or 2h"),
        "{fault}"
    );
    let off = scene.run("poolgate keep off").ok();
    assert_eq!(off.text(), "instance vm1 is kept no longer");
    scene.wait_kept_by(None);
    // All other words are the instance's, whose shell knows no such command.
    for other in ["poolgate status", "poolgate keeper 2h"] {
        assert_eq!(scene.run(other).code(), Some(127));
    }
    let told = scene.gate.audit("fleet");
    let told: Vec<_> = told.iter().filter(|line| line["kind"] == "keep").collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0]["instance"], "vm1");
    scene.gate.wait_sessions(0);
    scene.gate.stop();
}

#[test]
fn a_key_that_runs_one_command_and_a_gate_without_commands_pass_the_words_on() {
    let scene = Scene::new(|setup| setup.ssh("gate_commands = false"));
    assert_eq!(scene.run("poolgate keep 2h").code(), Some(127));
    scene.gate.stop();
    let scene = Scene::new(|setup| setup);
    let line = std::fs::read_to_string(public(&scene.person.key)).unwrap();
    let forced = format!("command=\"echo mine\" {line}");
    scene.world.authorize(&scene.person, &forced);
    assert_eq!(scene.run("poolgate keep 2h").ok().text(), "mine");
    assert_eq!(scene.kept_by(), None);
    scene.gate.stop();
}

/// A connection that two commands share, one of them with a lot to carry all the while.
#[test]
fn other_channels_of_the_connection_are_not_disturbed() {
    let scene = Scene::new(|setup| setup);
    let socket = scene.world.path("mux");
    let control = format!("ControlPath={}", socket.display());
    let door = scene.gate.door(&scene.world);
    let mut master = tool("ssh");
    master.args(["-o", &control, "-o", "ControlMaster=yes"]);
    master.args(door.ssh(&scene.person).get_args());
    master.args([&host(&scene.person), "cat; echo end"]);
    let mut master = Running::start_with_stdin(master.stdin(Stdio::piped()));
    wait_until("the shared connection", PATIENCE, || {
        socket.exists().then_some(())
    });
    let piece = vec![b'x'; 1_000_000];
    for _ in 0..5 {
        master.feed(&piece);
        let mut shared = tool("ssh");
        shared.args(["-F", "none", "-o", &control, "-o", "ControlMaster=no"]);
        shared.args([&host(&scene.person), "poolgate keep 1h"]);
        let kept = finish(&mut shared, PATIENCE).ok();
        assert!(
            kept.stdout.starts_with("instance vm1 stays until "),
            "{kept}"
        );
    }
    assert_eq!(scene.gate.audit("login").len(), 1, "one connection");
    master.close_stdin();
    let carried = master.finish(PATIENCE).ok();
    assert_eq!(carried.stdout.len(), 5 * piece.len() + "end\n".len());
    assert!(carried.stdout.ends_with("xend\n"));
    scene.gate.stop();
}

#[test]
fn other_clients_see_text_and_status_too() {
    let scene = Scene::new(|setup| setup);
    let (port, key) = (scene.gate.ssh_port.to_string(), &scene.person.key);
    let host_key = scene.world.path("gate_host_key");
    let shown = finish(
        tool("ssh-keygen").arg("-lf").arg(public(&host_key)),
        PATIENCE,
    )
    .ok();
    let fingerprint = shown.text().split_whitespace().nth(1).unwrap().to_owned();
    let paramiko = |line: &str| {
        let mut python = venv_python();
        python.arg(client_script("paramiko_client.py"));
        python
            .args(["exec", &port, &scene.person.name])
            .arg(key)
            .arg(line);
        python
    };
    let ssh2 = |line: &str| {
        let mut node = tool("node");
        node.arg(client_script("ssh2_client.js"));
        node.args(["exec", &port, &scene.person.name])
            .arg(key)
            .args([&fingerprint, line]);
        node
    };
    let check = |client: &dyn Fn(&str) -> Command| {
        let kept = finish(&mut client("poolgate keep 3h"), PATIENCE).ok();
        assert!(
            kept.stdout.starts_with("instance vm1 stays until "),
            "{kept}"
        );
        assert!(kept.text().ends_with("exit 0"), "{kept}");
        let fault = finish(&mut client("poolgate keep 3"), PATIENCE).ok();
        assert!(fault.stdout.contains("write such as 18:00"), "{fault}");
        assert!(fault.text().ends_with("exit 1"), "{fault}");
    };
    check(&paramiko);
    check(&ssh2);
    let converted = scene.world.path("person.dropbear");
    let mut convert = tool("dropbearconvert");
    convert
        .args(["openssh", "dropbear"])
        .arg(key)
        .arg(&converted);
    finish(&mut convert, PATIENCE).ok();
    let mut dropbear = tool("dbclient");
    dropbear.env("HOME", scene.world.folder("dropbear-home"));
    dropbear
        .args(["-y", "-y", "-T", "-p", &port, "-i"])
        .arg(&converted);
    dropbear.args([&host(&scene.person), "poolgate keep 2h"]);
    let kept = finish(&mut dropbear, PATIENCE).ok();
    assert!(
        kept.stdout.starts_with("instance vm1 stays until "),
        "{kept}"
    );
    scene.gate.stop();
}
