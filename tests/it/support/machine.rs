//! A machine as the set-up scripts of `deploy/azure` find it: a Debian 12 of its own (tests/it/make-root) under namespaces of
//! its own, one wire away from the test's network. Nothing in it reaches further than that, and all of it ends with it.
//!
//! It has no systemd: what a unit would start the test starts, by the words of the unit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use super::people::staged;
use super::proc::{Finished, Running, descendants, finish, tool};
use super::{World, wait_until};

const PATIENT: Duration = Duration::from_secs(180);

/// The machine's first process; what mounts it needs are its own.
const BEGIN: &str = r#"set -e
mkdir "$2/changes" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/changes,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mkdir "$2/root/clone"
mount --bind -o ro "$3" "$2/root/clone"
ip link set lo up
ip address add 169.254.169.254/32 dev lo
touch "$2/ready"
exec sleep infinity
"#;

pub struct Machine {
    pub address: String,
    /// What it sees the test's own processes come from.
    pub gate_address: String,
    folder: PathBuf,
    pid: u32,
    services: Vec<Running>,
    metadata: Option<Running>,
    _first: Running,
}

impl Machine {
    pub fn start(world: &World, name: &str) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let debian = staged().join("debian-root");
        assert!(
            debian.join("opt/poolgate").exists(),
            "there is no Debian for it: run tests/run, which makes one"
        );
        let folder = world.folder(name);
        let mut first = tool("unshare");
        first.args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            BEGIN,
            name,
        ]);
        first
            .arg(debian.canonicalize().unwrap())
            .arg(&folder)
            .arg(env!("CARGO_MANIFEST_DIR"));
        let log = fs::File::create(folder.join("log")).unwrap();
        let mut first = Running::start_logged(&mut first, log);
        wait_until("the machine", PATIENT, || {
            let log = || fs::read_to_string(folder.join("log")).unwrap();
            assert!(first.is_running(), "it did not start: {}", log());
            folder.join("ready").exists().then_some(())
        });
        let machine = Self {
            address: format!("10.77.{number}.2"),
            gate_address: format!("10.77.{number}.1"),
            folder,
            pid: descendants(first.pid())[0],
            services: Vec::new(),
            metadata: None,
            _first: first,
        };
        machine.connect(&format!("machine{number}"));
        machine
    }

    fn connect(&self, link: &str) {
        let ip = |words: &str| finish(tool("ip").args(words.split(' ')), PATIENT).ok();
        ip(&format!(
            "link add {link} type veth peer name eth0 netns {}",
            self.pid
        ));
        ip(&format!("address add {}/24 dev {link}", self.gate_address));
        ip(&format!("link set {link} up"));
        self.outside(&format!(
            "ip address add {}/24 dev eth0 && ip link set eth0 up",
            self.address
        ));
    }

    /// A command in its network, with the files of the test.
    pub fn outside(&self, line: &str) {
        let mut command = self.enter(&["-n"]);
        finish(command.args(["bash", "-c", line]), PATIENT).ok();
    }

    fn enter(&self, more: &[&str]) -> Command {
        let mut command = tool("nsenter");
        command.args(["-t", &self.pid.to_string()]).args(more);
        command
    }

    fn inside(&self, words: &[&str]) -> Command {
        let mut command = self.enter(&["-n", "-m", "-p"]);
        command.args(["chroot", &self.folder.join("root").display().to_string()]);
        // Nothing of whoever runs the tests.
        command.args([
            "/usr/bin/env",
            "-i",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C",
        ]);
        command.args(words);
        command
    }

    /// A line of bash, as root.
    pub fn sh(&self, line: &str) -> Finished {
        finish(&mut self.inside(&["bash", "-c", line]), PATIENT)
    }

    /// The same as a person of the machine, after a login.
    pub fn sh_as(&self, user: &str, line: &str) -> Finished {
        finish(&mut self.inside(&["su", "-", user, "-c", line]), PATIENT)
    }

    /// A file with this text.
    pub fn write(&self, path: &str, text: &str, mode: u32) {
        let file = self.folder.join("given");
        fs::write(&file, text).unwrap();
        self.copy(&file, path, mode);
    }

    pub fn copy(&self, file: &Path, path: &str, mode: u32) {
        let target = format!("{}{path}", self.folder.join("root").display());
        let mut copy = self.enter(&["-m"]);
        copy.args(["install", "-D", "-m", &format!("{mode:o}")]);
        finish(copy.arg(file).arg(target), PATIENT).ok();
    }

    pub fn read(&self, path: &str) -> String {
        self.sh(&format!("cat '{path}'")).ok().stdout
    }

    /// Starts what a unit's `ExecStart` says, with its `Environment`, in its `WorkingDirectory`.
    pub fn start_unit(&mut self, unit: &str) {
        let text = self.read(unit);
        let values = |key: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(&format!("{key}=")))
                .collect::<Vec<_>>()
        };
        let folder = values("WorkingDirectory")
            .first()
            .map_or("/", |folder| folder)
            .to_owned();
        let environment = values("Environment").join(" ");
        let start = values("ExecStart")[0];
        self.start_service(&format!("cd {folder} && exec env {environment} {start}"));
    }

    /// Starts what stays until the machine ends.
    pub fn start_service(&mut self, line: &str) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("services.log"))
            .unwrap();
        let mut command = self.inside(&["bash", "-c", line]);
        self.services.push(Running::start_logged(&mut command, log));
    }

    /// The metadata service and two vaults of tests/clients/metadata.py, whose secrets are in this folder.
    pub fn start_metadata(&mut self, secrets: &Path) {
        let log_file = self.folder.join("metadata.log");
        let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".test/venv/bin/python");
        let mut command = self.enter(&["-n"]);
        command
            .arg(python)
            .arg(super::client::client_script("metadata.py"))
            .arg(secrets);
        let log = fs::File::create(&log_file).unwrap();
        self.metadata = Some(Running::start_logged(&mut command, log));
        wait_until("the metadata service", PATIENT, || {
            let said = fs::read_to_string(&log_file).unwrap();
            said.contains("up").then_some(())
        });
    }

    /// Its port is that of a gate's redirects.
    pub fn stop_metadata(&mut self) {
        self.metadata = None;
    }

    /// What its services and their setup said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("services.log")).unwrap_or_default()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- the machine's services\n{}", tail.join("\n"));
        }
    }
}
