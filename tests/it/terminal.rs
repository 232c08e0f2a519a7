//! What a person at a terminal and a script rely on: statuses, signals, streams, window size, breaks. Each is tried on the
//! instance itself first, and has to be the same through the gate.

use std::fs;
use std::process::Stdio;

use crate::support::client::{PATIENCE, client_script, host, quoted, venv_python};
use crate::support::{
    Door, Finished, Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, tool, wait_until,
};

/// One instance, its gate, and the doors to both.
struct Scene {
    world: World,
    sshds: Vec<Sshd>,
    gate: Gate,
    person: Person,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let gate = GateSetup::over(&sshds).start(&world);
        let person = world.person(1);
        Self {
            world,
            sshds,
            gate,
            person,
        }
    }

    fn doors(&self) -> [Door; 2] {
        [self.sshds[0].door(&self.world), self.gate.door(&self.world)]
    }

    /// The gate saw exactly this many logins.
    #[track_caller]
    fn stop(self, logins: usize) {
        assert_eq!(self.gate.audited_instances(&self.person.name).len(), logins);
        self.gate.stop();
    }

    /// Runs tests/clients/terminal.py, which gives ssh a terminal and acts on it.
    fn pty(&self, door: &Door, act: &str, options: &[&str]) -> Finished {
        let mut python = tool("python3");
        python.arg(client_script("terminal.py")).arg(act).arg("ssh");
        python.args(door.options(&self.person)).args(options);
        // A shell that prints what it is told to and nothing else.
        python.args([&host(&self.person), "bash --norc --noediting"]);
        finish(&mut python, PATIENCE)
    }
}

#[test]
fn exit_statuses_come_through() {
    let scene = Scene::new();
    let table = [
        ("true", 0),
        ("exit 1", 1),
        ("exit 42", 42),
        ("exit 255", 255),
        ("no-such-command", 127),
        ("kill -TERM $$", 255), // ended by a signal: the client has no status to give
    ];
    for (command, status) in table {
        for door in scene.doors() {
            let finished = door.run(&scene.person, command);
            assert_eq!(
                finished.code(),
                Some(status),
                "{}: {command}: {finished}",
                door.label
            );
        }
    }
    scene.stop(table.len());
}

#[test]
fn standard_output_and_error_stay_apart_and_whole() {
    let scene = Scene::new();
    let command = "seq 1 200000; seq 1 100000 >&2; printf tail; printf error-tail >&2; exit 3";
    for door in scene.doors() {
        let finished = door.run(&scene.person, command);
        assert_eq!(finished.code(), Some(3), "{}", door.label);
        let lines = |count: u32, tail: &str| {
            (1..=count).map(|n| format!("{n}\n")).collect::<String>() + tail
        };
        assert!(
            finished.stdout == lines(200_000, "tail"),
            "{}: stdout",
            door.label
        );
        assert!(
            finished.stderr == lines(100_000, "error-tail"),
            "{}: stderr",
            door.label
        );
    }
    scene.stop(1);
}

#[test]
fn an_end_of_input_reaches_the_command_and_its_answer_comes_back() {
    let scene = Scene::new();
    for door in scene.doors() {
        let mut ssh = door.ssh(&scene.person);
        ssh.arg(host(&scene.person))
            .arg("wc -c; sleep 0.2; echo after; exit 5");
        let mut running = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        running.feed(&[b'x'; 300_000]);
        running.close_stdin();
        let finished = running.finish(PATIENCE);
        assert_eq!(finished.text(), "300000\nafter", "{}", door.label);
        assert_eq!(finished.code(), Some(5));

        // The other way round: the command closes its output and goes on reading.
        let half = format!(
            "head -c 100000 /dev/zero | ssh {} {} 'exec >&-; wc -c >~/half; exit 6'",
            quoted(&door.options(&scene.person)),
            host(&scene.person)
        );
        let finished = finish(tool("sh").args(["-c", &half]), PATIENCE);
        assert_eq!(finished.code(), Some(6), "{}: {finished}", door.label);
        let count = fs::read_to_string(scene.person.home.join("half")).unwrap();
        assert_eq!(count.trim(), "100000", "{}", door.label);
    }
    scene.stop(2);
}

