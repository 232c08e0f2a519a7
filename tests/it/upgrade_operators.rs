//! What operators have under way when a newer gate takes the place: a drain, its deadline, and whoever waits for its end.

use std::process::Stdio;

use crate::support::client::{PATIENCE, host};
use crate::support::gate::poolgate;
use crate::support::streams::ShellStream;
use crate::support::{Gate, GateSetup, Logins, Running, Sshd, World, wait_until};

fn instance(gate: &Gate, name: &str) -> serde_json::Value {
    let mut rows = gate.instances();
    rows.retain(|row| row["name"] == name);
    rows.remove(0)
}

fn sessions_on(gate: &Gate, name: &str) -> usize {
    let sessions = gate.sessions().into_iter();
    sessions.filter(|one| one["instance"] == name).count()
}

#[test]
fn a_drain_goes_on_as_it_was_and_whoever_waits_for_it_is_told_of_its_end() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let mut gate = GateSetup::over(&sshds).start(&world);
    let (stays, comes) = (world.person(1), world.person(2));
    let mut shell = ShellStream::start(&gate.door(&world), &stays);
    gate.wait_sessions(1);
    let name = gate.sessions()[0]["instance"].as_str().unwrap().to_owned();
    let mut command = poolgate();
    command.args(["drain", &name, "--reason", "a new kernel"]);
    command
        .args(["--deadline", "2h", "--wait", "-c"])
        .arg(&gate.config);
    let mut draining = Running::start(&mut command);
    let decided = |gate: &Gate| {
        let row = instance(gate, &name);
        ["admin_state", "decided_by", "reason", "deadline"].map(|key| row[key].clone())
    };
    wait_until("the drain", PATIENCE, || {
        (decided(&gate)[0] == "draining").then_some(())
    });
    let before = decided(&gate);
    assert!(before[3].is_string(), "{before:?}");

    let old = gate.upgrade();
    assert_eq!(decided(&gate), before);
    // One more order, at the gate that has the place by now, leaves the deadline that people were told of.
    gate.cli(&["drain", &name, "--reason", "a new kernel"]).ok();
    assert_eq!(decided(&gate), before);
    let door = gate.door(&world);
    assert_ne!(door.instance_of(&comes), name, "nobody new is sent there");
    assert_eq!(door.instance_of(&stays), name, "who is there comes back");
    wait_until("the session at the older gate alone", PATIENCE, || {
        (sessions_on(&gate, &name) == 1).then_some(())
    });
    shell.turn();
    assert!(draining.is_running(), "somebody is there");
    shell.end();
    let done = draining.finish_within(PATIENCE).ok();
    assert!(done.text().ends_with("no session is left"), "{done}");
    old.finish_within(PATIENCE).ok();
    gate.stop();
}

#[test]
fn a_drains_deadline_ends_sessions_at_the_older_gate_too() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let mut gate = GateSetup::over(&sshds).start(&world);
    let person = world.person(1);
    let mut ssh = gate.door(&world).ssh(&person);
    ssh.args(["-tt", &host(&person), "read -r line"]);
    let terminal = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    gate.wait_sessions(1);
    let drain = [
        "drain",
        "vm1",
        "--reason",
        "moving out",
        "--deadline",
        "20s",
    ];
    gate.cli(&drain).ok();
    let old = gate.upgrade();
    let ended = terminal.finish_within(PATIENCE);
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(
        said.contains("the time to leave vm1 is over: moving out"),
        "{ended}"
    );
    old.finish_within(PATIENCE).ok();
    gate.wait_sessions(0);
    gate.stop();
}
