//! Mistakes in a config, through the real command line: file, line, key and a remedy, and exit code 78.

use std::fs;

use crate::support::client::PATIENCE;
use crate::support::gate::poolgate;
use crate::support::{World, finish};

/// A config without a mistake, a line each so that a test can change one.
const GOOD: &str = r#"state_dir = "STATE"
[ssh]
listen = ["127.0.0.1:2222"]
host_keys = ["STATE/host_key"]
user_ca = "STATE/user_ca"
login_grace = "30s"
[ssh.auth]
authorized_keys = ["/home/%u/.ssh/authorized_keys"]
password = "instance"
[admin]
listen = "127.0.0.1:9180"
[pools.main]
default = true
placement = "spread"
capacity = 8
affinity = "12h"
ssh_port = 22
jupyter_port = 8000
[pools.main.ssh]
instance_host_keys = "first-use"
[pools.main.health]
interval = "2s"
timeout = "3s"
rise = 2
fall = 3
[pools.main.fleet]
provider = "static"
instances = [{ name = "vm1", address = "10.0.0.4" }, { name = "vm2", address = "10.0.0.5" }]
[pools.main.scaling]
min = 0
max = 20
headroom = "2 seats"
idle = "15m"
"#;

/// What is replaced, by what, and the key that the complaint has to name; the line is that of the mistake.
const MISTAKES: &[(&str, &str, &str)] = &[
    (
        "login_grace = \"30s\"",
        "login_grce = \"30s\"",
        "login_grce",
    ),
    (
        "login_grace = \"30s\"",
        "login_grace = \"30 parsecs\"",
        "ssh.login_grace",
    ),
    (
        "login_grace = \"30s\"",
        "login_grace = 30",
        "ssh.login_grace",
    ),
    (
        "login_grace = \"30s\"",
        "login_grace = \"0s\"",
        "ssh.login_grace",
    ),
    (
        "listen = [\"127.0.0.1:2222\"]",
        "listen = [\"127.0.0.1\"]",
        "ssh.listen",
    ),
    (
        "listen = [\"127.0.0.1:2222\"]",
        "listen = [\"localhost:99999\"]",
        "ssh.listen",
    ),
    ("listen = [\"127.0.0.1:2222\"]", "listen = []", "ssh.listen"),
    (
        "authorized_keys = [\"/home/%u/.ssh/authorized_keys\"]",
        "authorized_keys = [\"/home/%x/keys\"]",
        "ssh.auth.authorized_keys",
    ),
    (
        "authorized_keys = [\"/home/%u/.ssh/authorized_keys\"]",
        "authorized_keys = [\"/etc/one-for-all\"]",
        "ssh.auth.authorized_keys",
    ),
    (
        "password = \"instance\"",
        "password = \"maybe\"",
        "ssh.auth.password",
    ),
    (
        "listen = \"127.0.0.1:9180\"",
        "listen = \"everywhere\"",
        "admin.listen",
    ),
    (
        "placement = \"spread\"",
        "placement = \"random\"",
        "pools.main.placement",
    ),
    ("capacity = 8", "capacity = 0", "pools.main.capacity"),
    ("capacity = 8", "capacity = -1", "pools.main.capacity"),
    ("capacity = 8", "capacity = \"many\"", "pools.main.capacity"),
    (
        "affinity = \"12h\"",
        "affinity = true",
        "pools.main.affinity",
    ),
    ("ssh_port = 22", "ssh_port = 70000", "pools.main.ssh_port"),
    ("ssh_port = 22", "ssh_port = 0", "pools.main.ssh_port"),
    (
        "jupyter_port = 8000",
        "jupyter_port = \"sometimes\"",
        "pools.main.jupyter_port",
    ),
    (
        "instance_host_keys = \"first-use\"",
        "instance_host_keys = \"any\"",
        "pools.main.ssh.instance_host_keys",
    ),
    (
        "interval = \"2s\"",
        "interval = \"-2s\"",
        "pools.main.health.interval",
    ),
    ("rise = 2", "rise = 0", "pools.main.health.rise"),
    (
        "provider = \"static\"",
        "provider = \"cloudy\"",
        "pools.main.fleet.provider",
    ),
    (
        "name = \"vm2\"",
        "name = \"vm1\"",
        "pools.main.fleet.instances",
    ),
    (
        "name = \"vm2\"",
        "name = \"a b\"",
        "pools.main.fleet.instances",
    ),
    ("name = \"vm2\", ", "", "pools.main.fleet.instances"),
    ("max = 20", "max = -3", "pools.main.scaling.max"),
    ("min = 0", "min = 30", "pools.main.scaling"),
    (
        "headroom = \"2 seats\"",
        "headroom = \"a few\"",
        "pools.main.scaling.headroom",
    ),
    (
        "headroom = \"2 seats\"",
        "headroom = \"400%\"",
        "pools.main.scaling.headroom",
    ),
    ("idle = \"15m\"", "idle = \"15m\"\nidle = \"16m\"", "idle"),
    ("[pools.main.scaling]", "[pools.main.scaling", ""),
];

