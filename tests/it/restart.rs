//! A gate that is killed or stopped and started again: what it knew of people holds.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::client::{PATIENCE, Staying, client_script};
use crate::support::gate::rows;
use crate::support::{
    Door, Gate, GateSetup, HubScene, Logins, Person, Running, Sshd, World, wait_until,
};

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
    gate.stop();
}

#[test]
fn people_have_their_places_in_line_still() {
    let world = World::new();
    let mut sshd = Sshd::start(&world, "vm1", Logins::Certificates);
    let mut gate = GateSetup::over(std::slice::from_ref(&sshd))
        .pool("capacity = 1")
        .pool("affinity = \"1s\"")
        .ssh("login_grace = \"3m\"")
        .start(&world);
    let door = gate.door(&world);
    let come = |number: usize, run: &str| {
        let log = world.path(&format!("client-{number}-{run}"));
        Staying::start(&door, &world.person(number), log)
    };
    let mut first = come(1, "before");
    first.wait_told("seated");
    let mut waiting = Vec::new();
    for (number, place) in [(2, "next"), (3, "number 2"), (4, "number 3")] {
        let mut one = come(number, "before");
        one.wait_told(&format!("you are {place} in line"));
        waiting.push(one);
    }
    let line = queue(&gate);
    wait_in_file(&world, "queue.json", "person04");
    gate.kill_9();
    first.wait_cut_off();
    waiting.into_iter().for_each(Staying::wait_cut_off);

    // Nobody can be seated before all are back, the last of them first.
    sshd.kill_9();
    gate.start_again_alone();
    assert_eq!(queue(&gate), line, "before anybody is back");
    let mut fourth = come(4, "after");
    fourth.wait_told("waiting for one");
    let mut third = come(3, "after");
    third.wait_told("waiting for one");
    let mut second = come(2, "after");
    second.wait_told("waiting for one");
    assert_eq!(queue(&gate), line, "nobody lost a place by coming late");
    sshd.revive();
    second.wait_told("seated");
    third.wait_told("you are next in line");
    drop(second);
    third.wait_told("seated");
    assert!(!fourth.told().contains("seated"));
    drop(third);
    fourth.wait_told("seated");
    drop(fourth);
    let logins = gate.audit("login").into_iter();
    let people: Vec<_> = logins.map(|line| line["user"].clone()).collect();
    assert_eq!(people, ["person01", "person02", "person03", "person04"]);
    gate.stop();
}

/// Who stands in line, and since when to the second.
fn queue(gate: &Gate) -> Vec<(String, String)> {
    let told = gate.cli(&["queue", "-o", "json"]).ok();
    let rows = rows(&told.stdout).into_iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let whole_second = |since: String| since[..19].to_owned();
    rows.map(|row| (text(&row["user"]), whole_second(text(&row["since"]))))
        .collect()
}

#[test]
fn what_operators_decided_and_the_keys_of_instances_hold() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 3, Logins::Certificates);
    let mut gate = GateSetup::over(&sshds).start(&world);
    let door = gate.door(&world);
    for name in ["vm1", "vm2", "vm3"] {
        let mut ssh = wishing(&door, &world.person(1), name);
        Running::start(ssh.arg("true")).finish(PATIENCE).ok();
    }
    gate.cli(&["cordon", "vm1", "--reason", "a new disk"]).ok();
    gate.cli(&[
        "drain",
        "vm2",
        "--reason",
        "a new kernel",
        "--deadline",
        "2h",
    ])
    .ok();
    let decided = decisions(&gate);
    assert_eq!(decided[0]["admin_state"], "cordoned");
    assert_eq!(decided[1]["admin_state"], "draining");
    for reason in ["a new disk", "a new kernel"] {
        wait_in_file(&world, "controller/main.notes.json", reason);
    }
    gate.kill_9();
    sshds[2].replace_host_key(&world);
    gate.start_again(3);
    assert_eq!(decisions(&gate), decided);
    // The third is the only one that takes people, and it is not believed to be itself.
    let before = sshds[2].accepted().len();
    for number in 1..=3 {
        let mut ssh = wishing(&door, &world.person(number), "vm3");
        let refused = Running::start(ssh.arg("true")).finish(PATIENCE);
        assert_eq!(refused.code(), Some(255), "{refused}");
        assert!(refused.stderr.contains("host key"), "{refused}");
    }
    assert_eq!(sshds[2].accepted().len(), before, "nobody reached it");
    gate.cli(&["uncordon", "vm1", "--reason", "it has one"])
        .ok();
    assert_eq!(door.instance_of(&world.person(4)), "vm1");
    gate.stop();
}

/// What was decided about the instances, by whom and why.
fn decisions(gate: &Gate) -> Vec<Value> {
    let pick = |row: &Value| {
        let keys = ["name", "admin_state", "decided_by", "reason", "deadline"];
        keys.map(|key| (key.to_owned(), row[key].clone()))
    };
    let rows = gate.instances();
    let mut decided: Vec<Value> = rows
        .iter()
        .map(|row| pick(row).into_iter().collect())
        .collect();
    decided.sort_by_key(|row| row["name"].to_string());
    decided
}

