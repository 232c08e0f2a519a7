//! Clouds and programs that machines come from: whether they can be asked, and what stands in the way of growing.
//!
//! Nothing is ordered: what an order would need is asked of the cloud where it tells, and named where it does not.

use std::time::Duration;

use super::Check;
use crate::cli::check::keeps_the_gate;
use crate::config::{Config, FleetConfig, PoolConfig};
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
                checks.push(Check::ok(
                    subject.clone(),
                    format!("lists {count} machines"),
                ));
                let hindrances = seen.hindrances.iter();
                let hindrances = hindrances
                    .map(|why| Check::fail(subject.clone(), why.clone(), "docs/azure.md"));
                checks.extend(hindrances);
                checks.extend(rights(name, pool, &subject).await);
            }
        }
    }
    checks
}

/// Whether the cloud takes what the gate may order.
async fn rights(name: &str, pool: &PoolConfig, subject: &str) -> Vec<Check> {
    const ROLE: &str = "az role definition update --role-definition deploy/azure/role.json, then assign it (docs/azure.md)";
    let asked = tokio::time::timeout(PATIENCE, fleet::lacking_rights(name, pool)).await;
    let lacking = match asked {
        Ok(Some(Ok(lacking))) => lacking,
        Ok(None) => {
            let says = "whether it takes orders shows when one is given";
            return vec![Check::ok(subject, says)];
        }
        Ok(Some(Err(why))) => {
            let says = format!(
                "does not tell what this identity may do, which shows when an order is given: {why}"
            );
            return vec![Check::warn(subject, says, ROLE)];
        }
        Err(_) => {
            let says = "does not tell within a minute what this identity may do";
            return vec![Check::warn(subject, says, ROLE)];
        }
    };
    if lacking.is_empty() {
        let says = "this identity may do all that the gate orders";
        return vec![Check::ok(subject, says)];
    }
    let told = lacking.iter().map(|one| {
        let says = format!("{} needs the right {}", one.needed_for, one.action);
        match one.is_doubtful {
            true => Check::warn(
                subject,
                format!("{says}, which is not given here; is it at the network's group?"),
                ROLE,
            ),
            false => Check::fail(subject, format!("{says}, and this identity lacks it"), ROLE),
        }
    });
    told.collect()
}