/// The config above, with the files that it names.
fn good(world: &World) -> String {
    for key in ["state/host_key", "state/user_ca"] {
        if !world.path(key).exists() {
            world.make_key(key);
        }
    }
    GOOD.replace("STATE", &world.folder("state").display().to_string())
}

#[test]
fn a_config_without_a_mistake_passes_the_check() {
    let world = World::new();
    let file = world.path("poolgate.toml");
    fs::write(&file, good(&world)).unwrap();
    let finished = finish(poolgate().args(["check", "-c"]).arg(&file), PATIENCE);
    assert_eq!(finished.code(), Some(0), "{finished}");
}

#[test]
fn every_mistake_is_named_with_file_line_and_key() {
    let world = World::new();
    let good = good(&world);
    let mut wrong = Vec::new();
    for (index, (from, to, key)) in MISTAKES.iter().enumerate() {
        assert_eq!(good.matches(from).count(), 1, "{from:?} is there once");
        let file = world.path(&format!("mistake-{index}.toml"));
        fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let line =
            1 + good[..good.find(from).unwrap()].matches('\n').count() + to.matches('\n').count();
        for command in ["check", "serve"] {
            let finished = finish(poolgate().args([command, "-c"]).arg(&file), PATIENCE);
            let place = format!("{}:{line}:", file.display());
            let all_there = finished.stderr.contains(&place) && finished.stderr.contains(key);
            if finished.code() != Some(78) || !all_there {
                wrong.push(format!(
                    "{command} with {to:?}: wanted 78, {place} and {key}; got {finished}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        MISTAKES.len() * 2,
        wrong.join("\n")
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let world = World::new();
    let file = world.path("poolgate.toml");
    let text = good(&world)
        .replace("capacity = 8", "capacity = 0")
        .replace("rise = 2", "rise = 0")
        .replace("password = \"instance\"", "password = \"maybe\"");
    fs::write(&file, text).unwrap();
    let finished = finish(poolgate().args(["check", "-c"]).arg(&file), PATIENCE);
    assert_eq!(finished.code(), Some(78), "{finished}");
    for key in [
        "pools.main.capacity",
        "pools.main.health.rise",
        "ssh.auth.password",
    ] {
        assert!(finished.stderr.contains(key), "{key}: {finished}");
    }
}

#[test]
fn a_setting_of_the_environment_counts_and_its_mistakes_are_named() {
    let world = World::new();
    let file = world.path("poolgate.toml");
    fs::write(&file, good(&world)).unwrap();
    let check = |value: &str| {
        let mut check = poolgate();
        check
            .args(["check", "-c"])
            .arg(&file)
            .env("POOLGATE__SSH__LOGIN_GRACE", value);
        finish(&mut check, PATIENCE)
    };
    assert_eq!(check("45s").code(), Some(0));
    let finished = check("soon");
    assert_eq!(finished.code(), Some(78), "{finished}");
    assert!(
        finished.stderr.contains("POOLGATE__SSH__LOGIN_GRACE"),
        "{finished}"
    );
}

#[test]
fn a_missing_config_file_is_one_clear_line() {
    let finished = finish(
        poolgate().args(["check", "-c", "/nowhere/poolgate.toml"]),
        PATIENCE,
    );
    assert!(matches!(finished.code(), Some(1 | 78)), "{finished}");
    assert!(
        finished.stderr.contains("/nowhere/poolgate.toml"),
        "{finished}"
    );
    assert_eq!(finished.stderr.trim().lines().count(), 1, "{finished}");
}