#[test]
fn a_browser_goes_on_where_it_was() {
    let mut scene = HubScene::new();
    let mut browser = scene.visitor();
    browser.page("/");
    assert_eq!(browser.log_in("person09")["status"], 302);
    let home = scene.homes_of("person09")[0].to_owned();
    wait_in_file(&scene.world, "affinity.json", "person09");
    scene.gate.kill_9();
    scene.gate.start_again(2);
    for _ in 0..3 {
        let page = browser.page("/hub/home");
        assert_eq!(page["status"], 200, "no login is asked for: {page}");
        assert_eq!(page["path"], "/hub/home", "{page}");
    }
    assert_eq!(scene.homes_of("person09"), [home.as_str()]);
    let rows = scene.gate.sessions();
    let mut theirs = rows.iter().filter(|row| row["user"] == "person09");
    assert!(theirs.all(|row| row["instance"] == *home), "{rows:?}");
    let person = scene.world.person(9);
    assert_eq!(scene.gate.door(&scene.world).instance_of(&person), home);
}

/// The program of the fleet is at it when the gate is killed, and goes on by itself.
#[test]
fn a_removal_that_was_under_way_is_not_given_again() {
    let world = World::new();
    let sshd = Sshd::start(&world, "vm1", Logins::Certificates);
    let folder = world.folder("fleet");
    world.folder("fleet/machines");
    for name in ["m-1", "m-2"] {
        fs::write(folder.join("machines").join(name), "").unwrap();
    }
    let command = [client_script("slow_fleet.sh"), folder.clone()];
    let mut gate = GateSetup::default()
        .instance("m-1", sshd.port, None)
        .instance("m-2", sshd.port, None)
        .pool(&format!("ssh_port = {}\njupyter_port = \"off\"", sshd.port))
        .scaling("min = 1\nmax = 2\nheadroom = \"0 seats\"\nlearned_seats_max = 0")
        .scaling("idle = \"1s\"\nstabilise = \"0s\"\ncool_down = \"0s\"")
        .fleet(&format!(
            "provider = \"command\"\ncommand = {command:?}\ninterval = \"1s\"\ntimeout = \"5m\""
        ))
        .start(&world);
    let asked = |kind: &str| -> Vec<String> {
        let text = fs::read_to_string(folder.join("requests")).unwrap_or_default();
        let kind = format!("\"request\":\"{kind}\"");
        let of_kind = text.lines().filter(|line| line.contains(&kind));
        of_kind.map(str::to_owned).collect()
    };
    let removed = wait_until("a removal", Duration::from_secs(200), || {
        asked("remove").pop()
    });
    gate.kill_9();
    gate.start_again(2);
    let wait_rounds = |rounds: usize| {
        let before = asked("list").len();
        wait_until("the gate to look again", PATIENCE, || {
            (asked("list").len() >= before + rounds).then_some(())
        });
    };
    wait_rounds(8);
    assert_eq!(asked("remove"), std::slice::from_ref(&removed));
    let rows = gate.instances();
    let going: Vec<_> = rows
        .iter()
        .filter(|row| row["admin_state"] == "draining")
        .collect();
    assert_eq!(going.len(), 1, "{rows:?}");
    let name = going[0]["name"].as_str().unwrap().to_owned();
    assert!(removed.contains(&name), "{removed}");
    // Nobody is let on to it meanwhile.
    let door = gate.door(&world);
    let refused = Running::start(wishing(&door, &world.person(1), &name).arg("true"));
    assert_eq!(refused.finish(PATIENCE).code(), Some(255));
    fs::write(folder.join("go"), "").unwrap();
    wait_until("the machine to be gone", PATIENCE, || {
        (gate.instances().len() == 1).then_some(())
    });
    wait_rounds(8);
    assert_eq!(asked("remove"), [removed]);
    let left: Vec<_> = fs::read_dir(folder.join("machines")).unwrap().collect();
    assert_eq!(left.len(), 1);
    gate.stop();
}

fn wishing(door: &Door, person: &Person, instance: &str) -> std::process::Command {
    let mut ssh = door.ssh(person);
    ssh.args(["-l", &format!("{}%{instance}", person.name), "127.0.0.1"]);
    ssh
}

/// Waits until a file of the state folder has a word.
fn wait_in_file(world: &World, name: &str, word: &str) {
    let file = world.path("gate/state").join(name);
    wait_until(&format!("{word} in {name}"), PATIENCE, || {
        let text = fs::read_to_string(&file).ok()?;
        text.contains(word).then_some(())
    });
}

/// Waits until as many people are written down.
fn wait_written(world: &World, count: usize) {
    let file = world.path("gate/state/affinity.json");
    wait_until("people written down", Duration::from_secs(15), || {
        let text = fs::read_to_string(&file).ok()?;
        (text.matches("\"user\"").count() == count).then_some(())
    });
}
