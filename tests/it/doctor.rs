//! `poolgate doctor` on real sshd: sound ones, each fault it knows, and the drop-in that mends them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::support::gate::{poolgate, rows};
use crate::support::hub::Hub;
use crate::support::{Finished, Gate, GateSetup, HubScene, Logins, Sshd, World, finish, free_port};

fn examine(gate: &Gate, extra: &[&str]) -> Finished {
    let words: Vec<&str> = ["doctor", "--user", "person01"]
        .into_iter()
        .chain(extra.iter().copied())
        .collect();
    gate.cli(&words)
}

/// Of MaxStartups the last value counts, not the first.
fn restart_with_few_startups(sshd: &mut Sshd) {
    sshd.kill_9();
    sshd.change_config("MaxStartups 1000", "MaxStartups 10:30:100");
    sshd.revive();
}

fn restart_with(sshd: &mut Sshd, key: &str, value: &str) {
    sshd.kill_9();
    sshd.add_config(key, value);
    sshd.revive();
}

/// The shipped drop-in as an operator would fill it in.
fn drop_in(world: &World, is_new: bool) -> String {
    let shipped = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/config/sshd_config.d/poolgate.conf"
    );
    let ca = format!("{}.pub", world.path("user_ca").display());
    let mut text = fs::read_to_string(shipped)
        .unwrap()
        .replace("/etc/ssh/poolgate_user_ca.pub", &ca)
        .replace("192.0.2.10", "127.0.0.1");
    if is_new {
        text = text.replace("#PerSourcePenaltyExemptList", "PerSourcePenaltyExemptList");
    }
    let file = world.path(if is_new { "new.conf" } else { "old.conf" });
    fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn a_sound_instance_is_called_sound_and_keeps_its_pin() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    restart_with(&mut sshds[0], "Include", &drop_in(&world, false));
    let gate = GateSetup::over(&sshds).start(&world);
    let unknown = examine(&gate, &[]).ok();
    assert!(
        unknown
            .stdout
            .contains("warn main/vm1: its host key is not known yet"),
        "{unknown}"
    );
    gate.door(&world).run(&world.person(1), "true").ok();
    let sound = examine(&gate, &["--crowd"]).ok();
    for says in [
        "reachable, identifies itself as OpenSSH_",
        "its host key is the known one",
        "takes the gate's certificate for person01",
        "takes 40 logins at once",
        "knows no penalties",
    ] {
        assert!(
            sound.stdout.contains(&format!("ok   main/vm1: {says}")),
            "{says}: {sound}"
        );
    }
    assert!(gate.sessions().is_empty());
    gate.stop();
}

#[test]
fn each_fault_is_told_with_what_mends_it() {
    let world = World::new();
    let mut sshds = Sshd::start_many(&world, 2, Logins::Certificates);
    restart_with_few_startups(&mut sshds[0]);
    restart_with(&mut sshds[1], "TrustedUserCAKeys", "/dev/null");
    let gate = GateSetup::over(&sshds).start(&world);
    let dead = free_port();
    let text = fs::read_to_string(&gate.config).unwrap();
    let third = format!("{{ name = \"vm3\", address = \"127.0.0.1\", ssh_port = {dead} }},\n]");
    fs::write(
        &gate.config,
        text.replacen("\n]\n", &format!("\n{third}\n"), 1),
    )
    .unwrap();
    let told = examine(&gate, &["--crowd"]);
    assert_eq!(told.code(), Some(1), "{told}");
    for says in [
        "FAIL main/vm1: turns away",
        "FAIL main/vm2: does not take the gate's certificate for person01",
        "FAIL main/vm3: 127.0.0.1:",
        "sshd_config.d/poolgate.conf",
    ] {
        assert!(told.stdout.contains(says), "{says}: {told}");
    }
    gate.stop();
}

#[test]
fn a_new_sshd_that_penalises_the_gate_is_found_and_the_drop_in_mends_it() {
    let world = World::new();
    let Some(mut sshd) = Sshd::start_new(&world, "vm1", Logins::Certificates) else {
        println!("skipped: there is no sshd of 9.8 or later in .test");
        return;
    };
    let gate = GateSetup::over(std::slice::from_ref(&sshd)).start(&world);
    let hint = examine(&gate, &[]).ok();
    assert!(
        hint.stdout.contains("warn main/vm1: penalises sources"),
        "{hint}"
    );
    let told = examine(&gate, &["--crowd"]);
    assert_eq!(told.code(), Some(1), "{told}");
    assert!(
        told.stdout.contains("FAIL main/vm1: refuses this machine"),
        "{told}"
    );
    restart_with(&mut sshd, "Include", &drop_in(&world, true));
    let mended = examine(&gate, &["--crowd"]).ok();
    assert!(
        mended
            .stdout
            .contains("ok   main/vm1: does not penalise this machine"),
        "{mended}"
    );
    gate.door(&world).run(&world.person(1), "true").ok();
    gate.stop();
}

#[test]
fn the_token_for_hubs_is_tried_at_each() {
    let scene = HubScene::polled(Hub::start);
    let sound = scene.gate.cli(&["doctor"]).ok();
    for name in ["vm1", "vm2"] {
        let line = format!("ok   main/{name}: its hub tells the gate's token who has a server");
        assert!(sound.stdout.contains(&line), "{sound}");
    }
    assert!(!sound.stdout.contains("the hub token"), "{sound}");
    fs::write(scene.world.path("hub.token"), "another").unwrap();
    let told = scene.gate.cli(&["doctor"]);
    assert_eq!(told.code(), Some(1), "{told}");
    let says = "FAIL main/vm1: its hub does not know the gate's token";
    assert!(told.stdout.contains(says), "{told}");
    scene.gate.stop();
}

/// The gate's own machine: what is there while it runs, a key that others may read, and what is there without it.
#[test]
fn the_gates_own_machine_is_looked_at_with_and_without_a_gate() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let sound = gate.cli(&["doctor"]).ok().stdout;
    for says in [
        "ok   config: ",
        "ok   gate: poolgate ",
        "ok   files: ",
        "ok   state_dir: ",
        "disk of state_dir: ",
        " open files: the gate may have ",
        "ok   ssh.listen 127.0.0.1:",
        "ok   admin.listen 127.0.0.1:",
        "warn certificates: not checked",
    ] {
        assert!(sound.contains(says), "{says}: {sound}");
    }
    let key = world.path("user_ca");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let told = gate.cli(&["doctor", "-o", "json"]);
    assert_eq!(told.code(), Some(1), "{told}");
    let checks = rows(&told.stdout);
    let files = checks
        .iter()
        .find(|check| check["subject"] == "files")
        .unwrap();
    assert_eq!(files["verdict"], "fail");
    assert_eq!(files["remedy"], format!("chmod 600 {}", key.display()));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let config = gate.config.clone();
    let port = gate.ssh_port;
    gate.stop();
    let alone = || {
        let mut doctor = poolgate();
        finish(
            doctor.args(["doctor", "-c"]).arg(&config),
            Duration::from_secs(60),
        )
    };
    let without = alone().ok().stdout;
    assert!(without.contains("warn gate: no gate answers"), "{without}");
    assert!(without.contains(" is free"), "{without}");
    let _other = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let taken = alone();
    assert_eq!(taken.code(), Some(1), "{taken}");
    let line =
        format!("FAIL ssh.listen 127.0.0.1:{port}: another program listens there\n       ss -ltnp");
    assert!(taken.stdout.contains(&line), "{taken}");
}
