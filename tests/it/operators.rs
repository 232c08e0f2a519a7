//! What operators decide at the command line, and what they and the people concerned then see.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::client::{PATIENCE, host};
use crate::support::gate::{poolgate, rows};
use crate::support::{Gate, GateSetup, Logins, Person, Running, Sshd, World, wait_until};

struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
        let gate = GateSetup::over(&sshds).start(&world);
        Self { world, gate, sshds }
    }

    /// Somebody in a terminal, what it shows in a file, until the program is told to end.
    fn terminal(&self, person: &Person) -> (Running, impl Fn() -> String + use<>) {
        let mut ssh = self.gate.door(&self.world).ssh(person);
        ssh.args(["-tt", &host(person), "echo begun; sleep 600"]);
        let (running, shown) = self.start_logged(&mut ssh, "terminal");
        wait_told("begun", &shown);
        (running, shown)
    }

    /// The instance and the id of the only session.
    fn only_session(&self) -> (String, String) {
        self.gate.wait_sessions(1);
        let session = self.gate.sessions().remove(0);
        let text = |field: &str| session[field].as_str().unwrap().to_owned();
        (text("instance"), text("id"))
    }

    fn state_of(&self, name: &str) -> String {
        let rows = self.gate.instances();
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        row["admin_state"].as_str().unwrap().to_owned()
    }

    /// A command that goes on, its output in a file.
    fn start(&self, words: &[&str]) -> (Running, impl Fn() -> String + use<>) {
        let mut command = poolgate();
        command.args(words).arg("-c").arg(&self.gate.config);
        self.start_logged(&mut command, words[0])
    }

    fn start_logged(
        &self,
        command: &mut Command,
        name: &str,
    ) -> (Running, impl Fn() -> String + use<>) {
        let path = self.world.path(&format!("{name}-output"));
        let log = fs::File::create(&path).unwrap();
        let read = move || String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        (Running::start_logged(command, log), read)
    }

    fn refused(&self, words: &[&str]) -> String {
        let finished = self.gate.cli(words);
        assert_eq!(finished.code(), Some(1), "{finished}");
        finished.stderr
    }
}

fn wait_told(what: &str, read: &impl Fn() -> String) {
    wait_until(what, Duration::from_secs(15), || {
        read().contains(what).then_some(())
    });
}

#[test]
fn an_instance_is_emptied_and_nobody_is_cut_off() {
    let mut scene = Scene::new();
    let person = scene.world.person(1);
    let (mut held, shown) = scene.terminal(&person);
    let (name, _) = scene.only_session();
    let (following, story) = scene.start(&["events", "--follow"]);
    wait_told("WHAT AND WHY", &story);
    let drain = [
        "drain",
        &name,
        "--reason",
        "new kernel",
        "--deadline",
        "2h",
        "--wait",
    ];
    let (mut draining, progress) = scene.start(&drain);
    wait_told(&format!("main/{name}: 1 session left"), &progress);
    let table = scene.gate.cli(&["instances"]).ok().stdout;
    let note = "by an operator: new kernel; sessions end ";
    assert!(
        table
            .lines()
            .any(|line| line.contains(note) && line.contains("draining")),
        "{table}"
    );
    scene
        .gate
        .door(&scene.world)
        .run(&scene.world.person(2), "true")
        .ok();
    scene.gate.wait_audit("login", 2);
    assert!(!scene.gate.audited_instances("person02").contains(&name));
    assert!(draining.is_running() && held.is_running());
    wait_told("being taken out of service", &shown);
    held.signal(Signal::SIGTERM);
    held.finish(PATIENCE);
    assert_eq!(draining.finish(PATIENCE).code(), Some(0), "{}", progress());
    assert!(
        progress().contains(&format!("main/{name}: no session is left")),
        "{}",
        progress()
    );
    scene
        .gate
        .cli(&["uncordon", &format!("main/{name}"), "--reason", "done"])
        .ok();
    assert_eq!(scene.state_of(&name), "ready");
    wait_told("undrain", &story);
    let told = rows(&scene.gate.cli(&["events", "-o", "json"]).ok().stdout);
    let kinds: Vec<_> = told
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["drain", "undrain"]);
    let text = told[0]["text"].as_str().unwrap();
    assert!(
        text.contains(" drains it: new kernel; sessions end at "),
        "{text}"
    );
    let audited = scene.gate.wait_audit("fleet", 2);
    assert_eq!(
        (&audited[0]["kind"], &audited[0]["instance"]),
        (&"drain".into(), &name.as_str().into())
    );
    let setup = GateSetup::over(&scene.sshds);
    scene.gate = scene.gate.replaced(&scene.world, setup);
    follow_on(&scene, following, &story);
    scene.gate.stop();
}

