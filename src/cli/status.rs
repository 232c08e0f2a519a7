//! `poolgate status`: the gate and its pools at a glance.

use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;

use super::args::ShowArgs;
use super::paint::Meaning;
use super::table::{span, table};
use super::{Failure, client, plain};
use crate::admin::Status;
use crate::pool::snapshot::{OlderGate, PoolView};

pub(super) async fn run(args: &ShowArgs) -> Result<ExitCode, Failure> {
    client::show(args, "/api/v1/status", to_table).await
}

pub(super) fn to_table(status: Status) -> String {
    let ready = match &status.readiness.reason {
        None => Meaning::Good.paint("ready"),
        Some(reason) => {
            let what = Meaning::Bad.paint("not ready");
            format!("{what}: {}", plain::line(reason))
        }
    };
    let uptime = span(Duration::from_secs(status.uptime_s));
    let version = plain::line(&status.version);
    let mut text = format!("poolgate {version}, up {uptime}, {ready}\n");
    if status.audit_failing {
        let lost = status.audit_lines_lost;
        let what = Meaning::Bad.paint("the audit log cannot be written");
        text.push_str(&format!("{what}: {lost} lines are lost\n"));
    }
    if let Some(refused) = &status.config.refused {
        let at = Timestamp::try_from(refused.at).unwrap_or_default();
        let file = status.config.written.file.display();
        let what = Meaning::Bad.paint(&format!("{file} was refused"));
        text.push_str(&format!("{what} at {at:.0}; the one before is in force:\n"));
        for line in refused.why.lines() {
            text.push_str(&format!("  {}\n", plain::line(line)));
        }
    }
    for gate in &status.older {
        text.push_str(&older(gate));
    }
    for fault in &status.config.file_faults {
        let at = Timestamp::try_from(fault.since).unwrap_or_default();
        let file = fault.file.display();
        let what = Meaning::Bad.paint(&format!("{file} is of no use"));
        let why = plain::line(&fault.why);
        text.push_str(&format!("{what} since {at:.0}:\n  {why}\n"));
    }
    let headings = [
        "POOL", "DEFAULT", "ROUTABLE", "LOAD", "CAPACITY", "HEADROOM", "SESSIONS",
    ];
    let rows: Vec<_> = status.pools.iter().map(row).collect();
    format!("{text}\n{}", table(headings, rows))
}

fn older(gate: &OlderGate) -> String {
    let version = gate.version.as_ref();
    let version = version.map_or(String::new(), |version| {
        format!(", version {}", plain::line(version))
    });
    let name = format!("an older gate (pid {}{version})", gate.pid);
    match (gate.is_heard, gate.sessions) {
        (true, 1) => format!("{name} keeps 1 session until it ends\n"),
        (true, sessions) => format!("{name} keeps {sessions} sessions until they end\n"),
        (false, _) => {
            let what = Meaning::Bad.paint("has not told whose sessions it holds");
            format!("{name} {what}: until it has or ends, no machine is drained or removed\n")
        }
    }
}

fn row(pool: &PoolView) -> [String; 7] {
    [
        pool.name.to_string(),
        if pool.default { "yes" } else { "no" }.to_owned(),
        format!("{}/{}", pool.instances_routable, pool.instances),
        pool.load.to_string(),
        pool.capacity.to_string(),
        pool.headroom.to_string(),
        pool.sessions.to_string(),
    ]
}
