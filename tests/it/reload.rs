//! The configuration read again under people at work: nothing of theirs is lost, what is asked for counts, and a file with
//! faults changes nothing and is told wherever an operator looks.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::streams::{EchoHub, ShellStream, SocketStream};
use crate::support::{Finished, Gate, GateSetup, Logins, Sshd, World, free_port, wait_until};

const PATIENT: Duration = Duration::from_secs(120);
/// Streams of each kind, and reloads under them.
const STREAMS: usize = 100;
const RELOADS: usize = 100;

impl Gate {
    fn text(&self) -> String {
        fs::read_to_string(&self.config).unwrap()
    }

    /// Writes the file and has the gate read it.
    fn reload_with(&self, text: &str) -> Finished {
        fs::write(&self.config, text).unwrap();
        self.cli(&["reload"])
    }

    fn status(&self) -> String {
        self.cli(&["status"]).ok().text().to_owned()
    }
}

#[test]
fn a_hundred_reloads_lose_nothing_of_two_hundred_streams() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    for sshd in &sshds {
        sshd.change_config("MaxSessions", "MaxSessions 200\n#");
    }
    let hubs = [EchoHub::start(), EchoHub::start()];
    let gate = GateSetup::default()
        .instance(&sshds[0].name, sshds[0].port, Some(hubs[0].port))
        .instance(&sshds[1].name, sshds[1].port, Some(hubs[1].port))
        .pool("capacity = 1000")
        .ssh("max_startups = 500\nconnect_timeout = \"20s\"")
        .https("")
        .start(&world);
    let door = gate.door(&world);
    let people = world.people(1..=40);
    let (rounds, turns) = (Rounds::default(), Arc::new(AtomicU64::new(0)));
    let mut streams = Vec::new();
    for number in 0..STREAMS {
        let mut shell = ShellStream::start(&door, &people[number % people.len()]);
        let mut socket = SocketStream::start(&world, gate.https_port);
        let (rounds, turns) = (rounds.clone(), turns.clone());
        streams.push(thread::spawn(move || {
            let mut round = 0;
            while rounds.wait_after(round) {
                round += 1;
                shell.turn();
                socket.turn();
                turns.fetch_add(1, Ordering::Relaxed);
            }
            shell.end();
            socket.end();
        }));
    }
    let text = gate.text();
    let began = gate.sessions().len();
    assert!(began >= STREAMS, "{began} sessions");
    let mut changes = 0;
    for round in 0..RELOADS {
        // The streams move while the gate reads its file.
        rounds.begin_another();
        let told = gate.reload_with(&another(&text, round)).ok();
        changes += usize::from(told.text().contains(" -> "));
        let all = u64::try_from((round + 1) * STREAMS).unwrap();
        wait_until("every stream to have moved", PATIENT, || {
            (turns.load(Ordering::Relaxed) == all).then_some(())
        });
    }
    assert_eq!(changes, RELOADS, "each reload changed something");
    rounds.end();
    for stream in streams {
        stream.join().unwrap();
    }
    let ends = gate.wait_audit("end", STREAMS);
    assert!(ends.len() >= STREAMS);
    gate.stop();
}

/// How many rounds have begun; `None` once there are no more.
#[derive(Clone)]
struct Rounds(Arc<(Mutex<Option<usize>>, Condvar)>);

impl Default for Rounds {
    fn default() -> Self {
        Self(Arc::new((Mutex::new(Some(0)), Condvar::new())))
    }
}

impl Rounds {
    /// Waits for a round after this one; false if there is none.
    fn wait_after(&self, round: usize) -> bool {
        let (begun, changed) = &*self.0;
        let begun = begun.lock().unwrap();
        let begun = changed.wait_while(begun, |begun| *begun == Some(round));
        begun.unwrap().is_some()
    }

    fn begin_another(&self) {
        self.change(|begun| begun.map(|begun| begun + 1));
    }

    fn end(&self) {
        self.change(|_| None);
    }

