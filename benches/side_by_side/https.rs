//! The browsers' door beside nginx, HAProxy and configurable-http-proxy: TLS in front of one plain HTTP/1 backend.
//!
//! The gate does all its work meanwhile: a signed pin in each request, a person who is counted, headers rewritten, metrics,
//! an access log. nginx stands here twice, as installed and with buffers made large, which costs memory and helps with
//! bodies. Each has one thread. Numbers among the arguments: rounds, seconds a load, idle connections (3, 3, 1000); words:
//! peers, loads, `threads=2` for the gate, and `program=PATH`, another build of it.

mod client;
mod idle;
mod loads;
mod peers;
mod websocket;

use std::collections::BTreeMap;

use loads::{Load, Sample};
use peers::{Peer, Peers};

use super::process::median;

/// Samples of one peer under one load.
type Figures = BTreeMap<(Load, Peer), Vec<Sample>>;

/// CPU per unit against nginx; the last of the pair says which of the two.
const TARGETS: &[(Load, f64, Peer)] = &[
    (Load::Small, 1.15, Peer::Nginx),
    (Load::Handshakes, 0.70, Peer::Nginx),
    (Load::WebSocket, 0.90, Peer::Nginx),
    (Load::Bodies, 1.0, Peer::NginxTuned),
    (Load::SmallH2, 1.25, Peer::NginxTuned),
];
/// How many times less than configurable-http-proxy a small request must cost.
const CHP_FACTOR: f64 = 8.0;
const IDLE_KIB: f64 = 30.0;

/// True if all targets were kept.
pub fn run(arguments: &[String]) -> bool {
    let numbers: Vec<usize> = arguments
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    let number = |index: usize, default: usize| numbers.get(index).copied().unwrap_or(default);
    let (rounds, seconds, idle) = (number(0, 3), number(1, 3), number(2, 1000));
    let chosen = Peer::named(arguments);
    let loads = Load::named(arguments);
    let peers = Peers::start(arguments);
    println!("{idle} idle connections each, then {rounds} rounds of {seconds} s a load; medians");

    // First, while nobody has grown from work.
    let idle_kib: BTreeMap<Peer, f64> = match idle {
        0 => BTreeMap::new(),
        _ => chosen
            .iter()
            .map(|peer| (*peer, idle::kib(&peers, *peer, idle)))
            .collect(),
    };
    let mut figures = Figures::new();
    for round in 0..rounds {
        println!("round {} of {rounds}", round + 1);
        for load in &loads {
            let mut order: Vec<Peer> = chosen.iter().copied().filter(|p| load.suits(*p)).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for peer in order {
                let sample = load.run(&peers, peer, seconds);
                figures.entry((*load, peer)).or_default().push(sample);
            }
        }
    }
    print_table(&figures, &chosen, &loads);
    print_idle(&idle_kib);
    let is_whole = chosen.len() == Peer::ALL.len() && loads.len() == Load::ALL.len();
    !is_whole || print_targets(&figures, &idle_kib)
}

fn cost(figures: &Figures, load: Load, peer: Peer) -> Option<f64> {
    let samples = figures.get(&(load, peer))?;
    let costs: Vec<f64> = samples.iter().map(|sample| sample.cost).collect();
    Some(median(&costs))
}

fn print_table(figures: &Figures, chosen: &[Peer], loads: &[Load]) {
    for load in loads {
        println!();
        println!("{}", load.title());
        println!("                              CPU s   of nginx    per s   p50 us   p99 us");
        let base = cost(figures, *load, Peer::Nginx);
        for peer in chosen {
            let Some(samples) = figures.get(&(*load, *peer)) else {
                continue;
            };
            let ours = cost(figures, *load, *peer).unwrap();
            let of =
                |pick: fn(&Sample) -> f64| median(&samples.iter().map(pick).collect::<Vec<f64>>());
            println!(
                "  {:<25} {ours:>7.3}  {:>9.2} {:>8.0} {:>8.0} {:>8.0}",
                peer.name(),
                base.map_or(f64::NAN, |base| ours / base),
                of(|sample| sample.rate),
                of(|sample| sample.p50_us),
                of(|sample| sample.p99_us),
            );
        }
    }
}

fn print_idle(idle_kib: &BTreeMap<Peer, f64>) {
    println!();
    println!("private memory of an idle connection after one request");
    for (peer, kib) in idle_kib {
        println!("  {:<25} {kib:>7.1} KiB", peer.name());
    }
}

fn print_targets(figures: &Figures, idle_kib: &BTreeMap<Peer, f64>) -> bool {
    println!();
    let mut kept = true;
    let mut judge = |what: &str, value: f64, is_kept: bool, target: &str| {
        let word = if is_kept { "kept" } else { "MISSED" };
        println!("{what:<34} {value:>6.2}  target {target}: {word}");
        kept &= is_kept;
    };
    for (load, target, base) in TARGETS {
        let ratio =
            cost(figures, *load, Peer::Gate).unwrap() / cost(figures, *load, *base).unwrap();
        let what = format!("{} of {}", load.word(), base.name());
        judge(&what, ratio, ratio <= *target, &format!("<= {target}"));
    }
    let of = |peer| cost(figures, Load::Small, peer).unwrap();
    let factor = of(Peer::Chp) / of(Peer::Gate);
    judge(
        "configurable-http-proxy's small",
        factor,
        factor >= CHP_FACTOR,
        &format!(">= {CHP_FACTOR} times ours"),
    );
    if let Some(kib) = idle_kib.get(&Peer::Gate) {
        let target = format!("<= {IDLE_KIB} KiB");
        judge("idle connection, KiB", *kib, *kib <= IDLE_KIB, &target);
    }
    kept
}
