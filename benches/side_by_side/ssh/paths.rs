//! The four ways to one sshd, and the processes that make them.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use crate::side_by_side::process::{
    Service, cpu_seconds, descendants, free_port, own_cpu_seconds, wait_until,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Direct,
    Gate,
    Jump,
    Haproxy,
}

impl Path {
    pub const ALL: [Self; 4] = [Self::Direct, Self::Gate, Self::Jump, Self::Haproxy];

    /// The ways that are named among the words; all if none is.
    pub fn named(words: impl Iterator<Item = String>) -> Vec<Self> {
        let words: Vec<String> = words.collect();
        let is_named = |path: &Self| words.iter().any(|word| word == path.word());
        let named: Vec<Self> = Self::ALL.into_iter().filter(is_named).collect();
        if named.is_empty() {
            return Self::ALL.to_vec();
        }
        named
    }

    fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Gate => "gate",
            Self::Jump => "jump",
            Self::Haproxy => "haproxy",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Gate => "poolgate",
            Self::Jump => "OpenSSH ProxyJump",
            Self::Haproxy => "HAProxy, TCP mode",
        }
    }
}

/// The processes, in a folder that goes with them.
pub struct Paths {
    folder: tempfile::TempDir,
    user: String,
    sshd: Service,
    jump: Service,
    haproxy: Service,
    gate: Service,
}

impl Paths {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let id = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(id.stdout).unwrap().trim().to_owned();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for key in ["ca", "host", "person", "signed"] {
            keygen(&["-t", "ed25519", "-N", "", "-f", &at(key)]);
        }
        // A direct login needs what the gate makes for itself: a certificate.
        keygen(&[
            "-s",
            &at("ca"),
            "-I",
            "bench",
            "-n",
            &user,
            &at("signed.pub"),
        ]);
        let keys = folder.path().join("keys").join(&user);
        fs::create_dir_all(&keys).unwrap();
        fs::copy(at("person.pub"), keys.join("authorized_keys")).unwrap();

        let sshd = start_sshd(&folder, "sshd");
        let jump = start_sshd(&folder, "jump");
        let haproxy = start_haproxy(&folder, sshd.port);
        let gate = start_gate(&folder, sshd.port);
        Self {
            user,
            sshd,
            jump,
            haproxy,
            gate,
            folder,
        }
    }

    /// A login by this way that runs a command.
    pub fn ssh(&self, path: Path, command: &str) -> Command {
        let port = match path {
            Path::Direct | Path::Jump => self.sshd.port,
            Path::Gate => self.gate.port,
            Path::Haproxy => self.haproxy.port,
        };
        let key = if path == Path::Gate {
            "person"
        } else {
            "signed"
        };
        let mut ssh = Command::new("ssh");
        ssh.args(self.options(key)).args(["-p", &port.to_string()]);
        if path == Path::Jump {
            let outer = self.options("signed").join(" ");
            let host = format!(
                "-W 127.0.0.1:{port} -p {} -l {} 127.0.0.1",
                self.jump.port, self.user
            );
            ssh.args(["-o", &format!("ProxyCommand=ssh {outer} {host}")]);
        }
        ssh.args(["-l", &self.user, "127.0.0.1", command])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        ssh.env_remove("SSH_AUTH_SOCK");
        ssh
    }

    fn options(&self, key: &str) -> Vec<String> {
        let key = self.folder.path().join(key);
        let settings = [
            "StrictHostKeyChecking=no".to_owned(),
            "UserKnownHostsFile=/dev/null".to_owned(),
            "Ciphers=aes128-gcm@openssh.com".to_owned(),
            // The same on every way: OpenSSH before 9.9 would otherwise choose by what each server has.
            "KexAlgorithms=curve25519-sha256".to_owned(),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "BatchMode=yes".to_owned(),
            format!("IdentityFile={}", key.display()),
        ];
        let dashed = settings
            .into_iter()
            .flat_map(|setting| ["-o".to_owned(), setting]);
        ["-F".to_owned(), "none".to_owned()]
            .into_iter()
            .chain(dashed)
            .collect()
    }

    /// The processes that stand between client and sshd.
    pub fn between(&self, path: Path) -> Vec<u32> {
        match path {
            Path::Direct => Vec::new(),
            Path::Gate => vec![self.gate.pid()],
            Path::Haproxy => vec![self.haproxy.pid()],
            Path::Jump => {
                let listener = self.jump.pid();
                std::iter::once(listener)
                    .chain(descendants(listener))
                    .collect()
            }
        }
    }

    /// CPU seconds that what stands between has used so far.
    pub fn cpu_seconds(&self, path: Path) -> Option<f64> {
        match path {
            Path::Direct => None,
            Path::Gate => Some(own_cpu_seconds(self.gate.pid())),
            Path::Haproxy => Some(own_cpu_seconds(self.haproxy.pid())),
            Path::Jump => Some(cpu_seconds(self.jump.pid())),
        }
    }

    /// Waits until the jump host has no session left, whose time is its own only from then on.
    pub fn settle(&self, path: Path) {
        if path == Path::Jump {
            let listener = self.jump.pid();
            wait_until("the end of the jump host's sessions", || {
                descendants(listener).is_empty()
            });
        }
    }
}

