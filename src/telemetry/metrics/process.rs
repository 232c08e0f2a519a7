//! The gate's own process as the kernel sees it: processor time, memory, open files. Read when the metrics are asked for.
//!
//! What cannot be read is left out; a wrong figure would be worse than none.

use std::fs;
use std::sync::atomic::AtomicU64;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::PREFIX;

/// A registry that lives for one answer.
pub(super) fn process() -> Registry {
    let mut registry = Registry::with_prefix(PREFIX);
    if let Some(seconds) = cpu_seconds() {
        let counter: Counter<f64, AtomicU64> = Counter::default();
        counter.inc_by(seconds);
        let help = "Processor time of this process, its own and the system's for it";
        registry.register("process_cpu_seconds", help, counter);
    }
    let gauges = [
        (
            "process_resident_memory_bytes",
            "Memory of this process that is in use",
            resident_bytes(),
        ),
        (
            "process_open_fds",
            "Files and sockets that this process has open",
            open_files(),
        ),
        (
            "process_max_fds",
            "Files and sockets that it may open",
            open_files_max(),
        ),
        (
            "process_start_time_seconds",
            "When this process began, in seconds since 1970",
            started(),
        ),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
            let gauge: Gauge = Gauge::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        }
    }
    registry
}

fn cpu_seconds() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn open_files() -> Option<u64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing itself holds one open.
    u64::try_from(listed.saturating_sub(1)).ok()
}

fn open_files_max() -> Option<u64> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(soft)
}

/// The moment of boot and the ticks from there, proc(5); the fields follow a name in brackets that may hold anything.
fn started() -> Option<u64> {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(19)?.parse().ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: u64 = boot.trim().parse().ok()?;
    boot.checked_add(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn this_very_process_is_seen() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs().abs_diff(started().unwrap());
        assert!(age < 24 * 3600, "began {age} s ago");
        assert!(resident_bytes().unwrap() > 1024 * 1024);
        let open = open_files().unwrap();
        assert!(open >= 3 && open <= open_files_max().unwrap());
        assert!(cpu_seconds().unwrap() > 0.0);
    }
}
