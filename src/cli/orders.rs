//! `poolgate cordon`, `uncordon`, `evict`, `keep` and `move`: what an operator decides about an instance or a session.
//!
//! The gate decides what is meant and says what it did; here is only what is typed. `drain` has a file of its own.

use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::args::{GateArgs, Output};
use super::{Failure, client, plain, print};
use crate::admin::{CordonOrder, Done, EvictOrder, KeepOrder, MoveOrder, Moved, UncordonOrder};
use crate::pool::SessionId;

#[derive(Debug, clap::Args)]
pub struct CordonArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// By its name or as POOL/NAME
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Why, for those who read `poolgate instances` and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub struct UncordonArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// By its name or as POOL/NAME
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Why, for those who read `poolgate events` and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub struct EvictArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// As `poolgate sessions` names it
    #[arg(value_name = "SESSION")]
    session: String,
    /// Why; its person is shown this
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub struct KeepArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// By its name or as POOL/NAME
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// A time of the day by the pool's clock such as 18:00, a length such as 2h, or off
    #[arg(value_name = "UNTIL")]
    until: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub struct MoveArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// A person's login name, or a session as `poolgate sessions` names it
    #[arg(value_name = "SESSION|USER")]
    who: String,
    /// The instance, by its name or as POOL/NAME
    #[arg(long, value_name = "INSTANCE")]
    to: String,
    /// Why; the person is shown this
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// End their sessions elsewhere in that pool, so that they log in again
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    how: How,
}

/// What all orders have in common.
#[derive(Debug, clap::Args)]
pub struct How {
    /// Only tell what would be done, and to whom
    #[arg(long)]
    pub(super) dry_run: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) async fn cordon(args: &CordonArgs) -> Result<ExitCode, Failure> {
    let order = CordonOrder {
        instance: args.instance.clone(),
        reason: args.reason.clone(),
        is_dry_run: args.how.dry_run,
    };
    give(&args.gate, "/api/v1/cordon", &order, &args.how).await
}

pub(super) async fn uncordon(args: &UncordonArgs) -> Result<ExitCode, Failure> {
    let order = UncordonOrder {
        instance: args.instance.clone(),
        reason: args.reason.clone(),
        is_dry_run: args.how.dry_run,
    };
    give(&args.gate, "/api/v1/uncordon", &order, &args.how).await
}

pub(super) async fn evict(args: &EvictArgs) -> Result<ExitCode, Failure> {
    let session: SessionId = args.session.parse().context("SESSION")?;
    let order = EvictOrder {
        session,
        reason: args.reason.clone(),
        is_dry_run: args.how.dry_run,
    };
    give(&args.gate, "/api/v1/evict", &order, &args.how).await
}

pub(super) async fn keep(args: &KeepArgs) -> Result<ExitCode, Failure> {
    let order = KeepOrder {
        instance: args.instance.clone(),
        until: args.until.clone(),
        is_dry_run: args.how.dry_run,
    };
    give(&args.gate, "/api/v1/keep", &order, &args.how).await
}

pub(super) async fn send(args: &MoveArgs) -> Result<ExitCode, Failure> {
    let session = args.who.parse().ok();
    let order = MoveOrder {
        session,
        user: session.is_none().then(|| args.who.clone()),
        to: args.to.clone(),
        reason: args.reason.clone(),
        now: args.now,
        is_dry_run: args.how.dry_run,
    };
    let moved: Moved = client::order(&args.gate, "/api/v1/move", &order).await?;
    tell(&args.how, &moved, &moved.text)
}

async fn give(
    gate: &GateArgs,
    path: &str,
    order: &impl Serialize,
    how: &How,
) -> Result<ExitCode, Failure> {
    let done: Done = client::order(gate, path, order).await?;
    tell(how, &done, &done.text)
}

pub(super) fn tell(how: &How, done: &impl Serialize, text: &str) -> Result<ExitCode, Failure> {
    match how.output {
        Output::Table => print::show((plain::lines(text) + "\n").as_bytes()),
        Output::Json => print::show_json(done),
    }
}
