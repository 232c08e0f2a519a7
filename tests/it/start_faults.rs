//! A gate that cannot start says why in one line, and ends with 1.

use std::fs;
use std::net::TcpListener;

use crate::support::client::PATIENCE;
use crate::support::gate::poolgate;
use crate::support::{Finished, World, finish, free_port};

/// Starts a gate with a good config after `spoil` has changed something about the world or the config's text.
fn start(spoil: impl FnOnce(&World, String) -> String) -> Finished {
    let world = World::new();
    let folder = world.folder("gate");
    let text = format!(
        "state_dir = \"{folder}/state\"
[ssh]
listen = [\"127.0.0.1:{port}\"]
host_keys = [{host_key:?}]
user_ca = {user_ca:?}
[ssh.auth]
authorized_keys = [\"/home/%u/.ssh/authorized_keys\"]
[admin]
socket = \"{folder}/admin.sock\"
listen = \"127.0.0.1:{admin}\"
[audit]
file = \"{folder}/audit.jsonl\"
[pools.main]
default = true
[pools.main.fleet]
provider = \"static\"
instances = [{{ name = \"vm1\", address = \"127.0.0.1\", jupyter_port = \"off\" }}]
",
        folder = folder.display(),
        port = free_port(),
        admin = free_port(),
        host_key = world.path("gate_host_key"),
        user_ca = world.path("user_ca"),
    );
    let file = world.path("gate/poolgate.toml");
    fs::write(&file, spoil(&world, text)).unwrap();
    finish(poolgate().args(["serve", "-c"]).arg(&file), PATIENCE)
}

#[track_caller]
fn one_line_naming(finished: &Finished, what: &str) {
    assert_eq!(finished.code(), Some(1), "{finished}");
    // Log lines may come before it; what went wrong is one line, and the last.
    let complaint = finished.stderr.trim().lines().last().unwrap_or_default();
    assert!(
        complaint.contains(what),
        "{what} is not in the last line: {finished}"
    );
    assert!(!finished.stderr.contains("panicked"), "{finished}");
}

#[test]
fn a_missing_host_key() {
    let finished = start(|world, text| {
        fs::remove_file(world.path("gate_host_key")).unwrap();
        text
    });
    one_line_naming(&finished, "gate_host_key");
}

#[test]
fn a_host_key_that_is_none() {
    let finished = start(|world, text| {
        fs::write(world.path("gate_host_key"), "not a key\n").unwrap();
        text
    });
    one_line_naming(&finished, "gate_host_key");
}

#[test]
fn a_missing_authority() {
    let finished = start(|world, text| {
        fs::remove_file(world.path("user_ca")).unwrap();
        text
    });
    one_line_naming(&finished, "user_ca");
}

#[test]
fn an_unreadable_authority() {
    // Root may read every file, but nobody reads a folder.
    let finished = start(|world, text| {
        fs::remove_file(world.path("user_ca")).unwrap();
        fs::create_dir(world.path("user_ca")).unwrap();
        text
    });
    one_line_naming(&finished, "user_ca");
}

#[test]
fn a_busy_port() {
    for section in ["[ssh]", "[admin]"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = listener.local_addr().unwrap().to_string();
        let finished = start(|_, text| {
            let (before, after) = text.split_once(section).unwrap();
            let at = after.find("127.0.0.1:").unwrap();
            let end = at + after[at..].find('"').unwrap();
            format!("{before}{section}{}{busy}{}", &after[..at], &after[end..])
        });
        one_line_naming(&finished, &busy);
    }
}

#[test]
fn a_state_folder_that_cannot_be_made() {
    let finished = start(|world, text| {
        fs::write(world.path("gate/state"), "a file is in the way").unwrap();
        text
    });
    one_line_naming(&finished, "gate/state");
}

#[test]
fn a_missing_certificate() {
    let finished = start(|world, text| {
        format!(
            "{text}[https]\nlisten = [\"127.0.0.1:{}\"]\ncertificate = {:?}\nprivate_key = {:?}\n",
            free_port(),
            world.path("no-such.pem"),
            world.path("no-such.key")
        )
    });
    one_line_naming(&finished, "no-such.pem");
}
