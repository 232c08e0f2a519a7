//! A gate that is killed or stopped and started again: what it knew of people holds.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{Door, Gate, GateSetup, Logins, Person, Running, Sshd, World, wait_until};

#[test]
fn a_gate_killed_with_9_sends_people_back_where_they_were() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let mut gate = GateSetup::over(&sshds).start(&world);
    let door = gate.door(&world);
    // All on one of two: policy alone would spread them.
    let people = world.people(1..=6);
    for person in &people {
        let mut ssh = wishing(&door, person, "vm2");
        Running::start(ssh.arg("true")).finish(Duration::MAX).ok();
    }
    let stays = world.person(7);
    let mut ssh = wishing(&door, &stays, "vm2");
    let staying = Running::start_with_stdin(ssh.arg("read -r line").stdin(Stdio::piped()));
    gate.wait_sessions(1);

    wait_written(&world, 7);
    gate.kill_9();
    let lost = staying.finish(Duration::MAX);
    assert_eq!(lost.code(), Some(255), "{lost}");
    gate.start_again(2);
    for person in people.iter().chain([&stays]) {
        assert_eq!(door.instance_of(person), "vm2", "{}", person.name);
    }
    spoilt_is_set_aside(&world, &mut gate);
    // Nothing is known now: they spread.
    let landed: Vec<String> = people.iter().map(|one| door.instance_of(one)).collect();
    assert!(landed.contains(&"vm1".to_owned()), "{landed:?}");
    gate.stop();
}

fn spoilt_is_set_aside(world: &World, gate: &mut Gate) {
    let file = world.path("gate/state/affinity.json");
    gate.kill_9();
    fs::write(&file, "{\"version\":1,\"people\":[{\"us").unwrap();
    gate.start_again(2);
    let log = gate.log();
    let told = log
        .lines()
        .find(|line| line.contains("affinity.json.broken-"));
    let told = told.unwrap_or_else(|| panic!("nothing is said of the file: {log}"));
    assert!(told.contains("put aside"), "{told}");
}

fn wishing(door: &Door, person: &Person, instance: &str) -> std::process::Command {
    let mut ssh = door.ssh(person);
    ssh.args(["-l", &format!("{}%{instance}", person.name), "127.0.0.1"]);
    ssh
}

/// Waits until as many people are written down.
fn wait_written(world: &World, count: usize) {
    let file = world.path("gate/state/affinity.json");
    wait_until("people written down", Duration::from_secs(15), || {
        let text = fs::read_to_string(&file).ok()?;
        (text.matches("\"user\"").count() == count).then_some(())
    });
}
