//! What the gate speaks to besides instances and clouds: receivers of webhooks, and the provider of operators' accounts.
//!
//! Nothing is sent to a receiver: it is only seen whether it can be reached, and proves itself.

use std::time::Duration;

use super::Check;
use crate::config::Config;
use crate::{admin, webhooks};

const PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn look(config: &Config) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, webhook) in &config.webhooks {
        let subject = format!("webhooks.{name}");
        let mends = format!("poolgate webhook {name}, which sends it a message");
        let reached = tokio::time::timeout(PATIENCE, webhooks::reach(webhook)).await;
        checks.push(match reached {
            Ok(Ok(host)) => Check::ok(subject, format!("{host} answers; {mends}, tries it")),
            Ok(Err(why)) => Check::fail(subject, why, mends),
            Err(_) => Check::fail(subject, "its receiver does not answer in time", mends),
        });
    }
    if let Some(oidc) = &config.admin.oidc {
        let subject = "admin.oidc";
        let asked = tokio::time::timeout(PATIENCE, admin::ask_provider(oidc)).await;
        let mends = format!("curl -sS {}/.well-known/openid-configuration", oidc.issuer);
        checks.push(match asked {
            Ok(Ok(())) => Check::ok(
                subject,
                format!("{} tells of itself, and its keys", oidc.issuer),
            ),
            Ok(Err(why)) => Check::fail(subject, why, mends),
            Err(_) => Check::fail(subject, "the provider does not answer in time", mends),
        });
    }
    checks
}
