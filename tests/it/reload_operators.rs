//! What operators themselves have, changed by a reload: the socket, tokens, names, figures, the provider of accounts, the audit log, the
//! log; and what is told of a key that waits for a restart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::gate::poolgate;
use crate::support::http::{Asked, TOKEN_LINE};
use crate::support::streams::ShellStream;
use crate::support::{Gate, GateSetup, Logins, Sshd, World, finish, wait_until};

const PATIENT: Duration = Duration::from_secs(60);

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_operators_side_moves_and_changes_under_a_session() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("connect_timeout = \"20s\"")
        .start(&world);
    let (door, person) = (gate.door(&world), world.person(1));
    let mut stays = ShellStream::start(&door, &person);
    let old_socket = gate.socket();
    let text = gate.text();

    // Another socket: who asked at the old one has the answer, and the old one is gone.
    let moved = text.replace("/admin.sock", "/run/other.sock");
    fs::write(&gate.config, &moved).unwrap();
    let told = gate.cli(&["reload", "--socket", old_socket.to_str().unwrap()]);
    assert!(told.ok().text().contains("admin.socket: "));
    let new_socket = world.path("gate/run/other.sock");
    assert!(new_socket.exists());
    wait_until("the old socket to be gone", PATIENT, || {
        (!old_socket.exists()).then_some(())
    });
    gate.cli(&["status"]).ok();
    stays.turn();

    // Other tokens, names and figures.
    let other = world.path("gate/other.tokens");
    fs::write(&other, TOKEN_LINE).unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let asked = |token: Option<&'static str>, path: &'static str| {
        let asked = Asked {
            method: "GET",
            path,
            token,
            body: "",
        };
        asked.send(gate.admin_port).unwrap().0
    };
    assert_eq!(asked(None, "/metrics"), 200);
    let closed = moved.replace("/admin.tokens", "/other.tokens").replace(
        "[audit]",
        "metrics = \"token\"\nhosts = [\"ops.example\"]\n[audit]",
    );
    let told = gate.reload_with(&closed).ok();
    for key in ["admin.tokens_file", "admin.metrics", "admin.hosts"] {
        assert!(told.text().contains(key), "{told}");
    }
    assert!(!told.text().contains("restart"), "{told}");
    assert_eq!(asked(None, "/metrics"), 401);
    assert_eq!(gate.admin("/metrics").0, 200);
    fs::remove_file(world.path("gate/admin.tokens")).unwrap();
    assert_eq!(gate.admin("/api/v1/pools").0, 200, "by the other file");

    // A provider of accounts, which nobody answers for.
    let by_provider = format!(
        "{closed}\n[admin.oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"x\"\nroles.viewer = [\"*\"]\n"
    );
    assert_eq!(asked(None, "/login/oidc?next=/"), 404);
    gate.reload_with(&by_provider).ok();
    assert_eq!(asked(None, "/login/oidc?next=/"), 503);

    another_place_of_logs(&world, &gate, &by_provider);
    stays.turn();
    stays.end();
    gate.stop();
}

/// Another audit log, and another form and place of the log.
fn another_place_of_logs(world: &World, gate: &Gate, text: &str) {
    let old_audit = world.path("gate/audit.jsonl");
    let (door, person) = (gate.door(world), world.person(1));
    let log = world.path("gate/own.log");
    let elsewhere = text.replace("audit.jsonl", "deep/other.jsonl").replace(
        "[log]",
        &format!("[log]\nformat = \"json\"\nfile = {log:?}"),
    );
    let before = lines(&old_audit).len();
    let told = gate.reload_with(&elsewhere).ok();
    for key in ["audit.file", "log.format", "log.file"] {
        assert!(told.text().contains(key), "{told}");
    }
    door.run(&person, "true").ok();
    let new_audit = world.path("gate/deep/other.jsonl");
    wait_until("the login in the new audit log", PATIENT, || {
        let lines = lines(&new_audit);
        lines
            .iter()
            .any(|line| line["event"] == "login")
            .then_some(())
    });
    let told_of_it = |line: &Value| line["event"] == "login";
    let later = lines(&old_audit).split_off(before);
    assert!(!later.iter().any(told_of_it), "{later:?}");
    wait_until("the new log", PATIENT, || {
        (!lines(&log).is_empty()).then_some(())
    });
}

fn wait_capacity(gate: &Gate, capacity: u32) {
    wait_until("the new capacity", PATIENT, || {
        (gate.instances()[0]["capacity"] == capacity).then_some(())
    });
}

#[test]
fn what_waits_for_a_restart_is_said_and_all_else_counts() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).pool("capacity = 5").start(&world);
    let text = gate.text();
    let next = text
        .replace("/state\"", "/elsewhere\"")
        .replace("capacity = 5", "capacity = 6");
    fs::write(&gate.config, &next).unwrap();
    let words = "state_dir: ";
    let diff = gate.cli(&["check", "--diff"]);
    let told = gate.cli(&["reload"]);
    for said in [diff.ok(), told.ok()] {
        let line = said.text().lines().find(|line| line.starts_with(words));
        let line = line.unwrap_or_else(|| panic!("{said}")).to_owned();
        assert!(line.contains("not before a restart"), "{line}");
    }
    wait_capacity(&gate, 6);
    assert!(!world.path("gate/elsewhere").exists());
    assert!(world.path("gate/state/gate.lock").exists());
    // It is said again until then, and not when it is taken back.
    let again = gate.cli(&["reload"]).ok();
    assert!(again.text().contains(words), "{again}");
    let back = next.replace("/elsewhere\"", "/state\"");
    let told = gate.reload_with(&back).ok();
    assert!(told.text().contains("nothing has changed"), "{told}");
    gate.stop();
}

#[test]
fn a_file_that_is_not_to_be_read_by_itself_is_not_until_it_is() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .root("reload_on_change = false")
        .pool("capacity = 5")
        .start(&world);
    let text = gate.text();
    let quiet = text.replace("capacity = 5", "capacity = 6");
    gate.reload_with(&quiet).ok();
    wait_capacity(&gate, 6);
    let heard = quiet.replace("reload_on_change = false", "");
    gate.reload_with(&heard).ok();
    fs::write(&gate.config, heard.replace("capacity = 6", "capacity = 7")).unwrap();
    wait_capacity(&gate, 7);
    gate.stop();
}

/// A command that asks a gate whose socket the file does not tell any more is told how to reach it.
#[test]
fn a_socket_that_nobody_answers_is_told_with_what_to_do() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .root("reload_on_change = false")
        .start(&world);
    let moved = gate.text().replace("/admin.sock", "/other.sock");
    fs::write(&gate.config, &moved).unwrap();
    let mut asked = poolgate();
    asked.args(["reload", "-c"]).arg(&gate.config);
    let told = finish(&mut asked, PATIENT);
    assert_eq!(told.code(), Some(1), "{told}");
    let words = format!("kill -HUP {}", gate.pid());
    assert!(told.stderr.contains(&words), "{told}");
    gate.hang_up();
    wait_until("the new socket", PATIENT, || {
        gate.cli(&["status"]).status.success().then_some(())
    });
    gate.stop();
}
