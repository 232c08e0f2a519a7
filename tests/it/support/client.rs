//! OpenSSH as people use it, kept away from the machine's own keys, agents and settings.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Finished, Person, Running, World, finish, tool, wait_until};

/// Generous: what is waited for takes a second; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Somewhere to log in: the gate, or an instance itself as the measure of what "as direct" means.
#[derive(Clone)]
pub struct Door {
    pub label: String,
    pub port: u16,
    /// Whether this is an instance, which wants a certificate.
    pub is_direct: bool,
    pub known_hosts: PathBuf,
}

impl Door {
    pub fn gate(world: &World, port: u16) -> Self {
        Self::new(world, "gate", port, false)
    }

    pub fn direct(world: &World, port: u16) -> Self {
        Self::new(world, "direct", port, true)
    }

    fn new(world: &World, label: &str, port: u16, is_direct: bool) -> Self {
        Self {
            label: label.to_owned(),
            port,
            is_direct,
            known_hosts: world.known_hosts(),
        }
    }

    /// `-o` options that ssh, scp and sftp share.
    pub fn options(&self, person: &Person) -> Vec<String> {
        let mut options = vec![
            format!("Port={}", self.port),
            format!("UserKnownHostsFile={}", self.known_hosts.display()),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            format!("IdentityFile={}", person.key.display()),
            "IdentitiesOnly=yes".to_owned(),
            "IdentityAgent=none".to_owned(),
            "BatchMode=yes".to_owned(),
            "ControlMaster=no".to_owned(),
            "ControlPath=none".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "LogLevel=INFO".to_owned(),
        ];
        if self.is_direct {
            options.push(format!("CertificateFile={}", person.certificate.display()));
        }
        let dashed = options
            .into_iter()
            .flat_map(|option| ["-o".to_owned(), option]);
        ["-F".to_owned(), "none".to_owned()]
            .into_iter()
            .chain(dashed)
            .collect()
    }

    /// `ssh` with the person's options and nothing after them: add your own, then `host`, then a command.
    pub fn ssh(&self, person: &Person) -> Command {
        let mut ssh = tool("ssh");
        ssh.args(self.options(person));
        ssh.env_remove("SSH_AUTH_SOCK").env_remove("DISPLAY");
        ssh
    }

    /// Runs a command line there and waits for it.
    #[track_caller]
    pub fn run(&self, person: &Person, command: &str) -> Finished {
        self.run_with(person, &[], command)
    }

    /// The same with options of ssh before the host.
    #[track_caller]
    pub fn run_with(&self, person: &Person, options: &[&str], command: &str) -> Finished {
        let mut ssh = self.ssh(person);
        ssh.args(options).arg(host(person)).arg(command);
        finish(&mut ssh, PATIENCE)
    }

    /// The name of the instance that a login of this person lands on.
    #[track_caller]
    pub fn instance_of(&self, person: &Person) -> String {
        self.run(person, "echo $POOLGATE_INSTANCE")
            .ok()
            .text()
            .to_owned()
    }
}

/// An ssh client that wants to stay, and says `seated` once it is there.
pub struct Staying {
    process: Running,
    log: PathBuf,
}

impl Staying {
    /// What it shows goes to the file `log`.
    pub fn start(door: &Door, person: &Person, log: PathBuf) -> Self {
        let file = std::fs::File::create(&log).unwrap();
        let mut ssh = door.ssh(person);
        ssh.arg(host(person))
            .arg("echo seated; while echo .; do sleep 0.2; done");
        let process = Running::start_logged(&mut ssh, file);
        Self { process, log }
    }

    pub fn told(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    pub fn wait_told(&mut self, text: &str) {
        wait_until(&format!("ssh to show {text:?}"), PATIENCE, || {
            let told = self.told();
            assert!(self.process.is_running(), "it ended: {told}");
            told.contains(text).then_some(())
        });
    }

    /// Its connection is gone.
    #[track_caller]
    pub fn wait_cut_off(self) {
        let end = self.process.finish(PATIENCE);
        assert_eq!(end.code(), Some(255), "{end}");
    }
}

/// `person@127.0.0.1`.
pub fn host(person: &Person) -> String {
    format!("{}@127.0.0.1", person.name)
}

/// A word for `sh -c` lines.
pub fn quoted(words: &[String]) -> String {
    let quote = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A script of tests/clients.
pub fn client_script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// The python that has the packages of tests/run.
pub fn venv_python() -> Command {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/venv/bin/python");
    let mut command = tool(python.to_str().unwrap());
    // Their values would make clients refuse the tests' own certificates, or use the developer's keys.
    for variable in ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSH_AUTH_SOCK"] {
        command.env_remove(variable);
    }
    command
}
