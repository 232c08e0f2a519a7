//! `poolgate instances`: where they are, whether they are up, how full.

use std::process::ExitCode;

use super::args::ShowArgs;
use super::table::{age, local, plain, table};
use super::{Failure, client};
use crate::pool::{Decider, InstanceView, Measured};

pub(super) async fn run(args: &ShowArgs) -> Result<ExitCode, Failure> {
    client::show(args, "/api/v1/instances", |instances: Vec<InstanceView>| {
        let headings = [
            "POOL", "NAME", "ADDRESS", "STATE", "HEALTH", "SINCE", "SSH", "JUPYTER", "LOAD",
            "BUSY", "SESSIONS", "NOTES",
        ];
        let rows: Vec<_> = instances.iter().map(row).collect();
        table(headings, &rows)
    })
    .await
}

fn row(instance: &InstanceView) -> [String; 12] {
    [
        instance.pool.to_string(),
        instance.name.to_string(),
        instance.address.clone(),
        instance.admin_state.name().to_owned(),
        instance.health.to_string(),
        age(instance.health_since),
        format!("{} {}", instance.ssh_port, instance.services.ssh),
        match (instance.jupyter_port, instance.services.jupyter) {
            (Some(port), Some(health)) => format!("{port} {health}"),
            _ => "off".to_owned(),
        },
        format!("{}/{}", instance.load, instance.capacity),
        instance.measured.as_ref().map_or("-".to_owned(), busy),
        instance.sessions.to_string(),
        notes(instance),
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
    plain(&notes.join("; "))
}

fn busy(measured: &Measured) -> String {
    let mut words = vec![format!("{}%", measured.load_percent)];
    words.extend(measured.closed.as_deref().map(str::to_owned));
    words.extend(measured.is_reboot_pending.then(|| "reboot".to_owned()));
    words.join(" ")
}
