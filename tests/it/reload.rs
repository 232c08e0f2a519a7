//! The configuration read again under people at work: nothing of theirs is lost, and what is asked for counts.

use std::fs;
use std::net::TcpStream;
use std::process::Stdio;
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
    pub fn text(&self) -> String {
        fs::read_to_string(&self.config).unwrap()
    }

    /// Writes the file and has the gate read it.
    pub fn reload_with(&self, text: &str) -> Finished {
        fs::write(&self.config, text).unwrap();
        self.cli(&["reload"])
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

fn item(name: &str, port: u16) -> String {
    format!(
        "{{ name = \"{name}\", address = \"127.0.0.1\", ssh_port = {port}, jupyter_port = \"off\" }}"
    )
}

/// A pool that is left out goes when nobody is on it, and an instance under another name is another one.
#[test]
fn what_people_are_on_goes_with_them_or_is_another_machine() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let (one, two, three) = (sshds[0].port, sshds[1].port, sshds[2].port);
    let gpu = format!(
        "[pools.gpu.fleet]\nprovider = \"static\"\ninstances = [{}]\n",
        item("g1", two)
    );
    let fleet = format!("provider = \"static\"\ninstances = [{}]\n", item("m1", one));
    let gate = GateSetup::over(&sshds[..2])
        .ssh("connect_timeout = \"20s\"")
        .fleet(&format!("{fleet}{gpu}"))
        .start(&world);
    let text = gate.text();
    let door = gate.door(&world);
    let on_gpu = |number: usize| {
        let person = world.person(number);
        let mut ssh = door.ssh(&person);
        ssh.arg(format!("{}+gpu@127.0.0.1", person.name)).arg("cat");
        crate::support::Running::start_with_stdin(ssh.stdin(Stdio::piped()))
    };
    let mut stays = on_gpu(1);
    gate.wait_sessions(1);
    let without = text.replace(&gpu, "");
    gate.reload_with(&without).ok();
    let pools = || gate.admin("/api/v1/pools").1;
    assert!(pools().contains("\"gpu\""), "somebody is on it");
    let refused = on_gpu(2).finish(PATIENT);
    assert_ne!(refused.code(), Some(0), "{refused}");
    stays.feed(b"still here");
    stays.close_stdin();
    assert_eq!(stays.finish(PATIENT).ok().text(), "still here");
    wait_until("the pool to be forgotten", PATIENT, || {
        (!pools().contains("\"gpu\"")).then_some(())
    });

    // Under another name, with somebody on it: the old one drains beside the new one, which is the same machine.
    let mut stays = ShellStream::start(&door, &world.person(1));
    stays.turn();
    gate.reload_with(&without.replace("\"m1\"", "\"m2\"")).ok();
    stays.turn();
    let states = || {
        let rows = gate.instances();
        let state = |row: &serde_json::Value| (row["name"].clone(), row["admin_state"].clone());
        rows.iter().map(state).collect::<Vec<_>>()
    };
    let expected = [
        ("m1".into(), "draining".into()),
        ("m2".into(), "ready".into()),
    ];
    assert_eq!(states(), expected);
    stays.end();
    wait_until("the old name to be forgotten", PATIENT, || {
        (states().len() == 1).then_some(())
    });
    another_port_and_another_address(&gate, &world, (one, three));
    gate.stop();
}

/// Another port and another address count for those who come from then on; whoever is there stays.
fn another_port_and_another_address(gate: &Gate, world: &World, (one, three): (u16, u16)) {
    let mut stays = ShellStream::start(&gate.door(world), &world.person(1));
    let moved = format!("ssh_port = {three}");
    let told = gate.reload_with(&gate.text().replace(&format!("ssh_port = {one}"), &moved));
    assert!(told.ok().text().contains("pools.main.fleet.instances.m2"));
    wait_until("the new port", PATIENT, || {
        (gate.instances()[0]["ssh_port"] == three).then_some(())
    });
    stays.turn();
    let text = gate.text();
    let elsewhere = text.replace("127.0.0.1\", ssh_port", "127.0.0.2\", ssh_port");
    gate.reload_with(&elsewhere).ok();
    wait_until("the new address", PATIENT, || {
        (gate.instances()[0]["address"] == "127.0.0.2").then_some(())
    });
    stays.turn();
    stays.end();
}