#[test]
fn environment_goes_with_a_session_byte_for_byte() {
    let scene = Scene::new();
    for door in scene.doors() {
        let finished = door.run_with(
            &scene.person,
            &["-o", "SetEnv=TEST_ONE=gr\u{fc}n TEST_TWO=2 OTHER=refused"],
            "printf '%s|%s|%s' \"$TEST_ONE\" \"$TEST_TWO\" \"$OTHER\"",
        );
        assert_eq!(
            finished.text(),
            "gr\u{fc}n|2|",
            "{}: {finished}",
            door.label
        );

        // Latin-1, which is not UTF-8.
        let line = format!(
            "TEST_RAW=$(printf 'gr\\374n') ssh {} -o SendEnv=TEST_RAW {} 'printf %s \"$TEST_RAW\" | od -An -tx1'",
            quoted(&door.options(&scene.person)),
            host(&scene.person)
        );
        let finished = finish(tool("sh").args(["-c", &line]), PATIENCE).ok();
        assert_eq!(finished.text(), "67 72 fc 6e", "{}", door.label);
    }
    scene.stop(2);
}

#[test]
fn a_terminal_has_its_size_type_and_modes_and_follows_a_resize() {
    let scene = Scene::new();
    for door in scene.doors() {
        let finished = scene.pty(&door, "resize", &["-tt"]).ok();
        assert!(
            finished.stdout.contains("size-before 24 80"),
            "{}: {finished}",
            door.label
        );
        assert!(
            finished.stdout.contains("size-after 50 132"),
            "{}: {finished}",
            door.label
        );
        assert!(
            finished.stdout.contains("term vt220"),
            "{}: {finished}",
            door.label
        );
        assert!(
            finished.stdout.contains("erase = ^H"),
            "modes come through: {finished}"
        );
        assert!(
            finished.stdout.contains("status 7"),
            "{}: {finished}",
            door.label
        );
    }
    scene.stop(1);
}

#[test]
fn an_interrupt_key_ends_the_command_and_not_the_session() {
    let scene = Scene::new();
    for door in scene.doors() {
        let finished = scene.pty(&door, "interrupt", &["-tt"]).ok();
        assert!(
            finished.stdout.contains("interrupted 130"),
            "{}: {finished}",
            door.label
        );
        assert!(
            finished.stdout.contains("status 9"),
            "{}: {finished}",
            door.label
        );
    }
    scene.stop(1);
}

#[test]
fn a_break_reaches_the_instance() {
    let scene = Scene::new();
    let breaks = || scene.sshds[0].log().matches("request break reply").count();
    for (before, door) in scene.doors().iter().enumerate() {
        let finished = scene
            .pty(door, "break", &["-tt", "-o", "EscapeChar=~"])
            .ok();
        assert!(
            finished.stdout.contains("status 8"),
            "{}: {finished}",
            door.label
        );
        wait_until(
            &format!("{}: the break: {finished}", door.label),
            PATIENCE,
            || (breaks() == before + 1).then_some(()),
        );
    }
    scene.stop(1);
}

#[test]
fn a_signal_that_ended_a_command_is_named() {
    let scene = Scene::new();
    for door in scene.doors() {
        let mut python = venv_python();
        python
            .arg(client_script("asyncssh_client.py"))
            .arg("signal");
        let certificate = door
            .is_direct
            .then(|| scene.person.certificate.display().to_string());
        python.args([&door.port.to_string(), &scene.person.name]);
        python
            .arg(&scene.person.key)
            .arg(door.known_hosts.display().to_string());
        python.args(certificate);
        let finished = finish(&mut python, PATIENCE).ok();
        assert_eq!(finished.text(), "KILL", "{}: {finished}", door.label);
    }
    scene.stop(1);
}
