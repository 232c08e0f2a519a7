//! `poolgate webhook`: one message to a webhook of the configuration, to see whether it arrives.
//!
//! It needs no running gate: the address is read and asked from here, as the gate of this configuration would.

use std::process::ExitCode;

use super::args::WebhookArgs;
use super::{Failure, plain, print};
use crate::{config, webhooks};

pub(super) async fn run(args: &WebhookArgs) -> Result<ExitCode, Failure> {
    let config = config::load(args.config.config.as_deref())?;
    let name = &args.name;
    let Some(webhook) = config.webhooks.get(name) else {
        let known: Vec<_> = config.webhooks.keys().map(String::as_str).collect();
        let known = match known.is_empty() {
            true => "the configuration has none".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        return Err(anyhow::anyhow!("no webhook is called {name}: {known}").into());
    };
    let answer = webhooks::test(name, webhook).await;
    let answer = answer.map_err(|why| anyhow::anyhow!("webhooks.{name}: {why}"))?;
    let answer = plain::line(&answer);
    print::show(format!("webhooks.{name}: taken, {answer}\n").as_bytes())
}