    fn change(&self, to: impl FnOnce(Option<usize>) -> Option<usize>) {
        let (begun, changed) = &*self.0;
        let mut begun = begun.lock().unwrap();
        *begun = to(*begun);
        changed.notify_all();
    }
}

/// The same file with something else each round: limits, placement, capacity, a pool, an address, certificates, policy.
fn another(text: &str, round: usize) -> String {
    let odd = round % 2 == 1;
    let capacity = format!("capacity = {}", 1000 + round);
    let mut text = text.replace("capacity = 1000", &capacity);
    text = text.replace(
        "max_startups = 500",
        &format!("max_startups = {}", 500 + round),
    );
    if odd {
        text = text.replace("default = true\n", "default = true\nplacement = \"pack\"\n");
        text.push_str("[pools.other.fleet]\nprovider = \"static\"\ninstances = [{ name = \"o1\", address = \"127.0.0.9\" }]\n");
    }
    if round.is_multiple_of(3) {
        let listen = "[ssh]\nlisten = [";
        let more = format!("[ssh]\nlisten = [\"127.0.0.1:{}\", ", free_port());
        text = text.replace(listen, &more);
    }
    if round.is_multiple_of(5) {
        text = text.replace(
            "[pools.main.ssh]\n",
            "[pools.main.ssh.policy]\nx11_forwarding = false\n[pools.main.ssh]\n",
        );
    }
    text
}

#[test]
fn what_is_changed_counts_and_what_is_gone_goes_gently() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("connect_timeout = \"20s\"")
        .start(&world);
    let people = world.people(1..=2);
    let door = gate.door(&world);
    let first = door.instance_of(&people[0]);
    let mut stays = ShellStream::start(&door, &people[0]);
    stays.turn();
    // Another address, which is served at once, and the old one no more.
    let text = gate.text();
    let (old, new) = (gate.ssh_port, free_port());
    let told = gate
        .reload_with(&text.replace(&old.to_string(), &new.to_string()))
        .ok();
    assert!(told.text().contains("ssh.listen: "), "{told}");
    assert!(told.text().contains("listeners open and close"), "{told}");
    world.trust_host(new, &world.path("gate_host_key"));
    let moved = crate::support::Door::gate(&world, new);
    assert_eq!(moved.instance_of(&people[0]), first, "affinity holds");
    assert!(
        TcpStream::connect(("127.0.0.1", old)).is_err(),
        "the old one is closed"
    );
    stays.turn();
    // The machine somebody is on leaves the list: they stay, nobody new comes, and it goes with the last of them.
    let text = gate.text();
    let listed = text
        .lines()
        .find(|line| line.contains(&format!("name = \"{first}\"")));
    let item = listed.expect("an instance has a line of its own");
    gate.reload_with(&text.replace(item, "")).ok();
    stays.turn();
    assert_ne!(moved.instance_of(&people[1]), first);
    let of = |name: &str| gate.instances().into_iter().find(|one| one["name"] == name);
    assert_eq!(of(&first).unwrap()["admin_state"], "draining");
    stays.end();
    wait_until("the machine to be forgotten", PATIENT, || {
        of(&first).is_none().then_some(())
    });
    // Another host key, and no password any more.
    let key = world.make_key("gate_host_key2");
    let text = gate.text().replace("gate_host_key\"", "gate_host_key2\"");
    gate.reload_with(&text).ok();
    fs::remove_file(world.known_hosts()).unwrap();
    world.trust_host(new, &key);
    moved.run(&people[1], "true").ok();
    gate.stop();
}

