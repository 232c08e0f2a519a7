//! Processes of a comparison: started, measured from /proc, ended.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that listens; ended when dropped.
pub struct Service {
    child: Child,
    pub port: u16,
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Service {
    /// Comes back once it listens.
    pub fn start(program: &str, words: &[&str], port: u16) -> Self {
        Self::start_with(program, words, &[], port)
    }

    pub fn start_with(
        program: &str,
        words: &[&str],
        variables: &[(&str, &str)],
        port: u16,
    ) -> Self {
        let mut command = Command::new(program);
        command
            .args(words)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| {
            panic!("{program}: {error}; docs/testing.md says what to install")
        });
        let mut service = Self { child, port };
        wait_until(&format!("{program} to listen"), || {
            let ended = service.child.try_wait().unwrap();
            assert!(ended.is_none(), "{program} {words:?} ended: {ended:?}");
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        service
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// CPU time of a process and of all its threads, to the nanosecond.
pub fn own_cpu_seconds(pid: u32) -> f64 {
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    let clock = nix::time::clock_getcpuclockid(pid).unwrap();
    Duration::from(clock.now().unwrap()).as_secs_f64()
}

/// User and system time of a process and of its children that it has waited for, in ticks of 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // utime, stime, cutime, cstime: fields 14 to 17 of proc(5), the first of ours being the third.
    let ticks: f64 = fields[11..15]
        .iter()
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    ticks / ticks_per_second()
}

fn ticks_per_second() -> f64 {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)
        .unwrap()
        .unwrap() as f64
}

/// Private memory of processes: what would be free without them.
pub fn memory_kib(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| private_kib(*pid)).sum()
}

fn private_kib(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let value = |line: &str| {
        line.split_whitespace()
            .nth(1)
            .and_then(|word| word.parse::<f64>().ok())
    };
    text.lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(value)
        .sum()
}

/// Children of a process, theirs, and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(above) = next.pop() {
        let children =
            fs::read_to_string(format!("/proc/{above}/task/{above}/children")).unwrap_or_default();
        let children: Vec<u32> = children
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        found.extend(&children);
        next.extend(children);
    }
    found
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// Polls until it is so.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
