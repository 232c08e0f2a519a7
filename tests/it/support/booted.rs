//! A machine that systemd has booted: a Debian 12 of its own (tests/it/make-root) in a container, on the test's own network, with
//! the program under test and the units of `deploy/systemd` installed as the package does it.
//!
//! It has control groups of its own below those this process is in, and all of it ends with it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::gate::poolgate;
use super::people::staged;
use super::proc::{Finished, Running, descendants, finish, send, tool, wait_gone};
use super::{World, wait_until};

const PATIENT: Duration = Duration::from_secs(120);
/// The account of the gate, as the package would make it.
const ACCOUNT: u32 = 64022;
/// Where control groups may be, by kind and version.
const GROUPS: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
];

/// Goes into a control group of its own, and becomes the container.
const BOOT: &str = r#"set -e
for group in $1; do echo $$ >"$group/cgroup.procs"; done
shift
exec "$@"
"#;

pub struct Booted {
    folder: PathBuf,
    groups: Vec<PathBuf>,
    container: Running,
    first: u32,
}

impl Booted {
    /// `prepare` is given the root folder before it boots.
    pub fn start(world: &World, prepare: impl FnOnce(&Path)) -> Self {
        let nspawn = staged().join("unpacked/usr/bin/systemd-nspawn");
        assert!(
            nspawn.exists(),
            "there is no {}: run tests/run",
            nspawn.display()
        );
        let folder = world.folder("booted");
        let root = overlay(&folder);
        install(&root);
        prepare(&root);
        let groups = make_groups();
        let names = groups.iter().map(|group| group.display().to_string());
        let names = names.collect::<Vec<_>>().join(" ");
        let mut boot = tool("bash");
        boot.args(["-c", BOOT, "boot", &names]).arg(&nspawn);
        boot.args([
            "--keep-unit",
            "--register=no",
            "--quiet",
            "--boot",
            "--machine=gate",
        ]);
        boot.args([
            "--resolv-conf=off",
            "--link-journal=no",
            "--console=passive",
        ]);
        let log = fs::File::create(folder.join("console")).unwrap();
        let mut container = Running::start_logged(boot.arg("--directory").arg(&root), log);
        let first = wait_until("the first process of the container", PATIENT, || {
            let console = || fs::read_to_string(folder.join("console")).unwrap();
            assert!(container.is_running(), "it did not boot: {}", console());
            let below = descendants(container.pid()).into_iter();
            below.into_iter().find(|pid| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm"));
                name.is_ok_and(|name| name.trim() == "systemd")
            })
        });
        let booted = Self {
            folder,
            groups,
            container,
            first,
        };
        wait_until("the machine to have booted", PATIENT, || {
            let state = booted.run(&["systemctl", "is-system-running"]);
            matches!(state.text(), "running" | "degraded").then_some(())
        });
        booted
    }

    /// A command in it, as root.
    pub fn run(&self, words: &[&str]) -> Finished {
        finish(&mut self.command(words), PATIENT)
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = tool("nsenter");
        command.args(["--target", &self.first.to_string(), "--all", "--wd=/"]);
        command.args([
            "/usr/bin/env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C",
        ]);
        command.args(words);
        command
    }

    /// The process that systemd takes for the gate; 0 if there is none.
    pub fn main_process(&self) -> u32 {
        let shown = self.run(&[
            "systemctl",
            "show",
            "--property=MainPID",
            "--value",
            "poolgate",
        ]);
        shown.ok().text().parse().unwrap()
    }

    pub fn state(&self) -> String {
        self.run(&["systemctl", "is-active", "poolgate"])
            .text()
            .to_owned()
    }

    fn journal(&self) -> String {
        let told = self.run(&["journalctl", "--no-pager", "--unit=poolgate", "--lines=80"]);
        told.stdout
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the journal of the gate's unit\n{}", self.journal());
        }
        send(self.first, Signal::SIGKILL);
        self.container.signal(Signal::SIGKILL);
        wait_gone(
            "the container",
            &[self.first, self.container.pid()],
            PATIENT,
        );
        let root = self.folder.join("root");
        finish(tool("umount").arg("--lazy").arg(root), PATIENT).ok();
        for group in &self.groups {
            remove_group(group);
        }
    }
}

/// A Debian whose changes are this folder's.
fn overlay(folder: &Path) -> PathBuf {
    let debian = staged().join("debian-root");
    assert!(
        debian.join("opt/poolgate").exists(),
        "there is no Debian for it: run tests/run, which makes one"
    );
    let part = |name: &str| {
        let path = folder.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let [changes, work, root] = ["changes", "work", "root"].map(part);
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        debian.canonicalize().unwrap().display(),
        changes.display(),
        work.display()
    );
    let mut mount = tool("mount");
    mount
        .args(["-t", "overlay", "overlay", "-o", &options])
        .arg(&root);
    finish(&mut mount, PATIENT).ok();
    root
}

/// What the package installs, enabled.
fn install(root: &Path) {
    let program = poolgate().get_program().to_owned();
    fs::copy(program, root.join("usr/bin/poolgate")).unwrap();
    let account = format!("poolgate:x:{ACCOUNT}:{ACCOUNT}::/var/lib/poolgate:/usr/sbin/nologin\n");
    append(&root.join("etc/passwd"), &account);
    append(&root.join("etc/group"), &format!("poolgate:x:{ACCOUNT}:\n"));
    let units = root.join("etc/systemd/system");
    let wanted = units.join("multi-user.target.wants");
    // Nothing else of that Debian is to start here.
    drop(fs::remove_dir_all(&wanted));
    fs::create_dir_all(&wanted).unwrap();
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/poolgate.service");
    fs::copy(unit, units.join("poolgate.service")).unwrap();
    std::os::unix::fs::symlink("../poolgate.service", wanted.join("poolgate.service")).unwrap();
    fs::create_dir_all(root.join("etc/poolgate")).unwrap();
}

fn append(file: &Path, line: &str) {
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, format!("{text}{line}")).unwrap();
}

/// A copy of a secret, as the gate's own.
pub fn give(root: &Path, secret: &Path, name: &str) {
    let target = root.join("etc/poolgate").join(name);
    fs::copy(secret, &target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&target, Some(ACCOUNT), Some(ACCOUNT)).unwrap();
}

/// Control groups that are this machine's alone: what its systemd does to groups it does to nobody else's.
fn make_groups() -> Vec<PathBuf> {
    let name = format!("poolgate-test-{}", std::process::id());
    let mut made = Vec::new();
    for hierarchy in GROUPS.map(Path::new) {
        if !hierarchy.join("cgroup.procs").exists() {
            continue;
        }
        let group = hierarchy.join(&name);
        fs::create_dir(&group).unwrap_or_else(|error| panic!("{}: {error}", group.display()));
        made.push(group);
    }
    assert!(
        !made.is_empty(),
        "there are no control groups at /sys/fs/cgroup, which systemd needs"
    );
    made
}

/// With those in it, which are empty by now or a moment later.
fn remove_group(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.path().is_dir()) {
        remove_group(&entry.path());
    }
    wait_until(&format!("the end of {}", group.display()), PATIENT, || {
        fs::remove_dir(group).ok()
    });
}
