//! `poolgate cordon`, `uncordon`, `drain`, `evict`, `keep` and `move`: what an operator decides about an instance or a session.
//!
//! The gate decides what is meant and says what it did; here is only what is typed, and the wait for a drain's end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;

use super::args::{GateArgs, Output, duration};
use super::{Failure, client, print};
use crate::admin::{
    CordonOrder, Done, DrainOrder, EvictOrder, KeepOrder, MoveOrder, Moved, UncordonOrder,
};
use crate::pool::{AdminState, InstanceView, SessionId};

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
pub struct DrainArgs {
    #[command(flatten)]
    gate: GateArgs,
    /// By its name or as POOL/NAME
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Why, for those who read `poolgate instances` and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// End the sessions that are left then, such as 2h from now; people are told. Without it nobody is cut off
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// Return when no session is left there; fail when somebody has undone it
    #[arg(long)]
    wait: bool,
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
    dry_run: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) async fn cordon(args: &CordonArgs) -> Result<ExitCode, Failure> {
    let order = CordonOrder {
        instance: args.instance.clone(),
        reason: args.reason.clone(),
        is_dry_run: args.how.dry_run,
    };
    let done: Done = client::order(&args.gate, "/api/v1/cordon", &order).await?;
    tell(&args.how, &done, &done.text)
}

pub(super) async fn uncordon(args: &UncordonArgs) -> Result<ExitCode, Failure> {
    let order = UncordonOrder {
        instance: args.instance.clone(),
        reason: args.reason.clone(),
        is_dry_run: args.how.dry_run,
    };
    let done: Done = client::order(&args.gate, "/api/v1/uncordon", &order).await?;
    tell(&args.how, &done, &done.text)
}

pub(super) async fn evict(args: &EvictArgs) -> Result<ExitCode, Failure> {
    let session: SessionId = args.session.parse().context("SESSION")?;
    let order = EvictOrder {
        session,
        reason: args.reason.clone(),
        is_dry_run: args.how.dry_run,
    };
    let done: Done = client::order(&args.gate, "/api/v1/evict", &order).await?;
    tell(&args.how, &done, &done.text)
}

pub(super) async fn keep(args: &KeepArgs) -> Result<ExitCode, Failure> {
    let order = KeepOrder {
        instance: args.instance.clone(),
        until: args.until.clone(),
        is_dry_run: args.how.dry_run,
    };
    let done: Done = client::order(&args.gate, "/api/v1/keep", &order).await?;
    tell(&args.how, &done, &done.text)
}

pub(super) async fn drain(args: &DrainArgs) -> Result<ExitCode, Failure> {
    let order = DrainOrder {
        instance: args.instance.clone(),
        reason: args.reason.clone(),
        deadline_s: args.deadline.map(|after| after.as_secs()),
        is_dry_run: args.how.dry_run,
    };
    let done: Done = client::order(&args.gate, "/api/v1/drain", &order).await?;
    if !args.wait || done.is_dry_run {
        return tell(&args.how, &done, &done.text);
    }
    print::remark(&done.text);
    let going_on = format!(
        "{}/{} goes on draining without this command; `poolgate uncordon {}/{} --reason ...` undoes it",
        done.pool, done.instance, done.pool, done.instance
    );
    tokio::select! {
        waited = wait_empty(args, &done) => waited,
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("cannot wait for ctrl-c")?;
            Err(anyhow!(going_on).into())
        }
    }
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

fn tell(how: &How, done: &impl Serialize, text: &str) -> Result<ExitCode, Failure> {
    match how.output {
        Output::Table => print::show(format!("{text}\n").as_bytes()),
        Output::Json => print::show_json(done),
    }
}

/// People leave in minutes and hours; a second more is nothing to whoever waits for that.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

async fn wait_empty(args: &DrainArgs, drained: &Done) -> Result<ExitCode, Failure> {
    let gate = &args.gate;
    let end = |text: String| {
        let text = text.trim_end().to_owned();
        let done = Done {
            text,
            ..drained.clone()
        };
        tell(&args.how, &done, &done.text)
    };
    let name = format!("{}/{}", drained.pool, drained.instance);
    let mut said = None;
    loop {
        let instances: Vec<InstanceView> = client::read(gate, "/api/v1/instances").await?;
        let is_it =
            |view: &&InstanceView| *view.pool == *drained.pool && *view.name == *drained.instance;
        let Some(view) = instances.iter().find(is_it) else {
            return end(format!("{name} is gone"));
        };
        if view.admin_state != AdminState::Draining {
            let state = view.admin_state.name();
            return Err(anyhow!("{name} is {state}: somebody has undone the drain").into());
        }
        if view.sessions == 0 {
            return end(empty(&name, view));
        }
        if said.replace(view.sessions) != Some(view.sessions) {
            print::remark(&format!("{name}: {} left", sessions(view.sessions)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// People whose browser is closed have no session, but their servers run on.
fn empty(name: &str, view: &InstanceView) -> String {
    match view.hub.map_or(0, |hub| hub.people) {
        0 => format!("{name}: no session is left\n"),
        people => format!(
            "{name}: no session is left; its hub still runs servers of {people} people, see `poolgate explain idle {name}`\n"
        ),
    }
}

fn sessions(count: u32) -> String {
    match count {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    }
}
