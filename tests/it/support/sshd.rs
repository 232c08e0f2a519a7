//! Real OpenSSH servers as instances.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::client::PATIENCE;
use super::proc::{descendants, send, tool, wait_gone};
use super::world::public;
use super::{Door, World, free_port, wait_until};

/// Where another OpenSSH was built than the system's, such as the one of `tests/regress/run`, if instances shall run it.
fn openssh_folder() -> Option<PathBuf> {
    std::env::var_os("POOLGATE_TEST_OPENSSH").map(PathBuf::from)
}

/// Lines that tell sshd where its other programs are.
fn parts_in(folder: &std::path::Path) -> String {
    let folder = folder.display();
    format!("SshdSessionPath {folder}/sshd-session\nSshdAuthPath {folder}/sshd-auth\n")
}

/// How people log in to an instance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Logins {
    /// With certificates of the pool's authority, and no other way: the normal instance.
    Certificates,
    /// Also with passwords, checked through PAM, after a banner.
    Passwords,
    /// Also with keyboard-interactive rounds through PAM, and no plain passwords.
    KeyboardInteractive,
}

pub struct Sshd {
    pub name: String,
    pub port: u16,
    folder: PathBuf,
    program: PathBuf,
    child: Child,
}

/// What an instance says before a password login.
pub const BANNER: &str = "This instance belongs to the physics department.";

impl Sshd {
    pub fn start(world: &World, name: &str, logins: Logins) -> Self {
        // sshd runs itself anew for each connection and needs its full path for that.
        match openssh_folder() {
            None => Self::start_program(world, name, logins, "/usr/sbin/sshd".into(), ""),
            Some(folder) => {
                let parts = parts_in(&folder);
                Self::start_program(world, name, logins, folder.join("sshd"), &parts)
            }
        }
    }

