//! What systemd hears of a gate at its socket for notifications, and what people hear of a gate that ends.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::client::{PATIENCE, host};
use crate::support::gate::rows;
use crate::support::streams::ShellStream;
use crate::support::{GateSetup, Logins, Running, Sshd, World, free_port, wait_until};

/// Takes the place of systemd's end.
pub struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Vec<String>,
}

impl Systemd {
    pub fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            path: path.to_owned(),
            heard: Vec::new(),
        }
    }

    pub fn setup(&self, setup: GateSetup) -> GateSetup {
        setup.variable("NOTIFY_SOCKET", self.path.to_str().unwrap())
    }

    /// What was said so far, a line each, and forgets it.
    pub fn heard(&mut self) -> Vec<String> {
        self.listen_on();
        std::mem::take(&mut self.heard)
    }

    /// Waits for a line; all before it and itself are forgotten.
    #[track_caller]
    pub fn wait(&mut self, line: &str) {
        wait_until(&format!("the gate to say {line}"), PATIENCE, || {
            self.listen_on();
            let at = self
                .heard
                .iter()
                .position(|heard| heard.starts_with(line))?;
            self.heard.drain(..=at);
            Some(())
        });
    }

    fn listen_on(&mut self) {
        let mut bytes = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }
}

#[test]
fn systemd_hears_when_the_gate_opens_reads_lives_and_ends() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let mut systemd = Systemd::listen(&world.path("notify"));
    let setup = systemd.setup(GateSetup::over(&sshds));
    // A sign of life every half second.
    let gate = setup.variable("WATCHDOG_USEC", "1000000").start(&world);
    systemd.wait("READY=1");
    systemd.wait("WATCHDOG=1");
    systemd.wait("STATUS=open: 0 sessions on 1 instances, 1 of which take logins");
    gate.cli(&["reload"]).ok();
    systemd.wait("RELOADING=1");
    systemd.wait("MONOTONIC_USEC=");
    systemd.wait("READY=1");
    systemd.wait("WATCHDOG=1");
    gate.stop();
    let last = systemd.heard();
    assert!(last.contains(&"STOPPING=1".to_owned()), "{last:?}");
}

#[test]
fn a_file_that_was_read_by_order_is_not_read_again_by_itself() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let mut systemd = Systemd::listen(&world.path("notify"));
    let setup = systemd.setup(GateSetup::over(&sshds));
    // A sign of life every half second.
    let gate = setup.variable("WATCHDOG_USEC", "1000000").start(&world);
    let text = gate.text();
    let told = |what: &str| gate.log().matches(what).count();
    gate.reload_with(&text.replace("[ssh]\n", "[ssh]\nqueue_time = \"9m\"\n"))
        .ok();
    let faulty = gate.reload_with(&text.replace("[ssh]\n", "[ssh]\nport = 22\n"));
    assert_eq!(faulty.code(), Some(78));
    systemd.heard();
    // By then it has looked at the file more than twice.
    for _ in 0..12 {
        systemd.wait("WATCHDOG=1");
    }
    assert_eq!(told("the configuration was read again"), 1);
    assert_eq!(told("reload: the configuration stays as it is"), 1);
    let refused = gate.cli(&["events", "--kind", "reload-refused", "-o", "json"]);
    assert_eq!(rows(&refused.ok().stdout).len(), 1);
    fs::write(&gate.config, text).unwrap();
    wait_until("the gate to read it by itself", PATIENCE, || {
        let is_read = told("the configuration was read again") == 2;
        is_read.then_some(())
    });
    gate.stop();
}

/// It keeps a session, and its socket for operators; nobody waits at the others for an answer that never comes.
#[test]
fn a_gate_that_ends_refuses_new_people_at_once_and_answers_operators() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let redirect = free_port();
    let gate = GateSetup::over(&sshds)
        .https(&format!("redirect_listen = [\"127.0.0.1:{redirect}\"]"))
        .start(&world);
    let mut stays = ShellStream::start(&gate.door(&world), &world.person(1));
    let doors = [gate.ssh_port, gate.https_port, redirect];
    for port in doors {
        TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
    gate.signal(Signal::SIGTERM);
    for port in doors {
        wait_until(&format!("port {port} to be closed"), PATIENCE, || {
            let refused = TcpStream::connect(("127.0.0.1", port)).err()?;
            (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
        });
    }
    assert_eq!(gate.admin("/readyz").0, 503);
    assert_eq!(gate.sessions().len(), 1);
    stays.turn();
    stays.end();
    gate.wait_end();
}

#[test]
fn a_gate_that_ends_warns_people_and_closes_when_the_limit_is_over() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .root("drain_limit = \"4s\"")
        .start(&world);
    let person = world.person(1);
    let mut ssh = gate.door(&world).ssh(&person);
    ssh.args(["-tt", &host(&person), "read -r line"]);
    let terminal = Running::start_with_stdin(ssh.stdin(Stdio::piped()));
    wait_until("the command on the instance", PATIENCE, || {
        sshds[0].log().contains("Starting session: ").then_some(())
    });
    gate.signal(Signal::SIGTERM);
    let ended = terminal.finish(Duration::MAX);
    assert_ne!(ended.code(), Some(0));
    let said = format!("{}{}", ended.stdout, ended.stderr);
    for text in [
        "this gate is being stopped: no new logins",
        "this gate is being stopped and ends this session in 1s: save your work, and log in again",
        "this gate is being stopped, and keeps sessions for no more than 4s: log in again",
    ] {
        assert!(said.contains(text), "not told {text:?}: {ended}");
    }
    gate.wait_end();
}
