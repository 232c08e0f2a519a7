//! How busy instances are, asked of real sshd and of an agent: figures, what closes an instance, and one kept connection.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::client::PATIENCE;
use crate::support::{Gate, GateSetup, Logins, Sshd, World, finish, free_port, tool, wait_until};

const LONG: Duration = Duration::from_secs(30);
/// An account of the instances that nobody logs in as.
const ACCOUNT: &str = "person40";

fn by_ssh(sshds: &[Sshd]) -> GateSetup {
    GateSetup::over(sshds)
        .pool(&format!("load.source = \"ssh:{ACCOUNT}\""))
        .pool("load.interval = \"1s\"")
}

fn row(gate: &Gate, name: &str) -> Value {
    let rows = gate.instances();
    rows.into_iter().find(|row| row["name"] == name).unwrap()
}

fn wait_row(gate: &Gate, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_until(&format!("{name} to be {what}"), LONG, || {
        Some(row(gate, name)).filter(&is_so)
    })
}

fn mount(arguments: &[&str], folder: &Path) {
    let mut mount = tool("mount");
    finish(mount.args(arguments).arg(folder), PATIENCE).ok();
}

#[test]
fn instances_tell_their_load_over_one_kept_connection_each() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    let gate = by_ssh(&sshds).start(&world);
    for name in ["vm1", "vm2"] {
        let told = wait_row(&gate, name, "measured", |row| !row["measured"].is_null());
        let measured = &told["measured"];
        assert!(measured["cpu_percent"].is_u64(), "{told}");
        assert!(
            measured["memory_percent"].as_u64().unwrap() <= 100,
            "{told}"
        );
        assert_eq!(measured["closed"], Value::Null);
    }
    wait_until("some looks", LONG, || {
        let (_, metrics) = gate.admin("/metrics");
        let looks = metrics
            .lines()
            .find_map(|line| line.strip_prefix("poolgate_load_probes_total{outcome=\"ok\"} "))?;
        let is_told =
            metrics.contains("poolgate_instance_measured_ratio{pool=\"main\",instance=\"vm1\"}");
        (looks.parse::<u32>().unwrap() >= 6 && is_told).then_some(())
    });
    for sshd in &sshds {
        let own = sshd
            .accepted()
            .iter()
            .filter(|name| *name == ACCOUNT)
            .count();
        assert_eq!(own, 1, "one connection is kept: {}", sshd.log());
    }
    assert!(gate.sessions().is_empty(), "and it is no session");
    let shown = gate.cli(&["instances"]).ok();
    assert!(shown.stdout.contains('%'), "{shown}");
    gate.door(&world).run(&world.person(1), "true").ok();

    // Silent for so long that its figures say nothing any more; and back, on a connection made anew.
    sshds[0].kill_9();
    wait_row(&gate, "vm1", "forgotten", |row| row["measured"].is_null());
    sshds[0].revive();
    wait_row(&gate, "vm1", "measured again", |row| {
        !row["measured"].is_null()
    });
    gate.stop();
}

#[test]
fn an_instance_without_its_shared_drive_gets_nobody_new() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let drive = world.folder("drive");
    mount(&["-t", "tmpfs", "poolgate-drive"], &drive);
    let setup = by_ssh(&sshds).pool(&format!("load.shared_drive = {drive:?}"));
    let gate = setup.start(&world);
    wait_row(&gate, "vm1", "measured", |row| !row["measured"].is_null());
    assert_eq!(row(&gate, "vm1")["measured"]["closed"], Value::Null);
    mount(&["-o", "remount,ro"], &drive);
    let closed = wait_row(&gate, "vm1", "closed", |row| row["health"] == "no-logins");
    assert_eq!(closed["measured"]["closed"], "drive");
    mount(&["-o", "remount,rw"], &drive);
    wait_row(&gate, "vm1", "open", |row| row["health"] == "up");
    gate.door(&world).run(&world.person(1), "true").ok();
    let mut umount = tool("umount");
    finish(umount.arg(&drive), PATIENCE).ok();
    gate.stop();
}

#[test]
fn an_agents_word_is_load_and_closes_an_instance() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let word = Arc::new(Mutex::new("100%\n"));
    let said = word.clone();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.write_all(said.lock().unwrap().as_bytes()));
        }
    });
    let gate = GateSetup::over(&sshds)
        .pool(&format!("load.source = \"agent:{port}\""))
        .pool("load.interval = \"1s\"")
        .start(&world);
    let percent = |row: &Value| row["measured"]["load_percent"].as_u64();
    wait_row(&gate, "vm1", "idle", |row| percent(row) == Some(0));
    *word.lock().unwrap() = "40%\n";
    wait_row(&gate, "vm1", "busy", |row| percent(row) == Some(60));
    *word.lock().unwrap() = "drain\n";
    wait_row(&gate, "vm1", "closed", |row| row["health"] == "no-logins");
    *word.lock().unwrap() = "up 100%\n";
    wait_row(&gate, "vm1", "open", |row| row["health"] == "up");
    gate.stop();
}
