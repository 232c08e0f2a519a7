//! An instance dies or hangs: logins go elsewhere, other people's transfers go on.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::client::{PATIENCE, quoted};
use crate::support::proc::{descendants, send, written_bytes};
use crate::support::{
    Door, Gate, GateSetup, Logins, Person, Running, Sshd, World, tool, wait_until,
};

/// From here on nobody may be sent to a dead instance.
const NOTICED: Duration = Duration::from_secs(10);
/// A login that runs into it is placed again within this time; the rest of a login comes on top.
const PLACED_AGAIN: Duration = Duration::from_secs(5);
const LOGIN: Duration = Duration::from_secs(3);
const GIB: u64 = 1 << 30;

/// New people log in one after the other until the gate calls `dead` down, and some more after that.
fn log_in_through_an_outage(gate: &Gate, world: &World, dead: &str) {
    let door = gate.door(world);
    let began = Instant::now();
    let mut early = world.people(2..=35).into_iter();
    let is_down = || {
        let rows = gate.instances();
        rows.iter()
            .any(|row| row["name"] == dead && row["health"] == "down")
    };
    wait_until("the dead instance to be down", NOTICED, || {
        // On a quick machine they all come before the outage is noticed.
        if let Some(person) = early.next() {
            log_in_elsewhere(&door, &person, dead);
        }
        is_down().then_some(())
    });
    assert!(
        began.elapsed() < NOTICED,
        "noticed after {:?}",
        began.elapsed()
    );
    let before = gate.audit("login").len();
    let late = world.people(36..=40);
    for person in &late {
        log_in_elsewhere(&door, person, dead);
    }
    let lines = gate.wait_audit("login", before + late.len());
    for line in &lines[before..] {
        assert_ne!(
            line["instance"], dead,
            "placed on an instance known to be down: {line}"
        );
    }
}

fn log_in_elsewhere(door: &Door, person: &Person, dead: &str) {
    let finished = door.run(person, "echo $POOLGATE_INSTANCE").ok();
    assert_ne!(finished.text(), dead);
    assert!(
        finished.took < PLACED_AGAIN + LOGIN,
        "a login took {:?}",
        finished.took
    );
}

#[test]
fn logins_that_hit_a_killed_instance_are_placed_again() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    sshds[0].kill_9();
    log_in_through_an_outage(&gate, &world, "vm1");

    sshds[0].revive();
    wait_until("the revived instance to be up", NOTICED, || {
        let rows = gate.instances();
        rows.iter().all(|row| row["health"] == "up").then_some(())
    });
    gate.stop();
}

#[test]
fn logins_that_hit_a_hanging_instance_are_placed_again() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    // Its kernel still accepts connections; nobody says anything on them.
    send(sshds[0].pid(), Signal::SIGSTOP);
    log_in_through_an_outage(&gate, &world, "vm1");
    send(sshds[0].pid(), Signal::SIGCONT);
    gate.stop();
}

/// A GiB down and a GiB up by one person on one instance, each digested where it arrives.
struct Transfers {
    down: Running,
    up: Running,
}

impl Transfers {
    fn start(mut ssh: impl FnMut(&str) -> Command) -> Self {
        let digest = "openssl dgst -sha256 -r";
        let down = quoted_command(&ssh(&stream("down")));
        let up = quoted_command(&ssh(digest));
        Self {
            down: Running::start(&mut shell(&format!("{down} | {digest}"))),
            up: Running::start(&mut shell(&format!("{} | {up}", stream("up")))),
        }
    }

    fn wait_under_way(&self) {
        let written = |sh: &Running| -> u64 {
            let below = descendants(sh.pid());
            below.into_iter().filter_map(written_bytes).sum()
        };
        wait_until("the transfers to be under way", PATIENCE, || {
            let both = [&self.down, &self.up].map(written);
            both.iter().all(|bytes| *bytes > 64 << 20).then_some(())
        });
    }

    /// The digests of what came down and what came up.
    fn digests(self) -> [String; 2] {
        let long = Duration::from_secs(300);
        [self.down, self.up].map(|one| first_word(one.finish(long).ok().text()))
    }
}

#[test]
fn people_on_a_dying_instance_are_told_and_those_on_others_lose_no_byte() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    // Everybody renews keys at amounts of their own: the instance, the gate on both legs, the client.
    sshds[1].kill_9();
    sshds[1].add_config("RekeyLimit", "80M");
    sshds[1].revive();
    let setup = GateSetup::over(&sshds).ssh("rekey_bytes = \"48 MiB\"");
    let gate = setup.start(&world);
    let door = gate.door(&world);
    let on = |number: usize, instance: &str, command: &str| {
        let person = world.person(number);
        let mut ssh = door.ssh(&person);
        ssh.args(["-o", "RekeyLimit=64M", "-l"]);
        ssh.args([&format!("{}%{instance}", person.name), "127.0.0.1", command]);
        ssh
    };
    let expected = first_word(
        Running::start(&mut shell(&stream("sum")))
            .finish(PATIENCE)
            .ok()
            .text(),
    );

    let lost = Running::start(&mut on(1, "vm1", "sleep 600"));
    let transfers = Transfers::start(|command| on(2, "vm2", command));
    gate.wait_sessions(3);
    transfers.wait_under_way();
    sshds[0].kill_9();

    let lost = lost.finish(PATIENCE);
    assert_eq!(
        lost.code(),
        Some(255),
        "the session on the dead instance ends: {lost}"
    );
    assert!(!lost.stderr.is_empty(), "its person is told something");
    assert_eq!(
        transfers.digests(),
        [expected.clone(), expected],
        "1 GiB down, 1 GiB up"
    );
    gate.wait_sessions(0);
    let ends = gate.wait_audit("end", 3);
    let most = |field: &str| {
        ends.iter()
            .filter_map(|line| line[field].as_u64())
            .max()
            .unwrap()
    };
    assert!(
        most("bytes_in") >= GIB && most("bytes_out") >= GIB,
        "{ends:?}"
    );
    gate.stop();
}

/// A shell line that makes one and the same GiB of noise every time; `sum` digests it as well.
fn stream(what: &str) -> String {
    let noise = "openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff \
                 -iv 00000000000000000000000000000000 -in /dev/zero 2>/dev/null";
    let sum = if what == "sum" {
        "| openssl dgst -sha256 -r"
    } else {
        ""
    };
    format!("{noise} | head -c {GIB} {sum}")
}

fn shell(line: &str) -> Command {
    let mut shell = tool("sh");
    shell.args(["-c", line]);
    shell
}

fn first_word(text: &str) -> String {
    text.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn quoted_command(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    quoted(
        &words
            .map(|word| word.to_str().unwrap().to_owned())
            .collect::<Vec<_>>(),
    )
}

#[test]
fn a_person_whose_instance_died_is_placed_on_another() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let door = gate.door(&world);
    let person = world.person(1);
    let home = door.instance_of(&person);
    let dead = sshds.iter_mut().find(|sshd| sshd.name == home).unwrap();
    dead.kill_9();
    let finished = door.run(&person, "echo $POOLGATE_INSTANCE").ok();
    assert_ne!(finished.text(), home);
    assert!(finished.took < PLACED_AGAIN + LOGIN, "{finished}");
    assert_eq!(
        gate.audited_instances(&person.name)
            .last()
            .map(String::as_str),
        Some(finished.text())
    );
    gate.stop();
}
