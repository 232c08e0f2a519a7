//! Clouds and programs that machines come from: whether they can be asked, and what stands in the way of growing.
//!
//! Nothing is ordered. A right to write shows only when it is used, so what an order would need is named, not tried.

use std::time::Duration;

use super::Check;
use crate::cli::check::keeps_the_gate;
use crate::config::{Config, FleetConfig};
use crate::fleet;

/// A cloud may answer slowly, page by page.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn look(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, pool) in &config.pools {
        if let Some(why) = keeps_the_gate(pool) {
            let remedy = "systemctl restart poolgate, at a quiet hour";
            checks.push(Check::warn(format!("pools.{name}.fleet"), why, remedy));
        }
        let remedy = match &pool.fleet {
            FleetConfig::Azure(_) => {
                "az role assignment list --all --assignee GATE-IDENTITY -o table: it needs deploy/azure/role.json on the scale set's resource group"
            }
            FleetConfig::Command(_) => {
                "run it by hand as the gate's account: echo '{\"request\":\"list\",\"pool\":\"NAME\"}' | PROGRAM (docs/fleet-command.md)"
            }
            FleetConfig::Static { .. } | FleetConfig::Process(_) => continue,
        };
        let subject = format!("pools.{name}.fleet");
        let looked = tokio::time::timeout(PATIENCE, fleet::look_once(name, pool)).await;
        match looked {
            Err(_) => checks.push(Check::fail(
                subject,
                "does not answer within a minute",
                remedy,
            )),
            Ok(Err(why)) => checks.push(Check::fail(
                subject,
                format!("cannot be asked: {why}"),
                remedy,
            )),
            Ok(Ok(seen)) => {
                let count = seen.machines.len();
                let says = format!(
                    "lists {count} machines; whether it takes orders shows when one is given"
                );
                checks.push(Check::ok(subject.clone(), says));
                let hindrances = seen.hindrances.iter();
                checks.extend(
                    hindrances
                        .map(|why| Check::fail(subject.clone(), why.clone(), "docs/azure.md")),
                );
            }
        }
    }
    checks
}
