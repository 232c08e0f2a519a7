//! What is measured of one way: CPU time and memory from /proc, wall time around the client.

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::paths::{Path, Paths};
use crate::side_by_side::process::{median, memory_kib};

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
