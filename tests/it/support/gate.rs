//! The gate as a real process: configured, started, asked what it sees, stopped.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::certificate::certificate_files;
use super::client::PATIENCE;
use super::http;
use super::proc::{Running, descendants, finish, wait_gone};
use super::{Door, Finished, World, free_port, wait_until};
pub use setup::GateSetup;

mod setup;
mod upgrade;

/// What the contract gives every instance and every session, at the API and on the command line.
pub const OF_INSTANCE: [&str; 8] = [
    "name",
    "address",
    "pool",
    "admin_state",
    "health",
    "sessions",
    "capacity",
    "load",
];
pub const OF_SESSION: [&str; 7] = [
    "id", "user", "protocol", "pool", "instance", "peer", "since",
];

/// A running gate.
pub struct Gate {
    process: Option<Running>,
    environment: Vec<(&'static str, String)>,
    folder: PathBuf,
    pub config: PathBuf,
    pub ssh_port: u16,
    pub https_port: u16,
    pub admin_port: u16,
}

impl Gate {
    fn start(world: &World, setup: &GateSetup) -> Self {
        let mut gate = Self {
            process: None,
            environment: setup.environment.clone(),
            folder: world.folder("gate"),
            config: world.path("gate/poolgate.toml"),
            ssh_port: free_port(),
            https_port: setup.https_port.unwrap_or_else(free_port),
            admin_port: free_port(),
        };
        fs::write(&gate.config, gate.config_text(world, setup)).unwrap();
        let tokens = gate.folder.join("admin.tokens");
        fs::write(&tokens, http::TOKEN_LINE).unwrap();
        fs::set_permissions(&tokens, Permissions::from_mode(0o600)).unwrap();
        world.trust_host(gate.ssh_port, &world.path("gate_host_key"));
        gate.launch();
        gate.wait_ready(setup.count);
        gate
    }

    fn config_text(&self, world: &World, setup: &GateSetup) -> String {
        let folder = self.folder.display();
        let https = setup.https.as_ref().map_or(String::new(), |lines| {
            let (certificate, key) = certificate_files(world);
            let files = match lines.contains("[https.acme]") {
                true => String::new(),
                false => format!("certificate = {certificate:?}\nprivate_key = {key:?}\n"),
            };
            let listen = format!("listen = [\"127.0.0.1:{}\"]", self.https_port);
            format!("[https]\n{listen}\n{files}{lines}\n")
        });
        let host_keys = match setup.host_keys.is_empty() {
            true => vec![world.path("gate_host_key")],
            false => setup.host_keys.clone(),
        };
        format!(
            "state_dir = \"{folder}/state\"
{root}
[ssh]
listen = [\"127.0.0.1:{ssh_port}\"]
host_keys = {host_keys:?}
user_ca = {user_ca:?}
{ssh}
[ssh.penalties]
{penalties}
[ssh.auth]
authorized_keys = [{authorized_keys:?}]
{auth}
{https}
[admin]
socket = \"{folder}/admin.sock\"
listen = \"127.0.0.1:{admin_port}\"
tokens_file = \"{folder}/admin.tokens\"
[audit]
file = \"{folder}/audit.jsonl\"
[log]
filter = \"info,poolgate=debug\"
[pools.main]
default = true
{pool}
[pools.main.ssh]
{pool_ssh}
[pools.main.jupyter]
{pool_jupyter}
[pools.main.health]
{health}
{scaling}
[pools.main.fleet]
{fleet}
",
            root = setup.root,
            ssh_port = self.ssh_port,
            host_keys = host_keys,
            user_ca = world.path("user_ca"),
            ssh = setup.ssh,
            penalties = setup
                .penalties
                .as_deref()
                .unwrap_or("exempt = [\"127.0.0.0/8\"]"),
            authorized_keys = world.authorized_keys_pattern(),
            auth = setup.auth,
            admin_port = self.admin_port,
            pool = setup.pool,
            pool_ssh = setup.pool_ssh,
            pool_jupyter = setup.pool_jupyter,
            health = setup.health,
            scaling = setup.scaling_text(),
            fleet = setup.fleet_text(),
        )
    }

    fn launch(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .unwrap();
        let mut command = poolgate();
        command.args(["serve", "-c"]).arg(&self.config);
        command.env_remove("SSH_AUTH_SOCK");
        command.envs(self.environment.iter().cloned());
        self.process = Some(Running::start_logged(&mut command, log));
    }

    fn wait_ready(&mut self, instances: usize) {
        let port = self.admin_port;
        let deadline = Duration::from_secs(20);
        let folder = self.folder.clone();
        let process = self.process.as_mut().unwrap();
        wait_until(
            "the gate's /readyz and its instances' health",
            deadline,
            || {
                assert!(
                    process.is_running(),
                    "the gate ended: {}",
                    fs::read_to_string(folder.join("log")).unwrap_or_default()
                );
                let ready = http::get(port, "/readyz").is_some_and(|(status, _)| status == 200);
                let up = ready
                    && rows_at(port, "/api/v1/instances")
                        .iter()
                        .filter(|row| row["health"] == "up")
                        .count()
                        == instances;
                up.then_some(())
            },
        );
    }

    /// Memory of the gate's process that is in use, in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// Processor time so far, of all threads.
    #[allow(dead_code, reason = "benches share this file")]
    pub fn cpu_time(&self) -> Duration {
        let pid = self.process.as_ref().unwrap().pid();
        let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
        let clock = nix::time::clock_getcpuclockid(pid).unwrap();
        clock.now().unwrap().into()
    }

    /// Where its admin socket is.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    pub fn door(&self, world: &World) -> Door {
        Door::gate(world, self.ssh_port)
    }

