//! What is measured of one way: CPU time and memory from /proc, wall time around the client.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::paths::{Path, Paths};

const GIB: u64 = 1 << 30;
const MIB: f64 = 1_048_576.0;

/// All samples of one way.
#[derive(Default)]
pub struct Figures {
    pub cpu_down: Vec<f64>,
    pub cpu_up: Vec<f64>,
    pub rate_down: Vec<f64>,
    pub rate_up: Vec<f64>,
    pub cpu_login: Vec<f64>,
    pub latencies: Vec<f64>,
    pub idle_kib: Vec<f64>,
}

impl Figures {
    pub fn add_transfers(&mut self, paths: &mut Paths, path: Path) {
        let mut down = paths.ssh(path, &format!("head -c {GIB} /dev/zero"));
        let (cpu, seconds) = measured(paths, path, || run(down.stdout(Stdio::null())));
        self.cpu_down.extend(cpu);
        self.rate_down.push(GIB as f64 / MIB / seconds);

        let mut up = paths.ssh(path, "cat >/dev/null");
        let (cpu, seconds) = measured(paths, path, || {
            let mut head = Command::new("head");
            let mut zeros = head
                .args(["-c", &GIB.to_string(), "/dev/zero"])
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            run(up.stdin(zeros.stdout.take().unwrap()));
            zeros.wait().unwrap();
        });
        self.cpu_up.extend(cpu);
        self.rate_up.push(GIB as f64 / MIB / seconds);
    }

    pub fn add_logins(&mut self, paths: &mut Paths, path: Path, count: usize) {
        let mut latencies = Vec::new();
        let mut commands: Vec<Command> = (0..count).map(|_| paths.ssh(path, "true")).collect();
        let (cpu, _) = measured(paths, path, || {
            for command in &mut commands {
                let began = Instant::now();
                run(command);
                latencies.push(began.elapsed().as_secs_f64() * 1000.0);
            }
        });
        self.cpu_login
            .extend(cpu.map(|seconds| seconds * 1000.0 / count as f64));
        self.latencies.extend(latencies);
    }

    /// Memory of `count` sessions that do nothing, above what was used before them.
    pub fn add_idle(&mut self, paths: &mut Paths, path: Path, count: usize) {
        if path == Path::Direct {
            return;
        }
        run(&mut paths.ssh(path, "true")); // what the first login of all costs is no session's
        paths.settle(path);
        let before = memory_kib(&paths.between(path));
        let mut sessions: Vec<Child> = (0..count).map(|_| idle_session(paths, path)).collect();
        let during = memory_kib(&paths.between(path));
        self.idle_kib.push((during - before) / count as f64);
        for session in &mut sessions {
            drop(session.stdin.take());
        }
        for mut session in sessions {
            session.wait().unwrap();
        }
    }

    pub fn down(&self) -> f64 {
        median(&self.cpu_down)
    }

    pub fn up(&self) -> f64 {
        median(&self.cpu_up)
    }

    /// A quantile of the logins' wall time in ms.
    pub fn latency(&self, quantile: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let index = (sorted.len() as f64 * quantile) as usize;
        sorted
            .get(index.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// One session that waits for the end of its input; comes back once it is there.
fn idle_session(paths: &mut Paths, path: Path) -> Child {
    use std::io::Read;
    let mut ssh = paths.ssh(path, "echo x; read -r line");
    let mut child = ssh
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answer = [0; 2];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut answer)
        .expect("the session answers");
    child
}

/// CPU seconds of what stands between (none for a direct login) and wall seconds of `work`.
fn measured(paths: &mut Paths, path: Path, work: impl FnOnce()) -> (Option<f64>, f64) {
    let before = paths.cpu_seconds(path);
    let began = Instant::now();
    work();
    let seconds = began.elapsed().as_secs_f64();
    // A jump host's session processes are counted once they have ended and been waited for.
    paths.settle(path);
    let cpu = paths
        .cpu_seconds(path)
        .zip(before)
        .map(|(after, before)| after - before);
    (cpu, seconds)
}

fn run(command: &mut Command) {
    let status = command.status().expect("ssh starts");
    assert!(status.success(), "{command:?}: {status}");
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
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "waited in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
