//! `poolgate instances`: where they are, whether they are up, how full.

use std::process::ExitCode;

use super::args::ListArgs;
use super::table::{Cell, age, local, table};
use super::{Failure, client, plain};
use crate::pool::{Decider, Health, InstanceView, Measured};

/// As CSV.
const COLUMNS: [&str; 14] = [
    "pool",
    "name",
    "address",
    "ssh_port",
    "jupyter_port",
    "admin_state",
    "reason",
    "deadline",
    "health",
    "health_since",
    "sessions",
    "load",
    "capacity",
    "measured.load_percent",
];

pub(super) async fn run(args: &ListArgs) -> Result<ExitCode, Failure> {
    client::show_list(args, "/api/v1/instances", &COLUMNS, to_table).await
}

pub(super) fn to_table(instances: Vec<InstanceView>) -> String {
    let headings = [
        "POOL", "NAME", "ADDRESS", "STATE", "HEALTH", "SINCE", "SSH", "JUPYTER", "LOAD", "BUSY",
        "SESSIONS", "NOTES",
    ];
    table(headings, instances.iter().map(row))
}

fn row(instance: &InstanceView) -> [Cell; 12] {
    let service = |port: u16, health: Health| Cell::new(format!("{port} {health}"), health);
    let state = instance.admin_state;
    [
        instance.pool.to_string().into(),
        instance.name.to_string().into(),
        instance.address.clone().into(),
        Cell::new(state.name(), state),
        Cell::new(instance.health.name(), instance.health),
        age(instance.health_since).into(),
        service(instance.ssh_port, instance.services.ssh),
        match (instance.jupyter_port, instance.services.jupyter) {
            (Some(port), Some(health)) => service(port, health),
            _ => "off".to_owned().into(),
        },
        format!("{}/{}", instance.load, instance.capacity).into(),
        instance
            .measured
            .as_ref()
            .map_or("-".to_owned(), busy)
            .into(),
        instance.sessions.to_string().into(),
        notes(instance).into(),
    ]
}

/// What was decided about it: by whom, why, until when.
fn notes(instance: &InstanceView) -> String {
    let at = |time| local(time, "%Y-%m-%d %H:%M");
    let mut notes = Vec::new();
    if let Some(reason) = &instance.reason {
        let by = match instance.decided_by {
            Decider::Policy => "the policy",
            Decider::Admin => "an operator",
            Decider::Nobody => "nobody",
        };
        notes.push(format!("by {by}: {reason}"));
    }
    if let Some(deadline) = instance.deadline {
        notes.push(format!("sessions end {}", at(deadline)));
    }
    if let Some(keep) = &instance.keep {
        notes.push(format!("kept until {} by {}", at(keep.until), keep.by));
    }
    plain::line(&notes.join("; "))
}

fn busy(measured: &Measured) -> String {
    let mut words = vec![format!("{}%", measured.load_percent)];
    words.extend(measured.closed.as_deref().map(str::to_owned));
    words.extend(measured.is_reboot_pending.then(|| "reboot".to_owned()));
    words.join(" ")
}
