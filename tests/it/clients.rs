//! Other people's ssh clients, with keys: PuTTY, dropbear, paramiko, asyncssh.

use std::path::Path;
use std::process::Command;

use crate::support::client::{PATIENCE, client_script, venv_python};
use crate::support::world::public;
use crate::support::{Gate, GateSetup, Logins, Person, Sshd, World, finish, tool};

struct Scene {
    world: World,
    gate: Gate,
    _sshds: Vec<Sshd>,
    person: Person,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let sshds = Sshd::start_many(&world, 2, Logins::Certificates);
        let gate = GateSetup::over(&sshds).start(&world);
        let person = world.person(1);
        Self {
            world,
            gate,
            _sshds: sshds,
            person,
        }
    }

    /// Runs a client that prints the instance and the account it landed on, and checks that the gate saw that.
    #[track_caller]
    fn lands(&self, client: &str, command: &mut Command) {
        let finished = finish(command, PATIENCE).ok();
        let said: Vec<&str> = finished.stdout.split_whitespace().collect();
        let logins = self.gate.audit("login");
        let last = logins
            .last()
            .unwrap_or_else(|| panic!("the gate saw no login: {finished}"));
        assert_eq!(
            said,
            [last["instance"].as_str().unwrap(), "person01"],
            "{finished}"
        );
        self.saw(client);
    }

    /// The gate's last login was this client's.
    #[track_caller]
    fn saw(&self, client: &str) {
        let logins = self.gate.audit("login");
        let named = logins.last().unwrap()["client"]
            .as_str()
            .unwrap()
            .to_lowercase();
        assert!(named.contains(client), "the gate saw {named:?}");
    }

    fn port(&self) -> String {
        self.gate.ssh_port.to_string()
    }
}

/// The fingerprint of a key as `ssh-keygen -l` says it.
fn fingerprint(key: &Path) -> String {
    let finished = finish(tool("ssh-keygen").arg("-lf").arg(public(key)), PATIENCE).ok();
    finished
        .text()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned()
}

#[test]
fn putty_logs_in_and_copies_files() {
    let scene = Scene::new();
    let ppk = scene.world.path("person.ppk");
    let mut puttygen = tool("puttygen");
    puttygen
        .arg(&scene.person.key)
        .args(["-O", "private", "-o"])
        .arg(&ppk);
    finish(&mut puttygen, PATIENCE).ok();
    let host_key = fingerprint(&scene.world.path("gate_host_key"));
    let putty = |program: &str| {
        let mut command = tool(program);
        command.env("HOME", scene.world.folder("putty-home"));
        command
            .args(["-batch", "-P", &scene.port(), "-hostkey", &host_key, "-i"])
            .arg(&ppk);
        command
    };
    let mut plink = putty("plink");
    plink.args([
        "-no-antispoof",
        "person01@127.0.0.1",
        "echo $POOLGATE_INSTANCE; whoami",
    ]);
    scene.lands("putty", &mut plink);

    let (there, back) = (scene.world.path("there"), scene.world.path("back"));
    let text: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    std::fs::write(&there, &text).unwrap();
    for scp in [["-sftp"], ["-scp"]] {
        let mut up = putty("pscp");
        finish(
            up.args(scp).arg(&there).arg("person01@127.0.0.1:putty.txt"),
            PATIENCE,
        )
        .ok();
        let mut down = putty("pscp");
        finish(
            down.args(scp)
                .arg("person01@127.0.0.1:putty.txt")
                .arg(&back),
            PATIENCE,
        )
        .ok();
        assert!(std::fs::read_to_string(&back).unwrap() == text, "{scp:?}");
        scene.saw("putty");
    }
    let script = scene.world.path("psftp.txt");
    std::fs::write(&script, format!("put {} psftp.txt\nls\n", there.display())).unwrap();
    let mut psftp = putty("psftp");
    let listed = finish(
        psftp.arg("-b").arg(&script).arg("person01@127.0.0.1"),
        PATIENCE,
    )
    .ok();
    assert!(listed.stdout.contains("psftp.txt"), "{listed}");
    assert_eq!(
        std::fs::read_to_string(scene.person.home.join("psftp.txt")).unwrap(),
        text
    );
    assert_eq!(scene.gate.audited_instances("person01").len(), 6);
    scene.gate.stop();
}

