//! What an instance learns of a person's address: in its sshd's log, by a PROXY header, and in a variable.

use std::fs;
use std::time::Duration;

use crate::support::client::{PATIENCE, host};
use crate::support::{
    GateSetup, Logins, Running, Sshd, World, finish, free_port, tool, wait_until,
};

/// Where the person connects from: another address than the gate's.
const FROM: [&str; 2] = ["-b", "127.0.0.7"];

/// A proxy in front of an instance that takes no connection without a header; what it saw is in `haproxy.log`.
fn header_reader(world: &World, target: u16) -> (Running, u16) {
    let port = free_port();
    let file = world.path("haproxy.cfg");
    let text = format!(
        "global\n  log stdout format raw local0\ndefaults\n  mode tcp\n  log global\n  timeout connect 5s\n\
         \x20 timeout client 1h\n  timeout server 1h\n  log-format \"from=%ci:%cp to=%fi:%fp\"\nfrontend front\n\
         \x20 bind 127.0.0.1:{port} accept-proxy\n  default_backend sshd\nbackend sshd\n  server sshd 127.0.0.1:{target}\n"
    );
    fs::write(&file, text).unwrap();
    let mut haproxy = tool("haproxy");
    haproxy.args(["-db", "-f"]).arg(&file);
    let log = fs::File::create(world.path("haproxy.log")).unwrap();
    (Running::start_logged(&mut haproxy, log), port)
}

#[test]
fn the_instances_log_names_the_persons_address_and_session() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let person = world.person(1);
    gate.door(&world).run_with(&person, &FROM, "true").ok();
    let login = &gate.wait_audit("login", 1)[0];
    let session = login["session"].as_str().unwrap();
    let id = format!("ID {}@127.0.0.7 session {session} SHA256:", person.name);
    assert!(sshds[0].log().contains(&id), "{id}: {}", sshds[0].log());
    gate.stop();
}

#[test]
fn a_proxy_header_precedes_everything_where_it_is_asked_for() {
    let world = World::new();
    let sshd = Sshd::start(&world, "vm1", Logins::Certificates);
    let (mut haproxy, port) = header_reader(&world, sshd.port);
    // Ready means that the probes are understood as well: nothing without a header gets through.
    let gate = GateSetup::default()
        .instance("vm1", port, None)
        .pool_ssh("client_address = \"proxy-v2\"")
        .start(&world);
    let finished = gate
        .door(&world)
        .run_with(&world.person(1), &FROM, "echo through")
        .ok();
    assert_eq!(finished.text(), "through");
    let seen = format!("to=127.0.0.1:{}", gate.ssh_port);
    let log = || fs::read_to_string(world.path("haproxy.log")).unwrap_or_default();
    wait_until("the proxy's line", Duration::from_secs(20), || {
        let log = log();
        let mut lines = log.lines();
        lines
            .any(|line| line.contains("from=127.0.0.7:") && line.contains(&seen))
            .then_some(())
    });
    gate.stop();
    assert!(haproxy.is_running());
}

#[test]
fn a_variable_holds_the_address_whatever_the_client_says() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    // Of those that the tests' instances accept.
    let gate = GateSetup::over(&sshds)
        .pool_ssh("client_address_env = \"TEST_CLIENT\"")
        .start(&world);
    let (door, person) = (gate.door(&world), world.person(1));
    let show = "echo $TEST_CLIENT $TEST_OTHER";
    let plain = door.run_with(&person, &FROM, show).ok();
    assert_eq!(plain.text(), "127.0.0.7");
    let lie = ["-o", "SetEnv=TEST_CLIENT=203.0.113.9 TEST_OTHER=kept"];
    let told = door
        .run_with(&person, &[&FROM[..], &lie].concat(), show)
        .ok();
    assert_eq!(told.text(), "127.0.0.7 kept");
    // A shell with a terminal, and data that begins right behind the request.
    let mut ssh = door.ssh(&person);
    ssh.args(FROM).arg("-tt").arg(host(&person)).arg(show);
    let shell = finish(&mut ssh, PATIENCE).ok();
    assert_eq!(shell.text(), "127.0.0.7", "{shell}");
    let piped = door.run_with(
        &person,
        &FROM,
        "head -c 300000 /dev/zero | wc -c; echo $TEST_CLIENT",
    );
    assert_eq!(piped.ok().text(), "300000\n127.0.0.7");
    // A subsystem.
    let mut sftp = tool("sftp");
    sftp.args(door.options(&person)).args(["-b", "/dev/null"]);
    finish(sftp.arg(host(&person)), PATIENCE).ok();
    gate.stop();
}
