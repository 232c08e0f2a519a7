//! `poolgate instances`: where they are, whether they are up, how full.

use std::process::ExitCode;

use super::args::ShowArgs;
use super::table::{age, table};
use super::{Failure, client};
use crate::pool::snapshot::InstanceView;

pub(super) async fn run(args: &ShowArgs) -> Result<ExitCode, Failure> {
    client::show(args, "/api/v1/instances", |instances: Vec<InstanceView>| {
        let headings = [
            "POOL", "NAME", "ADDRESS", "STATE", "HEALTH", "SINCE", "SSH", "JUPYTER", "LOAD",
            "SESSIONS",
        ];
        let rows: Vec<_> = instances.iter().map(row).collect();
        table(headings, &rows)
    })
    .await
}

fn row(instance: &InstanceView) -> [String; 10] {
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
        instance.sessions.to_string(),
    ]
}