    /// One of the versions that penalise sources (9.8 and later), which tests/run unpacks where apt has it.
    pub fn start_new(world: &World, name: &str, logins: Logins) -> Option<Self> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/openssh-backports");
        let parts = parts_in(&root.join("usr/lib/openssh"));
        let program = root.join("usr/sbin/sshd");
        let is_there = program.exists();
        is_there.then(|| Self::start_program(world, name, logins, program, &parts))
    }

    fn start_program(
        world: &World,
        name: &str,
        logins: Logins,
        program: PathBuf,
        lines: &str,
    ) -> Self {
        let folder = world.folder(name);
        let port = free_port();
        if !folder.join("host_key").exists() {
            world.make_key(&format!("{name}/host_key"));
        }
        fs::write(folder.join("banner"), format!("{BANNER}\n")).unwrap();
        fs::write(
            folder.join("config"),
            Self::config(world, name, port, logins) + lines,
        )
        .unwrap();
        let child = Self::spawn(&folder, &program);
        let sshd = Self {
            name: name.to_owned(),
            port,
            folder,
            program,
            child,
        };
        sshd.wait_listening();
        world.trust_host(port, &sshd.host_key());
        sshd
    }

    /// `vm1`, `vm2`, ...
    pub fn start_many(world: &World, count: usize, logins: Logins) -> Vec<Self> {
        (1..=count)
            .map(|number| Self::start(world, &format!("vm{number}"), logins))
            .collect()
    }

    fn config(world: &World, name: &str, port: u16, logins: Logins) -> String {
        let folder = world.path(name);
        let (passwords, interactive) = match logins {
            Logins::Certificates => ("no", "no"),
            Logins::Passwords => ("yes", "no"),
            Logins::KeyboardInteractive => ("no", "yes"),
        };
        let (pam, banner) = if logins == Logins::Certificates {
            ("no", "none".to_owned())
        } else {
            ("yes", folder.join("banner").display().to_string())
        };
        format!(
            "ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
PidFile none
TrustedUserCAKeys {ca}.pub
AuthorizedKeysFile none
PasswordAuthentication {passwords}
KbdInteractiveAuthentication {interactive}
UsePAM {pam}
Banner {banner}
SetEnv POOLGATE_INSTANCE={name}
AcceptEnv LANG TEST_*
MaxStartups 1000
MaxSessions 1000
MaxAuthTries 10
UseDNS no
X11Forwarding yes
AllowAgentForwarding yes
AllowStreamLocalForwarding yes
StreamLocalBindUnlink yes
PrintMotd no
PrintLastLog no
LogLevel DEBUG2
Subsystem sftp internal-sftp
",
            folder = folder.display(),
            ca = world.path("user_ca").display(),
        )
    }

    fn spawn(folder: &std::path::Path, program: &std::path::Path) -> Child {
        let mut sshd = tool(program.to_str().unwrap());
        sshd.args(["-D", "-f"])
            .arg(folder.join("config"))
            .arg("-E")
            .arg(folder.join("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env_remove("SSH_AUTH_SOCK");
        Command::spawn(&mut sshd).expect("sshd starts")
    }

    fn wait_listening(&self) {
        wait_until(
            &format!("the banner of {}: {}", self.name, self.log()),
            Duration::from_secs(20),
            || {
                let mut banner = [0; 4];
                let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
                stream.read_exact(&mut banner).ok()?;
                (&banner == b"SSH-").then_some(())
            },
        );
    }

    pub fn host_key(&self) -> PathBuf {
        self.folder.join("host_key")
    }

    /// A login to it without the gate.
    pub fn door(&self, world: &World) -> Door {
        Door::direct(world, self.port)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The names that logged in, one an accepted login.
    pub fn accepted(&self) -> Vec<String> {
        let name = |line: &str| {
            let (_, rest) = line.split_once("Accepted ")?;
            let (_, rest) = rest.split_once(" for ")?;
            rest.split_whitespace().next().map(str::to_owned)
        };
        self.log().lines().filter_map(name).collect()
    }

    /// Waits until these names have logged in, each as often as here, and nobody else; its log is a moment behind its answer.
    pub fn wait_accepted(&self, names: &[&str]) {
        wait_until("the instance's log of its logins", PATIENCE, || {
            (self.accepted() == names).then_some(())
        });
    }

    /// How many TCP connections it took, probes among them.
    pub fn connections(&self) -> usize {
        self.log().matches("Connection from ").count()
    }

    /// Whether any login was tried on it, under any name: a probe never goes that far.
    pub fn saw_a_login_attempt(&self) -> bool {
        self.log().contains("userauth-request for user")
    }

    /// `kill -9` of it and of every session on it, as when the machine dies.
    pub fn kill_9(&mut self) {
        let all: Vec<u32> = std::iter::once(self.pid())
            .chain(descendants(self.pid()))
            .collect();
        for pid in &all {
            send(*pid, Signal::SIGKILL);
        }
        drop(self.child.wait());
        wait_gone(&self.name, &all, Duration::from_secs(10));
    }

    /// Another line for its config, from the next start on.
    pub fn add_config(&self, key: &str, value: &str) {
        let file = self.folder.join("config");
        let config = fs::read_to_string(&file).unwrap();
        // Before the others: the first value of a key counts.
        fs::write(&file, format!("{key} {value}\n{config}")).unwrap();
    }

    /// Another text in place of one in its config, from the next start on.
    pub fn change_config(&self, old: &str, new: &str) {
        let file = self.folder.join("config");
        let config = fs::read_to_string(&file).unwrap();
        assert!(config.contains(old), "{config}");
        fs::write(&file, config.replace(old, new)).unwrap();
    }

    /// Gives it another host key, as when somebody else's machine answers at its address.
    pub fn replace_host_key(&mut self, world: &World) {
        self.kill_9();
        let stolen = world.make_key(&format!("{}-other/host_key", self.name));
        for path in [stolen.clone(), public(&stolen)] {
            let name = path.file_name().unwrap();
            fs::copy(&path, self.host_key().with_file_name(name)).unwrap();
        }
        self.revive();
    }

    /// Starts it again at the same port.
    pub fn revive(&mut self) {
        self.child = Self::spawn(&self.folder, &self.program);
        self.wait_listening();
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill_9();
    }
}