#[test]
fn dropbear_logs_in() {
    let scene = Scene::new();
    let key = scene.world.path("person.dropbear");
    let mut convert = tool("dropbearconvert");
    finish(
        convert
            .args(["openssh", "dropbear"])
            .arg(&scene.person.key)
            .arg(&key),
        PATIENCE,
    )
    .ok();
    let mut dbclient = tool("dbclient");
    dbclient.env("HOME", scene.world.folder("dropbear-home"));
    dbclient
        .args(["-y", "-y", "-T", "-p", &scene.port(), "-i"])
        .arg(&key);
    dbclient.args(["person01@127.0.0.1", "echo $POOLGATE_INSTANCE; whoami"]);
    scene.lands("dropbear", &mut dbclient);
    scene.gate.stop();
}

#[test]
fn paramiko_logs_in_and_copies_a_file() {
    let scene = Scene::new();
    let client = |act: &str| {
        let mut python = venv_python();
        python
            .arg(client_script("paramiko_client.py"))
            .args([act, &scene.port(), "person01"]);
        python.arg(&scene.person.key);
        python
    };
    scene.lands("paramiko", &mut client("command"));
    assert!(
        finish(&mut client("sftp"), PATIENCE)
            .ok()
            .text()
            .ends_with("same")
    );
    scene.saw("paramiko");
    assert_eq!(scene.gate.audited_instances("person01").len(), 2);
    scene.gate.stop();
}

#[test]
fn asyncssh_logs_in_and_copies_a_file() {
    let scene = Scene::new();
    let client = |act: &str| {
        let mut python = venv_python();
        python
            .arg(client_script("asyncssh_client.py"))
            .args([act, &scene.port(), "person01"]);
        python.arg(&scene.person.key).arg(scene.world.known_hosts());
        python
    };
    scene.lands("asyncssh", &mut client("command"));
    assert!(
        finish(&mut client("sftp"), PATIENCE)
            .ok()
            .text()
            .ends_with("same")
    );
    scene.saw("asyncssh");
    assert_eq!(scene.gate.audited_instances("person01").len(), 2);
    scene.gate.stop();
}

#[test]
fn openssh_logs_in_with_every_kind_of_key() {
    let scene = Scene::new();
    let kinds = ["ed25519", "ecdsa", "rsa"];
    let keys = kinds.map(|kind| scene.world.make_key_of(kind, &format!("kinds/{kind}")));
    let lines = keys
        .each_ref()
        .map(|key| std::fs::read_to_string(public(key)).unwrap());
    // All at once, before the first login: the gate remembers a key file for some seconds.
    scene.world.authorize(&scene.person, &lines.concat());
    for key in keys {
        let person = Person {
            key,
            ..scene.person.clone()
        };
        let mut ssh = scene.gate.door(&scene.world).ssh(&person);
        scene.lands(
            "openssh",
            ssh.args(["person01@127.0.0.1", "echo $POOLGATE_INSTANCE; whoami"]),
        );
    }
    scene.gate.stop();
}

#[test]
fn openssh_logs_in_with_every_cipher_mac_and_key_exchange_on_offer() {
    let scene = Scene::new();
    let table = [
        "Ciphers=aes128-gcm@openssh.com",
        "Ciphers=aes256-gcm@openssh.com",
        "KexAlgorithms=curve25519-sha256",
        "KexAlgorithms=curve25519-sha256@libssh.org",
        "KexAlgorithms=ecdh-sha2-nistp256",
        "HostKeyAlgorithms=ssh-ed25519",
    ];
    for option in table {
        let finished = scene.gate.door(&scene.world).run_with(
            &scene.person,
            &["-o", option],
            "head -c 3000000 /dev/zero | wc -c",
        );
        assert_eq!(finished.text(), "3000000", "{option}: {finished}");
    }
    assert_eq!(scene.gate.audited_instances("person01").len(), table.len());
    scene.gate.stop();
}