pub fn keygen(words: &[&str]) {
    let status = Command::new("ssh-keygen").arg("-q").args(words).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "ssh-keygen {words:?}: run tests/run, which installs it"
    );
}

fn start_sshd(folder: &tempfile::TempDir, name: &str) -> Service {
    let port = free_port();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut config = String::new();
    writeln!(
        config,
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nTrustedUserCAKeys {}",
        at("host"),
        at("ca.pub")
    )
    .unwrap();
    config.push_str("AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n");
    config.push_str("PidFile none\nPermitRootLogin yes\nMaxStartups 1000\nUseDNS no\nLogLevel ERROR\nStrictModes no\n");
    config.push_str("Ciphers aes128-gcm@openssh.com\n");
    let file = at(&format!("{name}.config"));
    fs::write(&file, config).unwrap();
    drop(fs::create_dir_all("/run/sshd")); // root's sshd wants it; anybody else's does not
    Service::start(
        "/usr/sbin/sshd",
        &["-D", "-f", &file, "-E", &at(&format!("{name}.log"))],
        port,
    )
}

fn start_haproxy(folder: &tempfile::TempDir, target: u16) -> Service {
    let port = free_port();
    let file = folder.path().join("haproxy.cfg");
    let config = format!(
        "global\n  nbthread 1\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen ssh\n  bind 127.0.0.1:{port}\n  server one 127.0.0.1:{target}\n"
    );
    fs::write(&file, config).unwrap();
    Service::start("haproxy", &["-db", "-f", &file.display().to_string()], port)
}

fn start_gate(folder: &tempfile::TempDir, target: u16) -> Service {
    let port = free_port();
    let at = |name: &str| folder.path().join(name);
    let config = format!(
        "state_dir = {state:?}\n[ssh]\nlisten = [\"127.0.0.1:{port}\"]\nhost_keys = [{host:?}]\nuser_ca = {ca:?}\n\
         [ssh.auth]\nauthorized_keys = [{keys:?}]\n[admin]\nsocket = \"off\"\nlisten = \"off\"\n\
         [pools.main]\ndefault = true\ncapacity = 10000\njupyter_port = \"off\"\n[pools.main.fleet]\nprovider = \"static\"\n\
         instances = [{{ name = \"one\", address = \"127.0.0.1\", ssh_port = {target} }}]\n",
        state = at("state"),
        host = at("host"),
        ca = at("ca"),
        keys = at("keys/%u/authorized_keys"),
    );
    fs::write(at("poolgate.toml"), config).unwrap();
    let file = at("poolgate.toml").display().to_string();
    Service::start(
        env!("CARGO_BIN_EXE_poolgate"),
        &["serve", "-c", &file],
        port,
    )
}