/// Whoever follows sees what the next run of the gate tells, whose numbers begin anew.
fn follow_on(scene: &Scene, mut following: Running, story: &impl Fn() -> String) {
    let order = ["cordon", "vm1", "--reason", "after the restart"];
    scene.gate.cli(&order).ok();
    wait_told("after the restart", story);
    assert!(following.is_running());
    following.signal(Signal::SIGINT);
    assert_eq!(following.finish(PATIENCE).code(), Some(0), "{}", story());
    assert_eq!(story().matches("new kernel").count(), 1, "{}", story());
}

#[test]
fn a_session_is_ended_and_its_person_reads_why() {
    let scene = Scene::new();
    let (held, shown) = scene.terminal(&scene.world.person(1));
    let (name, id) = scene.only_session();
    let (undone, progress) = scene.start(&["drain", &name, "--reason", "a mistake", "--wait"]);
    wait_told("1 session left", &progress);
    scene
        .gate
        .cli(&["uncordon", &name, "--reason", "a mistake"])
        .ok();
    assert_eq!(undone.finish(PATIENCE).code(), Some(1));
    assert!(
        progress().contains("somebody has undone the drain"),
        "{}",
        progress()
    );
    let told = scene
        .gate
        .cli(&["evict", &id, "--reason", "a fire drill"])
        .ok();
    let text = format!("session {id} of person01 on main/{name} has ended");
    assert_eq!(told.text(), text);
    let held = held.finish(PATIENCE);
    assert_eq!(held.code(), Some(255), "{held}");
    wait_told("this session is ended: a fire drill", &shown);
    scene.gate.wait_sessions(0);
    let again = scene.refused(&["evict", &id, "--reason", "again"]);
    assert!(again.contains("`poolgate sessions` lists them"), "{again}");
    let events = scene.gate.cli(&["events", "--last", "1"]).ok().stdout;
    assert!(
        events.contains(&format!(
            "ends the ssh session {id} of person01: a fire drill"
        )),
        "{events}"
    );
    scene.gate.stop();
}

#[test]
fn a_drains_deadline_ends_what_is_left_and_decisions_outlive_a_restart() {
    let mut scene = Scene::new();
    let (held, shown) = scene.terminal(&scene.world.person(1));
    let (name, _) = scene.only_session();
    let why = ["--reason", "moving out"];
    let until = ["--deadline", "3s", "--wait"];
    let drain = [&["drain", &name], &why[..], &until[..]].concat();
    let drained = scene.gate.cli(&drain).ok();
    assert!(drained.text().ends_with("no session is left"), "{drained}");
    assert_eq!(held.finish(PATIENCE).code(), Some(255), "{}", shown());
    let goodbye = format!("this session is ended: the time to leave {name} is over: moving out");
    wait_told(&goodbye, &shown);
    let other = if name == "vm1" { "vm2" } else { "vm1" };
    let cordon = ["cordon", other, "--reason", "disk is slow"];
    scene.gate.cli(&cordon).ok();
    scene.gate.cli(&["keep", other, "2h"]).ok();
    let setup = GateSetup::over(&scene.sshds);
    scene.gate = scene.gate.replaced(&scene.world, setup);
    wait_until("the decisions of before", Duration::from_secs(15), || {
        let table = scene.gate.cli(&["instances"]).ok().stdout;
        let has = |name: &str, words: &[&str]| {
            let line = table.lines().find(|line| line.contains(name)).unwrap();
            words.iter().all(|word| line.contains(word))
        };
        let drained = ["draining", "by an operator: moving out; sessions end "];
        let kept = ["cordoned", "by an operator: disk is slow; kept until "];
        (has(&name, &drained) && has(other, &kept)).then_some(())
    });
    scene.gate.stop();
}

#[test]
fn what_cannot_be_ordered_is_said_with_what_can() {
    let scene = Scene::new();
    let unknown = scene.refused(&["cordon", "vm9", "--reason", "x"]);
    assert!(
        unknown.contains("there is main/vm1, main/vm2;"),
        "{unknown}"
    );
    let kept = scene.gate.cli(&["keep", "vm1", "2h"]).ok();
    assert!(kept.text().starts_with("main/vm1 is kept until "), "{kept}");
    let table = scene.gate.cli(&["instances"]).ok().stdout;
    assert!(table.contains("kept until "), "{table}");
    scene.gate.cli(&["keep", "vm1", "off"]).ok();
    let soon = scene.refused(&["keep", "vm1", "soon"]);
    assert!(soon.contains("write such as 18:00 or 2h, or off"), "{soon}");
    let scale = scene.refused(&["scale", "main", "3"]);
    assert!(scale.contains("is not resized: write"), "{scale}");
    let scale = scene.refused(&["scale", "gpu", "3", "--dry-run"]);
    assert!(
        scale.contains("there is no pool named \"gpu\": there is main"),
        "{scale}"
    );
    let cost = scene.gate.cli(&["cost"]).ok();
    assert_eq!(cost.text(), "no pool is resized, so no ledger is kept");
    let (status, _) = scene.gate.admin("/api/v1/cordon");
    assert_eq!(status, 405, "orders are posted");
    scene.gate.stop();
}