    /// A count of KiB in the process's status, such as `VmRSS:`.
    pub fn status_kib(&self, field: &str) -> u64 {
        let pid = self.process.as_ref().unwrap().pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {field} in the gate's status"))
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// A command of the command line about this gate, waited for.
    pub fn cli(&self, words: &[&str]) -> Finished {
        let mut command = poolgate();
        command.args(words).arg("-c").arg(&self.config);
        finish(&mut command, PATIENCE)
    }

    /// `GET` on the admin listener.
    pub fn admin(&self, path: &str) -> (u16, String) {
        http::get(self.admin_port, path).unwrap_or_else(|| panic!("no answer to GET {path}"))
    }

    pub fn instances(&self) -> Vec<Value> {
        rows_at(self.admin_port, "/api/v1/instances")
    }

    pub fn sessions(&self) -> Vec<Value> {
        rows_at(self.admin_port, "/api/v1/sessions")
    }

    /// The audit lines of one kind: `login`, `refused`, `end`.
    pub fn audit(&self, event: &str) -> Vec<Value> {
        fs::read_to_string(self.folder.join("audit.jsonl"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|line| line["event"] == event)
            .collect()
    }

    /// The instances that the audit log says this person was sent to, in order.
    #[track_caller]
    pub fn audited_instances(&self, user: &str) -> Vec<String> {
        let logins = self.audit("login").into_iter();
        let theirs = logins.filter(|line| line["user"] == user);
        theirs
            .map(|line| line["instance"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until the gate holds exactly `count` sessions.
    #[track_caller]
    pub fn wait_sessions(&self, count: usize) {
        let limit = Duration::from_secs(15);
        wait_until(&format!("{count} sessions at the gate"), limit, || {
            (self.sessions().len() == count).then_some(())
        });
    }

    /// Waits until the audit log holds at least `count` lines of this kind.
    #[track_caller]
    pub fn wait_audit(&self, event: &str, count: usize) -> Vec<Value> {
        let limit = Duration::from_secs(15);
        wait_until(&format!("{count} audit lines of {event}"), limit, || {
            let lines = self.audit(event);
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Stops it and starts another at the same addresses.
    pub fn replaced(mut self, world: &World, setup: GateSetup) -> Self {
        self.end();
        fs::write(&self.config, self.config_text(world, &setup)).unwrap();
        self.launch();
        self.wait_ready(setup.count);
        self
    }

    /// Kills it, so that it cannot do anything more.
    pub fn kill_9(&mut self) {
        let process = self.process.take().unwrap();
        process.signal(Signal::SIGKILL);
        process.finish(Duration::MAX);
    }

    /// Starts it again, as it was.
    pub fn start_again(&mut self, instances: usize) {
        self.launch();
        self.wait_ready(instances);
    }

    /// The same where no instance is up, so that it is not ready either.
    pub fn start_again_alone(&mut self) {
        self.launch();
        wait_until("the gate's /livez", PATIENCE, || {
            let alive = http::get(self.admin_port, "/livez");
            alive.filter(|(status, _)| *status == 200)
        });
    }

    /// Asks it to read files again.
    pub fn hang_up(&self) {
        self.signal(Signal::SIGHUP);
    }

    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// Waits until it ends by itself, and well.
    pub fn wait_end(mut self) {
        let process = self.process.take().unwrap();
        process.finish_within(PATIENCE).ok();
    }

    /// Stops it as an operator would, and checks that it ends well and leaves no process.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let below = descendants(process.pid());
        // The first asks it to let sessions finish, the second ends it at once. Two at the same moment are one to the
        // system, so it is asked until it is gone.
        wait_until("the end of the gate", Duration::from_secs(30), || {
            process.signal(Signal::SIGTERM);
            (!process.is_running()).then_some(())
        });
        let finished = process.finish(Duration::MAX);
        assert_eq!(
            finished.code(),
            Some(0),
            "the gate ended badly: {finished}\n{}",
            self.log()
        );
        wait_gone("what the gate started", &below, Duration::from_secs(5));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test failed already: show what the gate has to say.
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- the gate's log\n{}", tail.join("\n"));
        } else {
            self.end();
        }
    }
}

/// The program under test: the one just built, or another build that `POOLGATE_TEST_PROGRAM` names.
pub fn poolgate() -> Command {
    let other = std::env::var_os("POOLGATE_TEST_PROGRAM");
    Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_poolgate").into()))
}

/// The objects that an API address lists, bare or under a name.
fn rows_at(port: u16, path: &str) -> Vec<Value> {
    let body = http::get(port, path)
        .map(|(_, body)| body)
        .unwrap_or_default();
    rows(&body)
}

/// The same of text that a command printed.
pub fn rows(json: &str) -> Vec<Value> {
    match serde_json::from_str(json) {
        Ok(Value::Array(rows)) => rows,
        Ok(Value::Object(fields)) => {
            let list = fields.into_iter().find_map(|(_, value)| match value {
                Value::Array(rows) => Some(rows),
                _ => None,
            });
            list.unwrap_or_default()
        }
        _ => Vec::new(),
    }
}
