//! What is asked of each peer, and what it cost: wrk, h2load and curl from outside, WebSockets by `websocket`.

use std::process::Command;
use std::time::{Duration, Instant};

use super::peers::{Peer, Peers};
use super::websocket;

pub const BODY_LEN: u64 = 100 * 1024 * 1024;
const GIB: f64 = 1_073_741_824.0;
const BODIES: u64 = 8;
const SOCKETS: usize = 16;
/// What a page's own code sends with each of its requests.
const HEADERS: [&str; 4] = [
    "Accept: application/json",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Dest: empty",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    Small,
    SmallH2,
    Handshakes,
    WebSocket,
    Bodies,
}

/// One run of a load through one peer.
pub struct Sample {
    /// CPU seconds of a unit.
    pub cost: f64,
    /// Requests, messages or MiB a second.
    pub rate: f64,
    /// NaN where the load has no latencies.
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Requests or messages of a unit; a unit of bodies is a GiB.
const SCALE: f64 = 10_000.0;

impl Load {
    pub const ALL: [Self; 5] = [
        Self::Small,
        Self::SmallH2,
        Self::Handshakes,
        Self::WebSocket,
        Self::Bodies,
    ];

    /// Those that are named among the words; all if none is.
    pub fn named(words: &[String]) -> Vec<Self> {
        let is_named = |load: &Self| words.iter().any(|word| word == load.word());
        let named: Vec<Self> = Self::ALL.into_iter().filter(is_named).collect();
        if named.is_empty() {
            return Self::ALL.to_vec();
        }
        named
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::SmallH2 => "small-h2",
            Self::Handshakes => "handshakes",
            Self::WebSocket => "websocket",
            Self::Bodies => "bodies",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Small => "small: 10,000 requests for 200 bytes, 32 HTTP/1 connections kept alive",
            Self::SmallH2 => "small-h2: the same over HTTP/2, 8 connections of 8 streams",
            Self::Handshakes => {
                "handshakes: 10,000 of them, each with a full TLS handshake of its own"
            }
            Self::WebSocket => {
                "websocket: 10,000 messages of 256 bytes there and back, 16 connections"
            }
            Self::Bodies => {
                "bodies: 1 GiB in answers of 100 MiB, one after the other; MiB a second"
            }
        }
    }

    pub fn suits(self, peer: Peer) -> bool {
        !(self == Self::SmallH2 && peer == Peer::Chp)
    }

    pub fn run(self, peers: &Peers, peer: Peer, seconds: usize) -> Sample {
        let port = peers.port(peer);
        let small = format!("https://127.0.0.1:{port}/user/alice/api/small");
        let cookie = format!("Cookie: {}", peers.cookie);
        let time = format!("{seconds}s");
        let (cpu, began) = (peers.cpu_seconds(peer), Instant::now());
        let (units, latencies) = match self {
            Self::Small => wrk(&["-t1", "-c32", "-d", &time, &small], &cookie),
            Self::Handshakes => {
                let close = [
                    "-t1",
                    "-c16",
                    "-d",
                    &time,
                    "-H",
                    "Connection: close",
                    &small,
                ];
                wrk(&close, &cookie)
            }
            Self::SmallH2 => (h2load(&small, &cookie, seconds), None),
            Self::WebSocket => {
                let time = Duration::from_secs(seconds as u64);
                let count = websocket::load(port, &peers.cookie, SOCKETS, time);
                (count as f64 / SCALE, None)
            }
            Self::Bodies => (curl(port, &cookie), None),
        };
        let (p50_us, p99_us) = latencies.unwrap_or((f64::NAN, f64::NAN));
        let a_second = if self == Self::Bodies { 1024.0 } else { SCALE };
        Sample {
            cost: (peers.cpu_seconds(peer) - cpu) / units,
            rate: units * a_second / began.elapsed().as_secs_f64(),
            p50_us,
            p99_us,
        }
    }
}

fn wrk(words: &[&str], cookie: &str) -> (f64, Option<(f64, f64)>) {
    let mut command = Command::new("wrk");
    command.arg("--latency");
    for header in HEADERS.iter().chain([&cookie]) {
        command.args(["-H", header]);
    }
    let output = printed(command.args(words));
    assert!(!output.contains("Non-2xx"), "{output}");
    let after = |word: &str| {
        let line = output
            .lines()
            .find(|line| line.trim_start().starts_with(word));
        line.and_then(|line| line.split_whitespace().nth(1))
            .map(micros)
    };
    let requests: f64 = output
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "))
        .and_then(|(count, _)| count.parse().ok())
        .unwrap_or_else(|| panic!("{output}"));
    (requests / SCALE, after("50%").zip(after("99%")))
}

/// wrk writes `432.00us`, `1.43ms` or `1.20s`.
fn micros(text: &str) -> f64 {
    for (unit, factor) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().unwrap() * factor;
        }
    }
    panic!("{text} is no time");
}

fn h2load(address: &str, cookie: &str, seconds: usize) -> f64 {
    let mut command = Command::new("h2load");
    command.args(["-t1", "-c8", "-m8", "-D", &seconds.to_string()]);
    for header in HEADERS.iter().chain([&cookie]) {
        command.args(["-H", header]);
    }
    let output = printed(command.arg(address));
    let line = output.lines().find(|line| line.starts_with("requests: "));
    let field = |word: &str| -> f64 {
        let fields = line.unwrap_or_default().split(", ");
        let found = fields
            .filter_map(|field| field.trim_end().strip_suffix(word))
            .next();
        found
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or_else(|| panic!("{output}"))
    };
    assert!(field(" failed") == 0.0, "{output}");
    field(" succeeded") / SCALE
}

/// GiB.
fn curl(port: u16, cookie: &str) -> f64 {
    let mut command = Command::new("curl");
    command.args(["-sfk", "--http1.1", "-H", cookie]);
    for _ in 0..BODIES {
        let address = format!("https://127.0.0.1:{port}/user/alice/files/big");
        command.args(["-o", "/dev/null", &address]);
    }
    printed(&mut command);
    (BODIES * BODY_LEN) as f64 / GIB
}

fn printed(command: &mut Command) -> String {
    let program = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|error| {
        panic!(
            "{}: {error}; docs/testing.md says what to install",
            program.display()
        )
    });
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}: {text}{}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
