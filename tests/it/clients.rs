//! Other people's ssh clients, with keys: PuTTY, dropbear, paramiko, asyncssh, ssh2 of Node, libssh2 in curl. Each runs a
//! command, opens a terminal, copies files and forwards a port, if it can.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::support::client::{PATIENCE, client_script, quoted, venv_python};
use crate::support::world::public;
use crate::support::{
    Gate, GateSetup, Logins, Person, Running, Sshd, World, finish, free_port, tool, wait_until,
};

/// One person before a gate with two instances; `programs` adds to it.
pub struct Scene {
    pub world: World,
    pub gate: Gate,
    _sshds: Vec<Sshd>,
    pub person: Person,
}

impl Scene {
    pub fn new() -> Self {
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

    /// A client that asks for a terminal gets one: `tty` names it. The client has a terminal of its own, from `script`.
    #[track_caller]
    fn opens_a_terminal(&self, client: &str, command: &Command) {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|w| w.to_str().unwrap().to_owned()).collect();
        let mut script = tool("script");
        script.args(["-qec", &quoted(&words), "/dev/null"]);
        for (name, value) in command.get_envs() {
            script.env(name, value.unwrap());
        }
        let finished = finish(&mut script, PATIENCE).ok();
        assert!(finished.stdout.contains("/dev/pts/"), "{finished}");
        self.saw(client);
    }

    /// A client that was given `-L port:127.0.0.1:service` carries what the service says.
    #[track_caller]
    fn forwards(&self, client: &str, port: u16, command: &mut Command) {
        let _client = Running::start(command);
        let said = wait_until("the client's local port", PATIENCE, || {
            let mut said = String::new();
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.read_to_string(&mut said).ok()?;
            Some(said).filter(|said| !said.is_empty())
        });
        assert_eq!(said, GREETING);
        self.saw(client);
    }
}

const GREETING: &str = "hello from beside the instance";

/// Where a service greets and closes, for as long as the test runs.
fn greeter() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.write_all(GREETING.as_bytes()));
        }
    });
    port
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
    putty_opens_a_terminal_and_forwards(&scene, || putty("plink"));
    scene.gate.stop();
}

fn putty_opens_a_terminal_and_forwards(scene: &Scene, plink: impl Fn() -> Command) {
    let mut terminal = plink();
    terminal.args(["-no-antispoof", "-t", "person01@127.0.0.1", "tty"]);
    scene.opens_a_terminal("putty", &terminal);
    let port = free_port();
    let mut forward = plink();
    forward.args([
        "-N",
        "-L",
        &format!("127.0.0.1:{port}:127.0.0.1:{}", greeter()),
    ]);
    scene.forwards("putty", port, forward.arg("person01@127.0.0.1"));
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
    let dbclient = || {
        let mut dbclient = tool("dbclient");
        dbclient.env("HOME", scene.world.folder("dropbear-home"));
        dbclient
            .args(["-y", "-y", "-p", &scene.port(), "-i"])
            .arg(&key);
        dbclient
    };
    let mut exec = dbclient();
    exec.args([
        "-T",
        "person01@127.0.0.1",
        "echo $POOLGATE_INSTANCE; whoami",
    ]);
    scene.lands("dropbear", &mut exec);
    let mut terminal = dbclient();
    scene.opens_a_terminal(
        "dropbear",
        terminal.args(["-t", "person01@127.0.0.1", "tty"]),
    );
    let port = free_port();
    let mut forward = dbclient();
    forward.args([
        "-N",
        "-L",
        &format!("127.0.0.1:{port}:127.0.0.1:{}", greeter()),
    ]);
    scene.forwards("dropbear", port, forward.arg("person01@127.0.0.1"));
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
    assert_eq!(
        finish(&mut client("pty"), PATIENCE).ok().text(),
        "31 97 vt220"
    );
    scene.saw("paramiko");
    let mut forward = client("forward");
    forward.arg(greeter().to_string());
    assert_eq!(finish(&mut forward, PATIENCE).ok().text(), GREETING);
    scene.saw("paramiko");
    assert_eq!(scene.gate.audited_instances("person01").len(), 4);
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
    assert_eq!(
        finish(&mut client("pty"), PATIENCE).ok().text(),
        "31 97 vt220"
    );
    scene.saw("asyncssh");
    let mut forward = client("forward");
    forward.arg(greeter().to_string());
    assert_eq!(finish(&mut forward, PATIENCE).ok().text(), GREETING);
    scene.saw("asyncssh");
    assert_eq!(scene.gate.audited_instances("person01").len(), 4);
    scene.gate.stop();
}

#[test]
fn ssh2_does_all_it_can() {
    let scene = Scene::new();
    let host_key = fingerprint(&scene.world.path("gate_host_key"));
    let client = |act: &str| {
        let mut node = tool("node");
        node.arg(client_script("ssh2_client.js"))
            .args([act, &scene.port(), "person01"])
            .arg(&scene.person.key)
            .arg(&host_key);
        node
    };
    scene.lands("ssh2js", &mut client("command"));
    let said = |act: &str| finish(&mut client(act), PATIENCE).ok();
    let shell = said("pty");
    assert!(
        shell.stdout.contains("31 97") && shell.stdout.contains("vt220"),
        "{shell}"
    );
    assert_eq!(said("sftp").text(), "same");
    assert_eq!(said("forward").text(), "same");
    assert_eq!(said("listen").text(), "from 127.0.0.1");
    scene.saw("ssh2js");
    assert_eq!(scene.gate.audited_instances("person01").len(), 5);
    scene.gate.stop();
}

#[test]
fn curl_copies_files_by_libssh2() {
    let scene = Scene::new();
    let host_key = fingerprint(&scene.world.path("gate_host_key"));
    let (there, back) = (scene.world.path("there"), scene.world.path("back"));
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&there, &data).unwrap();
    for scheme in ["sftp", "scp"] {
        let curl = || {
            let mut curl = tool("/usr/bin/curl");
            curl.args(["-q", "-sS", "-u", "person01:", "--hostpubsha256"])
                .arg(host_key.trim_start_matches("SHA256:"))
                .arg("--key")
                .arg(&scene.person.key)
                .arg("--pubkey")
                .arg(public(&scene.person.key));
            curl
        };
        let url = format!("{scheme}://127.0.0.1:{}/~/{scheme}.bin", scene.port());
        finish(curl().arg("-T").arg(&there).arg(&url), PATIENCE).ok();
        finish(curl().arg("-o").arg(&back).arg(&url), PATIENCE).ok();
        assert!(std::fs::read(&back).unwrap() == data, "{scheme}");
        scene.saw("libssh2");
    }
    assert_eq!(scene.gate.audited_instances("person01").len(), 4);
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
