//! A new gate takes the place of the one that runs: whoever connects is served, whoever is connected stays, and a new gate
//! that fails is as if nobody had asked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::client::{PATIENCE, host};
use crate::support::gate::rows;
use crate::support::proc::{send, wait_gone};
use crate::support::streams::{EchoHub, ShellStream, SocketStream};
use crate::support::{Gate, GateSetup, Logins, Person, Running, Sshd, World, wait_until};
use crate::systemd::Systemd;

const CONNECTS: usize = 100_000;
const CONNECTORS: usize = 4;
/// Streams of each kind that are opened at each gate.
const STREAMS: usize = 3;
const PATIENT: Duration = Duration::from_secs(300);

/// What becomes of connections: each is to see the gate's first line.
#[derive(Default)]
struct Connects {
    done: AtomicUsize,
    is_over: AtomicBool,
}

impl Connects {
    fn begin(self: &Arc<Self>, port: u16) -> Vec<thread::JoinHandle<()>> {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let connector = |_| {
            let connects = self.clone();
            thread::spawn(move || {
                while !connects.is_over.load(Ordering::Relaxed) {
                    read_ident(at);
                    connects.done.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        (0..CONNECTORS).map(connector).collect()
    }

    fn wait(&self, count: usize) {
        wait_until(&format!("{count} connects"), PATIENT, || {
            (self.done.load(Ordering::Relaxed) >= count).then_some(())
        });
    }
}

/// Neither refused nor reset before the gate has said who it is.
fn read_ident(at: SocketAddr) {
    let stream = TcpStream::connect(at).unwrap_or_else(|error| panic!("refused: {error}"));
    stream.set_read_timeout(Some(PATIENT)).unwrap();
    // So many ends in a row would use up all ports.
    let socket = socket2::SockRef::from(&stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    let mut line = String::new();
    let read = BufReader::new(&stream).read_line(&mut line);
    read.unwrap_or_else(|error| panic!("reset: {error}"));
    assert!(line.starts_with("SSH-2.0-"), "{line:?}");
}

/// The streams of one gate's people.
struct Streams(Vec<(ShellStream, SocketStream)>);

impl Streams {
    fn begin(world: &World, gate: &Gate, people: &[Person]) -> Self {
        let door = gate.door(world);
        let begin = |person| {
            let shell = ShellStream::start(&door, person);
            (shell, SocketStream::start(world, gate.https_port))
        };
        Self(people.iter().map(begin).collect())
    }

    fn turn(&mut self) {
        for (shell, socket) in &mut self.0 {
            shell.turn();
            socket.turn();
        }
    }

    fn end(self) {
        for (shell, socket) in self.0 {
            shell.end();
            socket.end();
        }
    }
}

#[test]
fn three_upgrades_in_a_row_refuse_nobody_and_lose_no_session() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let hubs = [EchoHub::start(), EchoHub::start()];
    let mut gate = GateSetup::default()
        .instance(&sshds[0].name, sshds[0].port, Some(hubs[0].port))
        .instance(&sshds[1].name, sshds[1].port, Some(hubs[1].port))
        .pool("capacity = 1000")
        .ssh("max_startups = 5000\nmax_startups_per_source = 5000\nearly_drop = \"off\"\nconnect_timeout = \"20s\"")
        .https("")
        .start(&world);
    let people = world.people(1..=STREAMS * 4 + 1);
    let connects = Arc::new(Connects::default());
    let connectors = connects.begin(gate.ssh_port);
    let (door, visitor) = (gate.door(&world), world.person(STREAMS * 4 + 2));
    let logins = {
        let connects = connects.clone();
        thread::spawn(move || {
            let mut count = 0;
            while !connects.is_over.load(Ordering::Relaxed) {
                door.run(&visitor, "true").ok();
                count += 1;
            }
            count
        })
    };
    let (mut streams, mut old) = (Vec::new(), Vec::new());
    for generation in 0..3 {
        let theirs = &people[generation * STREAMS..][..STREAMS];
        streams.push(Streams::begin(&world, &gate, theirs));
        connects.wait(CONNECTS / 4 * (generation + 1));
        if generation == 2 {
            fourth_is_refused(&gate);
            let first: Streams = streams.remove(0);
            first.end();
            let first: Running = old.remove(0);
            first.finish_within(PATIENT).ok();
        }
        let before = connects.done.load(Ordering::Relaxed);
        old.push(gate.upgrade());
        let meanwhile = connects.done.load(Ordering::Relaxed) - before;
        assert!(meanwhile > 100, "{meanwhile} connects during an upgrade");
        streams.iter_mut().for_each(Streams::turn);
        wait_held(&gate, &streams);
    }
    streams.push(Streams::begin(
        &world,
        &gate,
        &people[STREAMS * 3..][..STREAMS],
    ));
    connects.wait(CONNECTS);
    connects.is_over.store(true, Ordering::Relaxed);
    for connector in connectors {
        connector.join().unwrap();
    }
    assert!(logins.join().unwrap() > 3, "people logged in meanwhile");
    streams.iter_mut().for_each(Streams::turn);
    streams.into_iter().for_each(Streams::end);
    for old in old {
        old.finish_within(PATIENT).ok();
    }
    gate.stop();
}

fn fourth_is_refused(gate: &Gate) {
    let refused = gate.ask_for_place().finish_within(PATIENT);
    assert_eq!(refused.code(), Some(1));
    let log = gate.log();
    assert!(log.contains("3 gates hold sessions already"), "{log}");
}

/// The newest gate knows every person's ssh session, those at older gates too.
fn wait_held(gate: &Gate, streams: &[Streams]) {
    let people = streams.iter().map(|one| one.0.len()).sum::<usize>();
    wait_until("the older gates' sessions at the newest", PATIENCE, || {
        let told = gate.cli(&["sessions", "-o", "json"]).ok();
        let sessions = rows(told.text());
        let old = sessions.iter().filter(|one| one["is_elsewhere"] == true);
        let by_ssh = old.filter(|one| one["protocol"] == "ssh" && one["stage"] == "live");
        // The visitor's may be among them.
        (by_ssh.count() >= people).then_some(())
    });
}

/// A gate with one terminal open at it.
struct Scene {
    world: World,
    gate: Gate,
    sshd: Sshd,
    person: Person,
}

impl Scene {
    fn new(setup: impl FnOnce(&World, GateSetup) -> GateSetup) -> Self {
        let world = World::new();
        let mut sshds = Sshd::start_many(&world, 1, Logins::Certificates);
        let setup = setup(&world, GateSetup::over(&sshds));
        let gate = setup.ssh("connect_timeout = \"20s\"").start(&world);
        Self {
            person: world.person(1),
            sshd: sshds.remove(0),
            world,
            gate,
        }
    }

    fn terminal(&self) -> Running {
        let mut ssh = self.gate.door(&self.world).ssh(&self.person);
        ssh.args(["-tt", &host(&self.person), "read -r line; echo \"<$line>\""]);
        let terminal = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
        self.wait_session();
        terminal
    }

    /// One that is read while it lasts.
    fn shown_terminal(&self) -> (Running, PathBuf) {
        let shown = self.world.path("terminal");
        let mut ssh = self.gate.door(&self.world).ssh(&self.person);
        ssh.args(["-tt", &host(&self.person), "sleep 600"]);
        let terminal = Running::start_logged(&mut ssh, File::create(&shown).unwrap());
        self.wait_session();
        (terminal, shown)
    }

    fn wait_session(&self) {
        wait_until("the command on the instance", PATIENCE, || {
            self.sshd.log().contains("Starting session: ").then_some(())
        });
    }
}

#[test]
fn sessions_at_an_older_gate_are_told_and_ended_from_the_new_one() {
    let mut scene = Scene::new(|_, setup| setup);
    let (terminal, shown) = scene.shown_terminal();
    let shows = |text: &str| fs::read_to_string(&shown).unwrap().contains(text);
    let before = scene.gate.sessions();
    let old = scene.gate.upgrade();
    let mut held = Vec::new();
    wait_until("the session at the new gate", PATIENCE, || {
        held = scene.gate.sessions();
        (held.len() == 1).then_some(())
    });
    assert_eq!(
        (&held[0]["id"], &held[0]["user"]),
        (&before[0]["id"], &before[0]["user"])
    );
    // One person, one machine, also for who is on it by an older gate.
    let explained = scene.gate.cli(&["explain", &scene.person.name]).ok();
    assert!(explained.text().contains("vm1"), "{explained}");
    let given = scene.gate.cli(&["notify", "tea is ready"]).ok();
    assert_eq!(given.text(), "given to 1 sessions");
    wait_until("the notice in the terminal", PATIENCE, || {
        shows("tea is ready").then_some(())
    });
    let id = held[0]["id"].as_str().unwrap();
    scene
        .gate
        .cli(&["evict", id, "--reason", "end of term"])
        .ok();
    let ended = terminal.finish_within(PATIENCE);
    assert!(shows("end of term"), "{ended}");
    old.finish_within(PATIENCE).ok();
    scene.gate.wait_sessions(0);
    scene.gate.stop();
}

#[test]
fn an_older_gate_warns_people_and_ends_at_its_limit() {
    let mut scene = Scene::new(|_, setup| setup.root("drain_limit = \"4s\""));
    let terminal = scene.terminal();
    let old = scene.gate.upgrade();
    let ended = terminal.finish_within(PATIENCE);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    for text in [
        "a newer gate has taken the place of this one and ends this session in 1s",
        "keeps sessions for no more than 4s: log in again",
    ] {
        assert!(said.contains(text), "not told {text:?}: {ended}");
    }
    assert!(!said.contains("being stopped"), "{ended}");
    old.finish_within(PATIENCE).ok();
    scene.gate.stop();
}

#[test]
fn a_new_gate_that_fails_leaves_the_old_one_serving() {
    let mut scene = Scene::new(|_, setup| setup);
    let mut terminal = scene.terminal();
    let good = fs::read_to_string(&scene.gate.config).unwrap();
    fs::write(
        &scene.gate.config,
        good.replace("[ssh]", "[ssh]\nport = 22"),
    )
    .unwrap();
    let refused = scene.gate.ask_for_place().finish_within(PATIENCE);
    assert_eq!(refused.code(), Some(78));
    let unusable = good.replace("gate_host_key\"", "no_such_key\"");
    fs::write(&scene.gate.config, unusable).unwrap();
    let refused = scene.gate.ask_for_place().finish_within(PATIENCE);
    assert_eq!(refused.code(), Some(1));
    fs::write(&scene.gate.config, good).unwrap();
    let door = scene.gate.door(&scene.world);
    let end_after: [&[&str]; 3] = [&["ask"], &["ask", "ready"], &["nonsense"]];
    for steps in end_after {
        let before = scene.gate.log().matches("goes on as before").count();
        die_after(&scene, steps);
        wait_until("the old gate to say that it goes on", PATIENCE, || {
            (scene.gate.log().matches("goes on as before").count() > before).then_some(())
        });
        door.run(&scene.person, "true").ok();
        assert_eq!(scene.gate.owner(), scene.gate.pid());
    }
    let old = scene.gate.upgrade();
    assert_eq!(scene.gate.owner(), scene.gate.pid());
    terminal.feed(b"still here\n");
    let ended = terminal.finish_within(PATIENCE).ok();
    assert!(ended.stdout.contains("<still here>"), "{ended}");
    old.finish_within(PATIENCE).ok();
    scene.gate.stop();
}

/// A new gate that dies after these steps, as the old one sees it.
fn die_after(scene: &Scene, steps: &[&str]) {
    let mut stream = Asking::new(scene);
    for step in steps {
        let answer = stream.say(step);
        let said: Option<Value> = serde_json::from_str(&answer).ok();
        let said = said.as_ref().and_then(|said| said["say"].as_str());
        let expected = BTreeMap::from([("ask", "offer"), ("ready", "yours")]);
        assert_eq!(said, expected.get(step).copied(), "{answer}");
    }
}

/// What the old gate takes for a new one.
struct Asking(BufReader<UnixStream>);

impl Asking {
    fn new(scene: &Scene) -> Self {
        let path = scene.world.path("gate/state/handover.sock");
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Says a word, and returns the answer; the descriptors that come with it are closed by the system.
    fn say(&mut self, step: &str) -> String {
        let word = match step {
            "ask" => r#"{"say":"ask","version":3,"program":"0.0.0"}"#,
            "ready" => r#"{"say":"ready"}"#,
            other => other,
        };
        writeln!(self.0.get_mut(), "{word}").unwrap();
        loop {
            let mut answer = String::new();
            self.0.read_line(&mut answer).unwrap();
            // Sessions may end at any time.
            if !answer.starts_with(r#"{"say":"report""#) {
                return answer;
            }
        }
    }
}

#[test]
fn one_new_gate_at_a_time_and_none_that_is_too_old_for_the_state() {
    let mut scene = Scene::new(|_, setup| setup);
    let mut first = Asking::new(&scene);
    assert!(first.say("ask").contains("\"offer\""));
    let refused = scene.gate.ask_for_place().finish_within(PATIENCE);
    assert_eq!(refused.code(), Some(1));
    let log = scene.gate.log();
    assert!(
        log.contains("another new gate is being given this one's place"),
        "{log}"
    );
    drop(first);

    // What a gate of a later version left, which this one would put aside at a start.
    let file = scene.world.path("gate/state/known.json");
    let newer = r#"{"version":9,"people":["somebody"]}"#;
    fs::write(&file, newer).unwrap();
    wait_until("a refusal for what the file says", PATIENCE, || {
        let refused = scene.gate.ask_for_place().finish_within(PATIENCE);
        assert_eq!(refused.code(), Some(1));
        let log = scene.gate.log();
        // As long as the first one has not been found gone it is asked again.
        log.contains("known.json: it has format 9, of a newer gate")
            .then_some(())
    });
    assert_eq!(fs::read_to_string(&file).unwrap(), newer);
    let door = scene.gate.door(&scene.world);
    door.run(&scene.person, "true").ok();
    assert_eq!(scene.gate.owner(), scene.gate.pid());
    fs::remove_file(&file).unwrap();
    scene.gate.upgrade().finish_within(PATIENCE).ok();
    door.run(&scene.person, "true").ok();
    scene.gate.stop();
}

#[test]
fn a_signal_starts_the_new_program_and_systemd_hears_whose_the_place_is() {
    let mut listening = None;
    let scene = Scene::new(|world, setup| {
        let systemd = Systemd::listen(&world.path("notify"));
        let setup = systemd.setup(setup).variable("WATCHDOG_USEC", "2000000");
        listening = Some(systemd);
        setup
    });
    let mut systemd = listening.unwrap();
    systemd.wait("READY=1");
    let mut terminal = scene.terminal();
    let old = scene.gate.pid();
    scene.gate.signal(Signal::SIGUSR2);
    let new = wait_until("another process in the place", PATIENCE, || {
        let owner = scene.gate.owner();
        (owner != old).then_some(owner)
    });
    systemd.wait(&format!("MAINPID={new}"));
    systemd.wait("WATCHDOG=1");
    scene
        .gate
        .door(&scene.world)
        .run(&scene.person, "true")
        .ok();
    terminal.feed(b"still here\n");
    let ended = terminal.finish_within(PATIENCE).ok();
    assert!(ended.stdout.contains("<still here>"), "{ended}");
    scene.gate.wait_end();
    send(new, Signal::SIGTERM);
    wait_gone("the new gate", &[new], PATIENCE);
}
