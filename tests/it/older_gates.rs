//! Gates that gave their place away, and the one that has it by now: what it knows of their sessions, also where the gate in
//! between was killed, and what it leaves alone as long as it does not know.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::client::{PATIENCE, client_script, host};
use crate::support::gate::rows;
use crate::support::{Gate, GateSetup, Logins, Person, Running, Sshd, World, wait_until};

struct Scene {
    world: World,
    gate: Gate,
    sshds: Vec<Sshd>,
}

impl Scene {
    fn new(instances: usize) -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, instances, Logins::Certificates);
        let gate = GateSetup::over(&sshds)
            .pool("affinity = \"1s\"")
            .start(&world);
        Self { world, gate, sshds }
    }

    /// A shell that says what it is told.
    fn shell(&self, person: &Person, instance: &str) -> Running {
        let accepted = self.sessions_begun();
        let mut ssh = self.gate.door(&self.world).ssh(person);
        ssh.args(["-l", &format!("{}%{instance}", person.name), "127.0.0.1"]);
        ssh.args(["read -r line; echo \"<$line>\""]);
        let shell = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        wait_until("the command on the instance", PATIENCE, || {
            (self.sessions_begun() > accepted).then_some(())
        });
        shell
    }

    fn sessions_begun(&self) -> usize {
        let logs = self.sshds.iter().map(Sshd::log);
        logs.map(|log| log.matches("Starting session: ").count())
            .sum()
    }

    fn older(&self) -> PathBuf {
        self.world.path("gate/state/older")
    }

    fn sockets(&self) -> Vec<String> {
        let entries = fs::read_dir(self.older()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

/// The shell is as it was.
fn turn(mut shell: Running) {
    shell.feed(b"still here\n");
    let ended = shell.finish_within(PATIENCE).ok();
    assert!(ended.stdout.contains("<still here>"), "{ended}");
}

/// Waits until the gate tells of as many sessions at older ones, and returns them.
#[track_caller]
fn wait_elsewhere(gate: &Gate, count: usize) -> Vec<Value> {
    wait_until(
        &format!("{count} sessions at older gates"),
        PATIENCE,
        || {
            let mut sessions = gate.sessions();
            sessions.retain(|one| one["is_elsewhere"] == true);
            (sessions.len() == count).then_some(sessions)
        },
    )
}

#[test]
fn a_gate_whose_forerunner_was_killed_learns_of_the_sessions_before_that() {
    let mut scene = Scene::new(2);
    let people = scene.world.people(1..=2);
    let stays = scene.shell(&people[0], "vm2");
    let goes = scene.shell(&people[1], "vm2");
    let before = scene.gate.sessions();
    let old = scene.gate.upgrade();
    let pid = old.pid();
    wait_elsewhere(&scene.gate, 2);
    scene.gate.kill_9();
    scene.gate.start_again(2);

    let held = wait_elsewhere(&scene.gate, 2);
    for (session, of_before) in held.iter().zip(&before) {
        for key in ["id", "user", "instance", "since"] {
            assert_eq!(session[key], of_before[key], "{key}");
        }
    }
    // Nothing else would send them there.
    let door = scene.gate.door(&scene.world);
    for person in &people {
        assert_eq!(door.instance_of(person), "vm2", "{}", person.name);
    }
    let status = scene.gate.cli(&["status"]).ok();
    let line = format!(
        "an older gate (pid {pid}, version {}) keeps 2 sessions",
        env!("CARGO_PKG_VERSION")
    );
    assert!(status.text().contains(&line), "{status}");
    let given = scene.gate.cli(&["notify", "tea is ready"]).ok();
    assert_eq!(given.text(), "given to 2 sessions");
    let id = held
        .iter()
        .find(|one| one["user"] == *people[1].name)
        .unwrap();
    let id = id["id"].as_str().unwrap();
    scene
        .gate
        .cli(&["evict", id, "--reason", "end of term"])
        .ok();
    assert_eq!(goes.finish_within(PATIENCE).code(), Some(255));
    wait_elsewhere(&scene.gate, 1);
    // Nor does it know any less if the one in between is killed again.
    scene.gate.kill_9();
    scene.gate.start_again(2);
    wait_elsewhere(&scene.gate, 1);
    turn(stays);
    old.finish_within(PATIENCE).ok();
    wait_elsewhere(&scene.gate, 0);
    assert_eq!(scene.sockets(), [""; 0]);
    let status = scene.gate.cli(&["status"]).ok();
    assert!(!status.text().contains("older gate"), "{status}");
    scene.gate.stop();
}

#[test]
fn a_gate_in_the_middle_that_is_killed_takes_its_own_sessions_only() {
    let mut scene = Scene::new(2);
    let people = scene.world.people(1..=2);
    let first = scene.shell(&people[0], "vm1");
    let oldest = scene.gate.upgrade();
    let second = scene.shell(&people[1], "vm2");
    let middle = scene.gate.upgrade();
    wait_elsewhere(&scene.gate, 2);
    middle.signal(Signal::SIGKILL);
    middle.finish_within(PATIENCE);
    assert_eq!(second.finish_within(PATIENCE).code(), Some(255));
    let left = wait_elsewhere(&scene.gate, 1);
    assert_eq!(left[0]["user"], people[0].name);
    turn(first);
    oldest.finish_within(PATIENCE).ok();
    wait_elsewhere(&scene.gate, 0);
    assert_eq!(scene.sockets(), [""; 0], "that of the killed one too");
    scene.gate.stop();
}

/// A pool that may go down from one machine to none.
fn one_machine(sshd: &Sshd, folder: &Path) -> GateSetup {
    let command = [client_script("slow_fleet.sh"), folder.to_owned()];
    GateSetup::default()
        .instance("m-1", sshd.port, None)
        .pool(&format!("ssh_port = {}\njupyter_port = \"off\"", sshd.port))
        .pool("affinity = \"1s\"")
        .scaling("min = 0\nmax = 1\nheadroom = \"0 seats\"\nlearned_seats_max = 0")
        .scaling("idle = \"2s\"\nstabilise = \"0s\"\ncool_down = \"0s\"")
        .fleet(&format!(
            "provider = \"command\"\ncommand = {command:?}\ninterval = \"1s\"\ntimeout = \"5m\""
        ))
}

/// The pool may go down to none, and there is one machine left, with a session at an older gate that does not answer.
#[test]
fn a_machine_is_not_removed_while_an_older_gate_does_not_tell_whom_it_holds() {
    let world = World::new();
    let sshd = Sshd::start(&world, "m-1", Logins::Certificates);
    let folder = world.folder("fleet");
    world.folder("fleet/machines");
    fs::write(folder.join("machines/m-1"), "").unwrap();
    fs::write(folder.join("go"), "").unwrap();
    let setup = one_machine(&sshd, &folder);
    let (mut gate, person) = (setup.start(&world), world.person(1));
    let asked = |kind: &str| -> usize {
        let text = fs::read_to_string(folder.join("requests")).unwrap_or_default();
        text.matches(&format!("\"request\":\"{kind}\"")).count()
    };
    let mut ssh = gate.door(&world).ssh(&person);
    ssh.args([&host(&person), "read -r line; echo \"<$line>\""]);
    let shell = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    gate.wait_sessions(1);
    let old = gate.upgrade();
    gate.kill_9();
    old.signal(Signal::SIGSTOP);
    gate.start_again(1);

    let wait_rounds = |rounds: usize| {
        let before = asked("list");
        wait_until("the gate to look again", PATIENCE, || {
            (asked("list") >= before + rounds).then_some(())
        });
    };
    wait_rounds(8);
    assert_eq!(gate.sessions().len(), 0, "it cannot know");
    assert_eq!(
        (asked("remove"), gate.instances()[0]["admin_state"].clone()),
        (0, "ready".into())
    );
    let why = format!(
        "an older gate (pid {}) has not told yet whose sessions it holds",
        old.pid()
    );
    let explained = gate.cli(&["explain", "scaling"]).ok();
    assert!(explained.text().contains(&why), "{explained}");
    let status = gate.cli(&["status"]).ok();
    assert!(
        status
            .text()
            .contains("has not told whose sessions it holds"),
        "{status}"
    );
    let waiting = ["drain", "m-1", "--reason", "it is old", "--wait"];
    let mut cli = crate::support::gate::poolgate();
    cli.args(waiting).arg("-c").arg(&gate.config);
    let mut draining = Running::start(&mut cli);
    wait_rounds(3);
    assert!(draining.is_running(), "nobody can say that it is empty");

    old.signal(Signal::SIGCONT);
    gate.wait_sessions(1);
    wait_rounds(3);
    assert!(
        draining.is_running() && asked("remove") == 0,
        "somebody is there"
    );
    turn(shell);
    draining.finish_within(PATIENCE).ok();
    old.finish_within(PATIENCE).ok();
    gate.cli(&["uncordon", "m-1", "--reason", "as it was"]).ok();
    wait_until("the removal of the machine nobody is on", PATIENCE, || {
        (asked("remove") == 1).then_some(())
    });
    gate.stop();
}

/// What stands in the folder and is no gate of this version: a socket that speaks otherwise, one of a process that is gone, a
/// file of somebody's.
#[test]
fn what_cannot_be_understood_keeps_machines_and_what_is_gone_is_forgotten() {
    let mut scene = Scene::new(1);
    let older = scene.older();
    scene.gate.kill_9();
    drop(UnixListener::bind(older.join("4710")).unwrap());
    fs::write(older.join("4712"), "precious").unwrap();
    let other = UnixListener::bind(older.join("4711")).unwrap();
    let refusing = thread::spawn(move || {
        // Until the test says that it is enough.
        while let Ok((mut stream, _)) = other.accept() {
            let mut asked = String::new();
            BufReader::new(&stream).read_line(&mut asked).unwrap();
            if asked.contains("enough") {
                return;
            }
            assert_eq!(asked.trim(), r#"{"say":"follow","version":3}"#);
            let why = r#"{"say":"refused","version":9,"why":"this gate speaks version 9"}"#;
            writeln!(stream, "{why}").unwrap();
        }
    });
    scene.gate.start_again(1);
    wait_until("the gate to say why", PATIENCE, || {
        let log = scene.gate.log();
        log.contains("until it is: this gate speaks version 9")
            .then_some(())
    });
    let told = scene.gate.cli(&["status", "-o", "json"]).ok();
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    let expected =
        serde_json::json!([{ "pid": 4711, "version": null, "sessions": 0, "is_heard": false }]);
    assert_eq!(told["older"], expected);
    // People are served all the same.
    let person = scene.world.person(1);
    scene.gate.door(&scene.world).run(&person, "true").ok();

    let mut stream = std::os::unix::net::UnixStream::connect(older.join("4711")).unwrap();
    writeln!(stream, "enough").unwrap();
    refusing.join().unwrap();
    wait_until("the gate to forget it", PATIENCE, || {
        let told = scene.gate.cli(&["status", "-o", "json"]).ok();
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        told["older"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(
        scene.sockets(),
        ["4712"],
        "a file of somebody's is left alone"
    );
    assert_eq!(
        rows(&scene.gate.cli(&["sessions", "-o", "json"]).ok().stdout),
        [Value::Null; 0]
    );
    scene.gate.stop();
}
