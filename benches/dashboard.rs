//! What a watched dashboard costs the gate: `tests/it/enter cargo bench --bench dashboard [-- SECONDS ROUNDS]`.
//!
//! A gate over 50 instances with 1,000 sessions, by itself and with one page or three watched, while nothing happens and while
//! somebody comes and goes each second; all in turns within one run. It fails where one watched page takes 1 % of a core or
//! more beyond what the gate takes anyway.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    dead_code,
    unused_imports,
    reason = "a benchmark is a script: it stops at the first thing that is wrong, and prints; of what tests share it needs a part"
)]

#[path = "../tests/it/dashboard/crowd.rs"]
mod crowd;
#[path = "dashboard/hostile.rs"]
mod hostile;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use crowd::{INSTANCES, SESSIONS, Scene, bridge};

/// What is watched at once.
const WATCHED: [&[&str]; 3] = [
    &[],
    &["%2Fmachines"],
    &["%2F", "%2Fmachines", "%2Fsessions"],
];
/// Of a core, in percent.
const ONE_PAGE_MAX: f64 = 1.0;

fn main() -> ExitCode {
    // cargo passes --bench.
    let mut words = std::env::args().filter_map(|word| word.parse().ok());
    // As long as kernels are good for: each turn has its share of asking for them.
    let seconds: u64 = words.next().unwrap_or(30);
    let rounds: u64 = words.next().unwrap_or(2);
    let scene = Scene::new();
    let crowd = scene.crowd();
    let port = bridge(scene.gate.socket());
    println!(
        "{INSTANCES} instances, {SESSIONS} sessions, {rounds} rounds of {seconds} s; percent of a core"
    );
    println!("{:24}{:>8}{:>8}{:>8}", "pages watched", 0, 1, 3);
    let mut is_kept = true;
    for (name, is_busy) in [("nothing happens", false), ("a login each second", true)] {
        let mut costs = [0.0; WATCHED.len()];
        for _ in 0..rounds {
            for (cost, pages) in costs.iter_mut().zip(WATCHED) {
                *cost += measure(&scene, port, pages, is_busy, seconds) / rounds as f64;
            }
        }
        let [none, one, three] = costs;
        println!("{name:24}{none:8.2}{one:8.2}{three:8.2}");
        is_kept &= one - none < ONE_PAGE_MAX;
    }
    drop(crowd);
    scene.gate.stop();
    match is_kept {
        true => ExitCode::SUCCESS,
        false => {
            println!("one watched page takes {ONE_PAGE_MAX} % of a core or more");
            ExitCode::FAILURE
        }
    }
}

/// Percent of a core that the gate takes.
fn measure(scene: &Scene, port: u16, pages: &[&str], is_busy: bool, seconds: u64) -> f64 {
    let watchers: Vec<_> = pages
        .iter()
        .map(|page| Watcher::start(port, page))
        .collect();
    // The first rendering is not what a watched page costs.
    thread::sleep(Duration::from_secs(1));
    let before = scene.gate.cpu_time();
    for number in 0..seconds {
        let number = usize::try_from(number).unwrap();
        let client = is_busy.then(|| scene.log_in("comes-and-goes", number));
        thread::sleep(Duration::from_secs(1));
        drop(client);
    }
    let took = scene.gate.cpu_time() - before;
    watchers.into_iter().for_each(Watcher::stop);
    took.as_secs_f64() / seconds as f64 * 100.0
}

/// Reads one page's changes.
struct Watcher {
    stream: TcpStream,
    reading: thread::JoinHandle<u64>,
}

impl Watcher {
    fn start(port: u16, page: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(
            stream,
            "GET /dash/live?page={page} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .unwrap();
        let mut reader = stream.try_clone().unwrap();
        let reading =
            thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap_or(0));
        Self { stream, reading }
    }

    fn stop(self) {
        drop(self.stream.shutdown(Shutdown::Both));
        assert!(self.reading.join().unwrap() > 0, "the page was not watched");
    }
}
