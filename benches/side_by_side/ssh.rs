//! The relay beside its alternatives: four ways to one sshd, aes128-gcm on every layer.
//!
//! A direct login, the gate, OpenSSH's ProxyJump, HAProxy in TCP mode. Numbers among the arguments: rounds, logins a round,
//! idle sessions (3, 40, 100).

mod figures;
mod paths;

pub use paths::keygen;

use figures::Figures;
use paths::{Path, Paths};

use super::process::median;

/// True if all that is binding was kept.
pub fn run(arguments: &[String]) -> bool {
    let numbers: Vec<usize> = arguments
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    let number = |index: usize, default: usize| numbers.get(index).copied().unwrap_or(default);
    let (rounds, logins, idle) = (number(0, 3), number(1, 40), number(2, 100));
    let named = Path::named(arguments.iter().cloned());
    let mut paths = Paths::start();
    println!(
        "{idle} idle sessions each, then {rounds} rounds of 1 GiB down, 1 GiB up and {logins} logins each; medians"
    );

    let mut all: Vec<(Path, Figures)> = named
        .iter()
        .map(|path| (*path, Figures::default()))
        .collect();
    // First, while nobody has grown from carrying gigabytes.
    for (path, figures) in &mut all {
        figures.add_idle(&mut paths, *path, idle);
    }
    for round in 0..rounds {
        println!("round {} of {rounds}", round + 1);
        // Every other round backwards, so that no way always follows the same one.
        let order: Vec<usize> = if round % 2 == 0 {
            (0..all.len()).collect()
        } else {
            (0..all.len()).rev().collect()
        };
        for index in order {
            let (path, figures) = &mut all[index];
            figures.add_transfers(&mut paths, *path);
            figures.add_logins(&mut paths, *path, logins);
        }
    }
    print_table(&all);
    let kept = all.len() < Path::ALL.len() || print_targets(&all);
    drop(paths);
    kept
}

fn print_table(all: &[(Path, Figures)]) {
    println!();
    println!(
        "                     CPU s/GiB      MiB/s          a login              idle session"
    );
    println!("                     down    up     down    up     CPU ms  p50 ms  p90 ms KiB");
    for (path, figures) in all {
        println!(
            "{:<20} {}  {}   {:>5.0} {:>5.0}     {} {:>7.1} {:>7.1} {}",
            path.name(),
            cell(&figures.cpu_down, 6),
            cell(&figures.cpu_up, 6),
            median(&figures.rate_down),
            median(&figures.rate_up),
            cell(&figures.cpu_login, 6),
            figures.latency(0.5),
            figures.latency(0.9),
            cell(&figures.idle_kib, 8),
        );
    }
    println!(
        "CPU and memory are those of what stands between: the gate, the jump host's sshd, haproxy."
    );
}

/// A direct login has nothing between, and so no figure.
fn cell(values: &[f64], width: usize) -> String {
    if values.is_empty() {
        return format!("{:>width$}", "-");
    }
    format!("{:>width$.2}", median(values))
}

/// The gate against the promises, and as ratios; whether all that are binding are kept.
fn print_targets(all: &[(Path, Figures)]) -> bool {
    let of = |path: Path| &all.iter().find(|(other, _)| *other == path).unwrap().1;
    let (gate, jump, l4, direct) = (
        of(Path::Gate),
        of(Path::Jump),
        of(Path::Haproxy),
        of(Path::Direct),
    );
    println!();
    let mut kept = true;
    for (name, pick) in [
        ("down", Figures::down as fn(&Figures) -> f64),
        ("up", Figures::up),
    ] {
        let (ours, theirs) = (pick(gate), pick(jump));
        let good = ours <= 0.75 && ours < theirs;
        kept &= good;
        let word = if good { "kept" } else { "MISSED" };
        println!(
            "{name:<5} {ours:.2} CPU s/GiB; target 0.75 and below ProxyJump's {theirs:.2}: {word}; \
             {:.2}x ProxyJump (later target 0.70), {:.2}x HAProxy (later target 1.50)",
            ours / theirs,
            ours / pick(l4),
        );
    }
    println!(
        "login {:.2} CPU ms (target 3); {:.2}x ProxyJump, {:.2}x HAProxy; latency {:.2}x direct",
        median(&gate.cpu_login),
        median(&gate.cpu_login) / median(&jump.cpu_login),
        median(&gate.cpu_login) / median(&l4.cpu_login),
        gate.latency(0.5) / direct.latency(0.5),
    );
    println!(
        "idle  {:.0} KiB a session (target 40); {:.3}x ProxyJump",
        median(&gate.idle_kib),
        median(&gate.idle_kib) / median(&jump.idle_kib),
    );
    kept
}