#[test]
fn a_file_with_faults_changes_nothing_and_is_told() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("connect_timeout = \"20s\"")
        .start(&world);
    let door = gate.door(&world);
    let person = world.person(1);
    let good = gate.text();
    for (what, bad, reason) in faulty(&good) {
        fs::write(&gate.config, bad).unwrap();
        // By the socket, since not every file tells any more where that is.
        let socket = world.path("gate/admin.sock");
        let told = gate.cli(&["reload", "--socket", socket.to_str().unwrap()]);
        assert_eq!(told.code(), Some(78), "{what}: {told}");
        assert!(told.stderr.contains(reason), "{what}: {told}");
        let status = gate
            .cli(&["status", "--socket", socket.to_str().unwrap()])
            .ok();
        assert!(status.text().contains(reason), "{what}: {status}");
        assert!(gate.log().contains(reason), "{what}: not in the log");
        let events = gate
            .cli(&["events", "--socket", socket.to_str().unwrap()])
            .ok();
        assert!(events.text().contains(reason), "{what}: {events}");
        door.run(&person, "true").ok();
    }
    fs::remove_file(&gate.config).unwrap();
    gate.hang_up();
    wait_until("a file that is gone to be told", PATIENT, || {
        gate.log().contains("cannot be read").then_some(())
    });
    door.run(&person, "true").ok();
    fs::write(&gate.config, &good).unwrap();
    let told = gate.cli(&["reload"]).ok();
    assert!(told.text().contains("nothing has changed"), "{told}");
    assert!(!gate.status().contains("was refused"), "{}", gate.status());
    gate.stop();
}

/// Files that nobody should run a gate with, and what each must be told with.
fn faulty(good: &str) -> Vec<(String, Vec<u8>, &'static str)> {
    let mut files = vec![
        ("empty".to_owned(), Vec::new(), "ssh.listen"),
        (
            "torn".to_owned(),
            good.as_bytes()[..good.len() / 2].to_vec(),
            "poolgate.toml:",
        ),
        ("binary".to_owned(), vec![0xff, 0xfe, 0, 7], "poolgate.toml"),
        (
            "a key file that is not there".to_owned(),
            good.replace("gate_host_key\"", "no_such_key\"")
                .into_bytes(),
            "no_such_key",
        ),
        (
            "an address that is not here".to_owned(),
            good.replacen("listen = [\"127.0.0.1:", "listen = [\"192.0.2.1:", 1)
                .into_bytes(),
            "ssh.listen: cannot listen on 192.0.2.1",
        ),
    ];
    // What the config's own tests know to be wrong, of every kind.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/invalid");
    for name in [
        "bare_duration",
        "capacity_zero",
        "duplicate_key",
        "host_keys_missing",
        "listen_host_name",
        "min_above_max",
        "no_pool",
        "not_toml",
        "number_for_address",
        "provider_unknown",
        "rise_fall",
        "several_faults",
        "size_unit",
        "two_defaults",
        "unclosed_list",
        "unknown_key",
        "unknown_section",
        "yaml_habit",
    ] {
        let text = fs::read(folder.join(format!("{name}.toml"))).unwrap();
        files.push((name.to_owned(), text, "poolgate.toml:"));
    }
    assert!(files.len() >= 20);
    files
}

#[test]
fn a_file_that_is_saved_is_read_by_itself() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).pool("capacity = 5").start(&world);
    let text = gate.text().replace("capacity = 5", "capacity = 6");
    let diff = world.path("gate/next.toml");
    fs::write(&diff, &text).unwrap();
    let told = gate
        .cli(&["check", "--diff", "--against", diff.to_str().unwrap()])
        .ok();
    assert!(
        told.text()
            .contains("pools.main.capacity: 6 -> 5  [at once]"),
        "{told}"
    );
    fs::write(&gate.config, &text).unwrap();
    let told = gate.cli(&["check", "--diff"]).ok();
    let expected = [
        "pools.main.capacity: 5 -> 6  [at once]",
        "nothing would change",
    ];
    assert!(
        expected.iter().any(|text| told.text().contains(text)),
        "{told}"
    );
    wait_until("the new capacity", PATIENT, || {
        (gate.instances()[0]["capacity"] == 6).then_some(())
    });
    let (_, metrics) = gate.admin("/metrics");
    assert!(
        metrics.contains("poolgate_config_reloads_total{outcome=\"taken\"} 1"),
        "{metrics}"
    );
    gate.stop();
}
