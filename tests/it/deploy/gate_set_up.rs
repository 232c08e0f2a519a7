//! The set-up of the gate really executed: a package that must be the right one, keys that come from vaults and go there, a
//! config that the program takes and serves with, and an instance that learns from a vault whom to trust.
//!
//! The vaults are stand-ins, and the package is made here around the program under test: the unit in it is no more than a name.

use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::gate::poolgate;
use crate::support::machine::Machine;
use crate::support::{World, finish, tool, wait_until};

const PATIENT: Duration = Duration::from_secs(120);
const SET_UP: &str = "/clone/deploy/azure/gate/setup.sh";

/// A Debian package with the program, and its SHA-256.
fn package(world: &World) -> (PathBuf, String) {
    let folder = world.folder("package");
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    write(
        "DEBIAN/control",
        "Package: poolgate\nVersion: 0\nArchitecture: amd64\nMaintainer: tests\nDescription: the program under test\n",
    );
    write(
        "lib/systemd/system/poolgate.service",
        "[Service]\nExecStart=/usr/bin/poolgate serve\n[Install]\nWantedBy=multi-user.target\n",
    );
    write("usr/bin/poolgate", "");
    let program = poolgate().get_program().to_owned();
    finish(
        tool("strip")
            .arg("-o")
            .arg(folder.join("usr/bin/poolgate"))
            .arg(program),
        PATIENT,
    )
    .ok();
    finish(tool("chmod").args(["-R", "a+rX,u+x"]).arg(&folder), PATIENT).ok();
    let deb = world.path("poolgate.deb");
    finish(
        tool("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "--build"])
            .arg(&folder)
            .arg(&deb),
        PATIENT,
    )
    .ok();
    let sum = finish(tool("sha256sum").arg(&deb), PATIENT).ok();
    (deb, sum.text().split(' ').next().unwrap().to_owned())
}

fn settings(sum: &str) -> String {
    format!(
        "POOLGATE_GATE_VAULT=http://127.0.0.1:8200\nPOOLGATE_VAULT=http://127.0.0.1:8201\nPOOLGATE_IDENTITY=22222222-2222-3333-4444-555555555555\n\
         POOLGATE_VAULT_PATIENCE_S=60\nPOOLGATE_DOMAIN=pool.example\nPOOLGATE_SHARE_PATH=/shared\nPOOLGATE_ADMINS=alice,bob\n\
         POOLGATE_PACKAGE_URL=file:///root/poolgate.deb\nPOOLGATE_PACKAGE_SHA256={sum}\nPOOLGATE_RESOURCE_GROUP=pool-group\n\
         POOLGATE_SCALE_SET=dsvm\nPOOLGATE_SUBSCRIPTION=11111111-2222-3333-4444-555555555555\nPOOLGATE_TIME_ZONE=Europe/Berlin\n"
    )
}

fn start(world: &World, name: &str, secrets: &Path) -> Machine {
    let mut machine = Machine::start(world, name);
    machine.start_metadata(secrets);
    machine
}

/// A gate's machine, not set up yet.
fn fresh_gate(world: &World, name: &str, secrets: &Path, deb: &Path, sum: &str) -> Machine {
    let machine = start(world, name, secrets);
    machine.copy(deb, "/root/poolgate.deb", 0o600);
    machine.write("/etc/poolgate/gate.env", &settings(sum), 0o600);
    machine
}

#[test]
fn a_gate_is_set_up_and_is_the_same_when_it_is_made_anew() {
    let world = World::new();
    let secrets = world.folder("secrets");
    let (deb, sum) = package(&world);
    let mut first = fresh_gate(&world, "gate1", &secrets, &deb, &sum);
    first.write("/etc/poolgate/gate.env", &settings(&"0".repeat(64)), 0o600);
    let refused = first.sh(SET_UP);
    assert!(
        refused.code() == Some(1) && refused.stderr.contains("nothing of it was installed"),
        "{refused}"
    );
    first.sh("! command -v poolgate").ok();

    people(&first);
    first.write("/etc/poolgate/gate.env", &settings(&sum), 0o600);
    first.sh(SET_UP).ok();
    let again = first.sh(SET_UP).ok();
    assert!(
        again.stderr.contains("poolgate-setup: 0 changes"),
        "{again}"
    );
    what_it_made(&first, &secrets);
    it_serves(&mut first);

    let second = fresh_gate(&world, "gate2", &secrets, &deb, &sum);
    second.sh(SET_UP).ok();
    for file in [
        "ssh_host_ed25519_key",
        "user_ca",
        "user_ca.pub",
        "hub.token",
    ] {
        let path = format!("/etc/poolgate/{file}");
        assert_eq!(
            first.read(&path),
            second.read(&path),
            "{file} is from the vault"
        );
    }
    an_instance_learns_whom_to_trust(&world, &first, &secrets);
}

/// One person whose keys are found in two places, and one who would like to see the authority's key.
fn people(machine: &Machine) {
    machine.write(
        "/shared/poolgate/people",
        "alice:20001:!::\nbob:20002:!::\ngone:20003:!::\n",
        0o600,
    );
    machine.write(
        "/shared/poolgate/keys/alice",
        "ssh-ed25519 of-the-operator\n",
        0o644,
    );
    machine.write(
        "/shared/home/alice/.ssh/authorized_keys",
        "ssh-ed25519 of-her-own\n",
        0o600,
    );
    machine.sh("mkdir -p /shared/home/bob/.ssh && ln -s /etc/poolgate/user_ca /shared/home/bob/.ssh/authorized_keys && \
        chown -R 20001:20001 /shared/home/alice && chown -hR 20002:20002 /shared/home/bob && chmod 700 /shared/home/alice").ok();
}

fn what_it_made(machine: &Machine, secrets: &Path) {
    let mut kept: Vec<String> = ["8200", "8201"]
        .iter()
        .flat_map(|vault| {
            fs::read_dir(secrets.join(vault))
                .unwrap()
                .map(move |file| format!("{vault}/{}", file.unwrap().file_name().display()))
        })
        .collect();
    kept.sort();
    assert_eq!(
        kept,
        [
            "8200/ssh-host-ed25519-key",
            "8200/user-ca",
            "8201/hub-token",
            "8201/user-ca-public"
        ]
    );
    let modes = machine.sh("cd /etc/poolgate && stat -c '%a %n' ssh_host_ed25519_key user_ca hub.token tls.key gate.env").ok();
    assert!(
        modes.text().lines().all(|line| line.starts_with("600 ")),
        "{modes}"
    );
    machine
        .sh("cd /etc/poolgate && ssh-keygen -y -f user_ca | diff - user_ca.pub")
        .ok();
    let keys = machine.read("/var/lib/poolgate-keys/alice");
    assert!(
        keys.contains("of-the-operator") && keys.contains("of-her-own"),
        "{keys}"
    );
    assert_eq!(
        machine.read("/var/lib/poolgate-keys/bob").trim(),
        "",
        "no more than he may read himself"
    );
    let shown = machine
        .sh("cat /etc/ssh/sshd_config.d/10-poolgate-admin.conf; ls /etc/systemd/system/*.wants")
        .ok();
    assert!(
        shown.stdout.contains("Port 2222")
            && shown.stdout.contains("poolgate.service")
            && shown.stdout.contains("poolgate-keys.timer"),
        "{shown}"
    );

    // A drive that lost somebody's line: their keys go with the next copy.
    machine
        .sh("sed -i /gone/d /shared/poolgate/people && test -e /var/lib/poolgate-keys/gone")
        .ok();
    machine.sh(&format!("{SET_UP} keys")).ok();
    machine
        .sh("test ! -e /var/lib/poolgate-keys/gone && test -s /var/lib/poolgate-keys/alice")
        .ok();
}

/// The config is one that a gate opens its doors with.
fn it_serves(machine: &mut Machine) {
    machine.stop_metadata();
    machine.start_service("exec /usr/bin/poolgate serve -c /etc/poolgate/poolgate.toml");
    let address = machine.address.clone();
    wait_until("the gate's doors", PATIENT, || {
        let mut banner = [0; 4];
        TcpStream::connect((&*address, 22))
            .ok()?
            .read_exact(&mut banner)
            .ok()?;
        TcpStream::connect((&*address, 443)).ok()?;
        TcpStream::connect((&*address, 80)).ok()?;
        (&banner == b"SSH-").then_some(())
    });
    let shown = finish(
        tool("ssh-keyscan").args(["-T", "20", "-t", "ed25519", &machine.address]),
        PATIENT,
    )
    .ok();
    let own = machine
        .sh("ssh-keygen -y -f /etc/poolgate/ssh_host_ed25519_key")
        .ok();
    let key = own.text().split(' ').nth(1).unwrap();
    assert!(shown.stdout.contains(key), "{shown}");
}

fn an_instance_learns_whom_to_trust(world: &World, gate: &Machine, secrets: &Path) {
    let instance = start(world, "instance", secrets);
    let settings = format!(
        "POOLGATE_GATES={}\nPOOLGATE_SHARE_PATH=/shared\nPOOLGATE_VAULT=http://127.0.0.1:8201\nPOOLGATE_IDENTITY=33333333-2222-3333-4444-555555555555\n\
         POOLGATE_VAULT_PATIENCE_S=60\n",
        gate.address
    );
    instance.write("/etc/poolgate/instance.env", &settings, 0o600);
    instance.sh("/clone/deploy/azure/instance/setup.sh").ok();
    assert_eq!(
        instance.read("/etc/ssh/poolgate_user_ca.pub"),
        gate.read("/etc/poolgate/user_ca.pub")
    );
    assert_eq!(
        instance.read("/etc/poolgate/hub.token"),
        gate.read("/etc/poolgate/hub.token")
    );
    assert_eq!(
        instance.sh("stat -c %a /etc/poolgate/hub.token").text(),
        "600"
    );
    instance.sh("grep -q \"^TrustedUserCAKeys /etc/ssh/poolgate_user_ca.pub\" /etc/ssh/sshd_config.d/10-poolgate.conf").ok();
}
