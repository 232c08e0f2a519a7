//! Child processes with a deadline: none outlives its test, and none can hang it.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::wait_until;

/// What a program that ended left: its status, its output and how long it took.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Finished {
    /// Panics with everything the program said unless it ended with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output without white space around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} after {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.status, self.took, self.stdout, self.stderr
        )
    }
}

/// A command for a program that must be there.
pub fn tool(name: &str) -> Command {
    let found = name.contains('/') && std::path::Path::new(name).exists()
        || ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
            .iter()
            .any(|folder| std::path::Path::new(folder).join(name).exists());
    assert!(found, "{name} is missing: run tests/run, which installs it");
    Command::new(name)
}

/// Runs a command with nothing on its standard input; kills it and panics when `limit` is over.
#[track_caller]
pub fn finish(command: &mut Command, limit: Duration) -> Finished {
    Running::start(command).finish(limit)
}

/// A started program, killed when dropped.
pub struct Running {
    child: Child,
    what: String,
    began: Instant,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// Starts it with output collected and an empty standard input.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null());
        Self::start_with_stdin(command)
    }

    /// The same with the standard input that the command was given, `Stdio::piped()` for `feed`.
    #[track_caller]
    pub fn start_with_stdin(command: &mut Command) -> Self {
        let what = format!("{command:?}");
        let mut child = command
            .process_group(0) // so that a kill reaches what a shell started
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "cannot start {what}: {error}; run tests/run, which installs what is missing"
                )
            });
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self {
            child,
            what,
            began: Instant::now(),
            stdout,
            stderr,
        }
    }

    /// Starts a service whose output goes to a file.
    pub fn start_logged(command: &mut Command, log: std::fs::File) -> Self {
        let what = format!("{command:?}");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        Self {
            child,
            what,
            began: Instant::now(),
            stdout: None,
            stderr: None,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input, and leaves that open.
    pub fn feed(&mut self, bytes: &[u8]) {
        let stdin = self
            .child
            .stdin
            .as_mut()
            .expect("started with a piped stdin");
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    pub fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    fn kill_group(&self) {
        let group = i32::try_from(self.pid()).unwrap();
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }

    /// Waits for its end, `limit` from now on.
    #[track_caller]
    pub fn finish_within(self, limit: Duration) -> Finished {
        let limit = self.began.elapsed() + limit;
        self.finish(limit)
    }

    /// Waits for its end, `limit` from its start on.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Finished {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if self.began.elapsed() > limit {
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.began.elapsed();
        if status.is_none() {
            self.kill_group();
        }
        let stdout = text(self.stdout.take());
        let stderr = text(self.stderr.take());
        let Some(status) = status else {
            panic!(
                "not done after {limit:?}: {}\n--- stdout\n{stdout}\n--- stderr\n{stderr}",
                self.what
            );
        };
        Finished {
            status,
            stdout,
            stderr,
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Once waited for, its number may be somebody else's.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.kill_group();
            drop(self.child.wait());
        }
    }
}

/// Sends a signal; a process that is gone is no error.
pub fn send(pid: u32, signal: Signal) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
}

/// All processes below `pid`, the nearest first.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let above = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == above)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.remove(0);
    found
}

/// The processes among `pids` that still run (a zombie does not).
pub fn still_running(pids: &[u32]) -> Vec<u32> {
    let runs = |pid: &u32| {
        stat_fields(*pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
    };
    pids.iter().copied().filter(runs).collect()
}

/// Waits until none of `pids` runs.
pub fn wait_gone(what: &str, pids: &[u32], limit: Duration) {
    wait_until(&format!("the end of {what}"), limit, || {
        still_running(pids).is_empty().then_some(())
    });
}

/// Bytes that a process has written so far to files, pipes and terminals (not to sockets that it used `send` on).
pub fn written_bytes(pid: u32) -> Option<u64> {
    io_count(pid, "wchar: ")
}

/// Bytes that it has read and written so far, by the same rule.
pub fn moved_bytes(pid: u32) -> Option<u64> {
    Some(io_count(pid, "rchar: ")? + io_count(pid, "wchar: ")?)
}

fn io_count(pid: u32, field: &str) -> Option<u64> {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    io.lines()
        .find_map(|line| line.strip_prefix(field)?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    stat_fields(pid)?.get(1)?.parse().ok()
}

/// The fields of `/proc/PID/stat` that follow the name: state, parent, ...
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        drop(from.read_to_end(&mut bytes));
        bytes
    })
}

fn text(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader
        .map(|thread| thread.join().unwrap())
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
