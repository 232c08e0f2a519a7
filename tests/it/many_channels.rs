//! Several channels over one connection: one that stalls does not hold up the others, and bulk in both directions ends.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::client::{PATIENCE, host};
use crate::support::proc::moved_bytes;
use crate::support::{
    Door, Finished, GateSetup, Logins, Person, Running, Sshd, World, finish, tool, wait_until,
};

/// A connection that others share (`ssh -M`).
struct Master {
    door: Door,
    person: Person,
    socket: PathBuf,
    running: Running,
}

impl Master {
    fn start(world: &World, door: &Door, person: &Person) -> Self {
        let socket = world.path(&format!("mux-{}", door.label));
        drop(std::fs::remove_file(&socket)); // an earlier one's, killed before it could tidy up
        let mut ssh = door.ssh(person);
        // The first value of an option counts, so the shared socket has to come before the general options.
        let mut master = tool("ssh");
        master.args([
            "-o",
            &format!("ControlPath={}", socket.display()),
            "-o",
            "ControlMaster=yes",
        ]);
        master.args(ssh.get_args()).args(["-N", &host(person)]);
        ssh = master;
        let running = Running::start(&mut ssh);
        wait_until("the shared connection", PATIENCE, || {
            socket.exists().then_some(())
        });
        Self {
            door: door.clone(),
            person: person.clone(),
            socket,
            running,
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut ssh = tool("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            &format!("ControlPath={}", self.socket.display()),
        ]);
        ssh.args(["-o", "ControlMaster=no", "-p", &self.door.port.to_string()]);
        ssh.args([&host(&self.person), line]);
        ssh
    }

    fn run(&self, line: &str) -> Finished {
        finish(&mut self.command(line), PATIENCE)
    }
}

/// The way a channel's bytes go that nobody takes.
#[derive(Clone, Copy, Debug)]
enum Stalled {
    /// The command writes, and nobody reads the client's output.
    Down,
    /// The client is fed, and the command does not read.
    Up,
}

impl Stalled {
    fn line(self) -> &'static str {
        match self {
            Self::Down => "head -c 1073741824 /dev/zero",
            Self::Up => "sleep 300",
        }
    }

    fn stdin(self) -> Stdio {
        match self {
            Self::Down => Stdio::null(),
            Self::Up => Stdio::from(File::open("/dev/zero").unwrap()),
        }
    }
}

/// How long the quickest of five `true` takes beside a channel that stands still.
fn exec_beside_a_stalled_channel(world: &World, door: &Door, way: Stalled) -> Duration {
    let master = Master::start(world, door, &world.person(1));
    let mut stalled = master.command(way.line());
    // Nobody reads the pipe of its output.
    stalled
        .stdin(way.stdin())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = stalled.spawn().unwrap();
    let mut seen = (0, Instant::now());
    wait_until("the channel to stall", PATIENCE, || {
        // The shared connection's process moves the bytes: it has begun, and has then stood still for a while.
        let moved = moved_bytes(master.running.pid())?;
        if moved != seen.0 {
            seen = (moved, Instant::now());
        }
        (moved > 60_000 && seen.1.elapsed() > Duration::from_secs(1)).then_some(())
    });
    let quickest = (0..5).map(|_| master.run("true").ok().took).min().unwrap();
    assert!(
        child.try_wait().unwrap().is_none(),
        "the stalled channel is still there"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    quickest
}

#[test]
fn a_stalled_channel_does_not_hold_up_a_second_one() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    for way in [Stalled::Down, Stalled::Up] {
        let [direct, relayed] = [sshds[0].door(&world), gate.door(&world)]
            .map(|door| exec_beside_a_stalled_channel(&world, &door, way));
        // Twice the direct time, with some milliseconds for the noise of a busy machine.
        let limit = direct * 2 + Duration::from_millis(60);
        assert!(
            relayed < limit,
            "{way:?}: direct {direct:?}, through the gate {relayed:?}"
        );
    }
    assert_eq!(gate.audited_instances("person01").len(), 2);
    gate.stop();
}

#[test]
fn bulk_in_both_directions_at_once_through_one_channel_ends() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds)
        .ssh("rekey_bytes = \"32 MiB\"")
        .start(&world);
    let person = world.person(1);
    let mut words = vec!["ssh".to_owned()];
    words.extend(gate.door(&world).options(&person));
    words.extend(["-o".to_owned(), "RekeyLimit=64M".to_owned(), host(&person)]);
    let ssh = crate::support::client::quoted(&words);
    let size = 256 << 20;

    // Each side sends without waiting for what the other sends.
    let apart = format!(
        "head -c {size} /dev/zero | {ssh} 'head -c {size} /dev/zero & wc -c >&2; wait' | wc -c"
    );
    let finished = finish(tool("sh").args(["-c", &apart]), PATIENCE * 3).ok();
    assert_eq!(
        finished.text(),
        size.to_string(),
        "bytes that came: {finished}"
    );
    assert_eq!(
        finished.stderr.trim(),
        size.to_string(),
        "bytes that went: {finished}"
    );

    // And what is sent comes back as it was.
    let noise = format!(
        "openssl enc -aes-128-ctr -nosalt -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c {size}"
    );
    let sum = finish(
        tool("sh").args(["-c", &format!("{noise} | sha256sum")]),
        PATIENCE,
    )
    .ok();
    let echo = format!("{noise} | {ssh} cat | sha256sum");
    let echoed = finish(tool("sh").args(["-c", &echo]), PATIENCE * 3).ok();
    assert_eq!(echoed.text(), sum.text());
    assert_eq!(gate.audited_instances("person01").len(), 2);
    gate.stop();
}

#[test]
fn fifty_commands_share_one_connection() {
    let world = World::new();
    let sshds = Sshd::start_many(&world, 1, Logins::Certificates);
    let gate = GateSetup::over(&sshds).start(&world);
    let master = Master::start(&world, &gate.door(&world), &world.person(1));
    let began = Instant::now();
    let running: Vec<Running> = (0..50)
        .map(|number| Running::start(&mut master.command(&format!("echo {number}; exit {number}"))))
        .collect();
    for (number, one) in running.into_iter().enumerate() {
        let finished = one.finish(PATIENCE);
        assert_eq!(finished.text(), number.to_string(), "{finished}");
        assert_eq!(finished.code(), i32::try_from(number).ok());
    }
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(
        gate.audited_instances("person01").len(),
        1,
        "one login carries them all"
    );
    gate.stop();
}
