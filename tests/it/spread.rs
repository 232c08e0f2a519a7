//! People spread evenly, also when they all arrive at once.

use std::collections::BTreeMap;
use std::process::Stdio;

use crate::support::client::{PATIENCE, host};
use crate::support::{Door, GateSetup, Logins, Person, Running, Sshd, World};

#[test]
fn thirty_people_at_once_land_ten_on_each_of_three() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let people = world.people(1..=30);
    let gate = GateSetup::over(&sshds).pool("capacity = 30").start(&world);
    let door = gate.door(&world);

    // They stay, so that all thirty are there together.
    let stay = |person| stay(&door, person);
    let mut sessions: Vec<Running> = people.iter().map(stay).collect();
    gate.wait_sessions(30);

    for instance in gate.instances() {
        assert_eq!(instance["sessions"], 10, "{instance}");
    }
    sessions.iter_mut().for_each(Running::close_stdin);
    assert_eq!(landed(sessions), ten_each());
    for sshd in &sshds {
        assert_eq!(
            sshd.accepted().len(),
            10,
            "logins that {} accepted",
            sshd.name
        );
    }
    gate.wait_sessions(0);
    assert_eq!(gate.wait_audit("end", 30).len(), 30);
    gate.stop();
}

#[test]
fn a_full_pool_refuses_and_says_so() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .pool("capacity = 1")
        .ssh("queue_time = \"2s\"")
        .start(&world);
    let door = gate.door(&world);
    let held: Vec<Running> = world
        .people(1..=2)
        .iter()
        .map(|person| {
            let mut ssh = door.ssh(person);
            ssh.arg(host(person)).arg("read -r line");
            Running::start_with_stdin(ssh.stdin(Stdio::piped()))
        })
        .collect();
    gate.wait_sessions(2);

    let refused = door.run(&world.person(3), "true");
    assert_eq!(refused.code(), Some(255), "{refused}");
    assert!(refused.stderr.contains("full"), "it says why: {refused}");
    let lines = gate.wait_audit("refused", 1);
    assert_eq!(lines[0]["user"], "person03", "{lines:?}");

    drop(held);
    gate.wait_sessions(0);
    door.run(&world.person(3), "true").ok();
    gate.stop();
}

#[test]
fn people_who_leave_before_the_next_comes_are_spread_too() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let mut landed: BTreeMap<String, usize> = BTreeMap::new();
    for person in world.people(1..=9) {
        let instance = gate.door(&world).instance_of(&person);
        *landed.entry(instance).or_default() += 1;
    }
    // Each belongs to their instance from then on: that is what the next one's choice has to reckon with.
    let expected = ["vm1", "vm2", "vm3"].map(|name| (name.to_owned(), 3));
    assert_eq!(landed, BTreeMap::from(expected));
    gate.stop();
}

#[test]
fn thirty_short_logins_at_once_land_ten_on_each_of_three() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let people = world.people(1..=30);
    let gate = GateSetup::over(&sshds).start(&world);
    let door = gate.door(&world);
    let start = |person| {
        let mut ssh = door.ssh(person);
        Running::start(ssh.arg(host(person)).arg("echo $POOLGATE_INSTANCE"))
    };
    assert_eq!(landed(people.iter().map(start).collect()), ten_each());
    gate.stop();
}

#[test]
fn whoever_finds_eight_seats_taken_on_each_of_three_lands_evenly_too() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let people = world.people(1..=30);
    let gate = GateSetup::over(&sshds).pool("capacity = 8").start(&world);
    let door = gate.door(&world);
    let stay = |person| stay(&door, person);
    let mut sessions: Vec<Running> = people.iter().map(stay).collect();
    gate.wait_sessions(24);
    sessions.iter_mut().for_each(Running::close_stdin);
    assert_eq!(landed(sessions), ten_each());
    gate.stop();
}

/// A session that says where it is and lasts until its standard input closes.
fn stay(door: &Door, person: &Person) -> Running {
    let mut ssh = door.ssh(person);
    ssh.arg(host(person))
        .arg("echo $POOLGATE_INSTANCE; read -r line");
    Running::start_with_stdin(ssh.stdin(Stdio::piped()))
}

/// How many sessions were on which instance.
fn landed(sessions: Vec<Running>) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for session in sessions {
        let finished = session.finish(PATIENCE);
        *counts.entry(finished.text().to_owned()).or_default() += 1;
    }
    counts
}

fn ten_each() -> BTreeMap<String, usize> {
    BTreeMap::from(["vm1", "vm2", "vm3"].map(|name| (name.to_owned(), 10)))
}
