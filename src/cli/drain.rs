//! `poolgate drain`: an instance is emptied, and with `--wait` how far that is: how many are left, who, and until when.
//!
//! The gate tells people and ends what is left at the deadline; here it is only watched.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::{GateArgs, duration};
use super::orders::{How, tell};
use super::table::{local, span};
use super::wait::{self, Look};
use super::{Failure, client, plain, print};
use crate::admin::{Done, DrainOrder, Status};
use crate::pool::{AdminState, InstanceView, SessionView};
use crate::telemetry::events::Event;

/// People named in a line; the others are counted.
const NAMED_MAX: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gate: GateArgs,
    /// By its name or as POOL/NAME
    #[arg(value_name = "INSTANCE")]
    instance: String,
    /// Why, for those who read `poolgate instances` and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// End the sessions that are left then, such as 2h from now; people are told. Without it nobody is cut off, but where a
    /// drain is under way its deadline stays
    #[arg(long, value_name = "TIME", value_parser = duration)]
    deadline: Option<Duration>,
    /// Return when no session is left there; fail when somebody has undone it
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    how: How,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
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
    let name = format!("{}/{}", done.pool, done.instance);
    let going_on = format!(
        "{name} goes on draining without this command; `poolgate uncordon {name} --reason ...` undoes it"
    );
    let mut people = People::default();
    let text = wait::until(&going_on, async || {
        look(&args.gate, &done, &name, &mut people).await
    });
    let text = text.await?;
    tell(
        &args.how,
        &Done {
            text: text.clone(),
            ..done
        },
        &text,
    )
}

/// Who is there, asked anew when their number changes: a list of all sessions is long.
#[derive(Default)]
struct People {
    sessions: u32,
    names: String,
}

async fn look(
    gate: &GateArgs,
    drained: &Done,
    name: &str,
    people: &mut People,
) -> Result<Look<String>, Failure> {
    let instances: Vec<InstanceView> = client::read(gate, "/api/v1/instances").await?;
    let is_it =
        |view: &&InstanceView| *view.pool == *drained.pool && *view.name == *drained.instance;
    let Some(view) = instances.iter().find(is_it) else {
        return Ok(Look::Done(format!("{name} is gone")));
    };
    if view.admin_state != AdminState::Draining {
        let state = view.admin_state.name();
        let by = undone_by(gate, name).await.unwrap_or_default();
        let why = format!("{name} is {state}: somebody has undone the drain{by}");
        return Ok(Look::CalledOff(why));
    }
    if view.sessions == 0 {
        let status: Status = client::read(gate, "/api/v1/status").await?;
        if let Some(older) = status.older.iter().find(|older| !older.is_heard) {
            let pid = older.pid;
            let text =
                format!("{name}: an older gate (pid {pid}) has not told yet whom it holds there");
            let clock = String::new();
            return Ok(Look::GoesOn { text, clock });
        }
        return Ok(Look::Done(empty(name, view)));
    }
    if people.sessions != view.sessions {
        let sessions: Vec<SessionView> = client::read(gate, "/api/v1/sessions").await?;
        people.names = names(&sessions, view);
        people.sessions = view.sessions;
    }
    Ok(left(name, view, &people.names, SystemTime::now()))
}

fn left(name: &str, view: &InstanceView, people: &str, now: SystemTime) -> Look<String> {
    let sessions = match view.sessions {
        1 => "1 session".to_owned(),
        count => format!("{count} sessions"),
    };
    let mut text = format!("{name}: {sessions} left{people}");
    let mut clock = String::new();
    if let Some(deadline) = view.deadline {
        text.push_str(&format!(", until {}", local(deadline, "%H:%M:%S")));
        let rest = deadline.duration_since(now).unwrap_or(Duration::ZERO);
        clock = format!(" ({} to go)", span(rest));
    }
    Look::GoesOn { text, clock }
}

/// ` (alice, bob)`; nothing where nobody is known.
fn names(sessions: &[SessionView], view: &InstanceView) -> String {
    let there = sessions
        .iter()
        .filter(|session| session.pool == view.pool && session.instance == view.name);
    let mut users: Vec<&str> = there.filter_map(|one| one.user.as_deref()).collect();
    users.sort_unstable();
    users.dedup();
    let more = users.len().saturating_sub(NAMED_MAX);
    users.truncate(NAMED_MAX);
    match (users.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(" ({})", plain::line(&users.join(", "))),
        (false, more) => format!(" ({} and {more} more)", plain::line(&users.join(", "))),
    }
}

/// What the story says last of the instance: who undid it, and why.
async fn undone_by(gate: &GateArgs, name: &str) -> Option<String> {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let path = format!("/api/v1/events?kind=undrain,cordon&instance={name}");
    let events: Vec<Event> = client::read(gate, &path).await.ok()?;
    Some(format!(": {}", plain::line(&events.last()?.text)))
}

/// People whose browser is closed have no session, but their servers run on.
fn empty(name: &str, view: &InstanceView) -> String {
    match view.hub.map_or(0, |hub| hub.people) {
        0 => format!("{name}: no session is left"),
        people => format!(
            "{name}: no session is left; its hub still runs servers of {people} people, see `poolgate explain idle {name}`"
        ),
    }
}
