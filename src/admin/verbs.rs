//! What operators decide about instances and sessions: cordon, uncordon, drain, evict, keep. Each is told as an event, with
//! who decided and why.
//!
//! Nothing is ended here at a drain's deadline: the decision says when, and whoever looks after the pool's size acts on it.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use jiff::tz::TimeZone;

use super::caller::Caller;
use super::notices::{Given, Notice, TEXT_BYTES_MAX};
use super::orders::{
    CordonOrder, DEADLINE_MAX_S, Done, DrainOrder, EvictOrder, KeepOrder, REASON_MAX, UncordonOrder,
};
use super::problem::Problem;
use super::reload::{self, Reloaded};
use super::scale::{ScaleAnswer, ScaleRequest};
use super::upgrade::{UpgradeOrder, UpgradeView};
use super::{AdminState, named};
use crate::pool::keep::{parse_until, show_until};
use crate::pool::{AdminState as State, Decision, InstanceId, InstanceView, Keep};
use crate::telemetry::audit::AuditEvent;
use crate::telemetry::events::EventKind;

const KEEP_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// An order is answered when the next question will see it done; how long that is waited for.
const SETTLE: Duration = Duration::from_secs(2);

/// Takes one person's orders; each is written to the audit log, carried out or refused.
pub(super) struct Desk<'a> {
    pub state: &'a AdminState,
    caller: &'a Caller,
    pub by: String,
}

impl<'a> Desk<'a> {
    pub async fn of(state: &'a AdminState, caller: &'a Caller) -> Self {
        Self {
            state,
            caller,
            by: caller.name().await,
        }
    }

    pub async fn cordon(&self, order: CordonOrder) -> Result<Done, Problem> {
        let deed = Deed::new(
            "cordon",
            &order.instance,
            Some(&order.reason),
            order.is_dry_run,
        );
        self.record(&deed, self.cordon_now(&order).await)
    }

    pub async fn uncordon(&self, order: UncordonOrder) -> Result<Done, Problem> {
        let deed = Deed::new(
            "uncordon",
            &order.instance,
            Some(&order.reason),
            order.is_dry_run,
        );
        self.record(&deed, self.uncordon_now(&order).await)
    }

    pub async fn drain(&self, order: DrainOrder) -> Result<Done, Problem> {
        let deed = Deed::new(
            "drain",
            &order.instance,
            Some(&order.reason),
            order.is_dry_run,
        );
        self.record(&deed, self.drain_now(&order).await)
    }

    pub async fn evict(&self, order: EvictOrder) -> Result<Done, Problem> {
        let session = order.session.to_string();
        let deed = Deed::new("evict", &session, Some(&order.reason), order.is_dry_run);
        self.record(&deed, self.evict_now(&order).await)
    }

    pub async fn keep(&self, order: KeepOrder) -> Result<Done, Problem> {
        let deed = Deed::new(
            "keep",
            &order.instance,
            Some(&order.until),
            order.is_dry_run,
        );
        self.record(&deed, self.keep_now(&order).await)
    }

    pub async fn scale(&self, request: ScaleRequest) -> Result<ScaleAnswer, Problem> {
        let wish = format!("{} to {} machines", request.pool, request.machines);
        let is_dry_run = request.is_dry_run;
        let snapshot = self.state.pool.snapshot();
        let answer = request.answer(self.by.clone(), &snapshot, &self.state.ask_scale);
        self.record(&Deed::new("scale", &wish, None, is_dry_run), answer.await)
    }

    pub async fn reload(&self) -> Result<Reloaded, Problem> {
        let reloaded = reload::answer(&self.state.ask_reload, self.by.clone()).await;
        self.record(
            &Deed::new("reload", "the configuration", None, false),
            reloaded,
        )
    }

    pub fn upgrade(&self, order: UpgradeOrder) -> Result<UpgradeView, Problem> {
        let program = order.program.as_ref();
        let target = program.map_or_else(
            || "the program that is installed".to_owned(),
            |program| program.display().to_string(),
        );
        let (reason, is_dry_run) = (order.reason.clone(), order.is_dry_run);
        let begun = order.judge(self.caller, self.by.clone()).and_then(|wish| {
            (self.state.ask_upgrade)(wish).map_err(|detail| Problem {
                status: StatusCode::CONFLICT,
                detail,
            })
        });
        let begun = begun.map(|()| self.state.upgrades.view());
        let deed = Deed::new("upgrade", &target, Some(&reason), is_dry_run);
        self.record(&deed, begun)
    }

    pub fn notify(&self, notice: &Notice) -> Result<Given, Problem> {
        let audience = notice.audience_shown();
        let deed = Deed::new("notify", &audience, Some(&notice.text), notice.is_dry_run);
        self.record(&deed, notice.post(self.state))
    }

    /// Who, how, from where, what and why, and what came of it.
    pub(super) fn record<T>(
        &self,
        deed: &Deed<'_>,
        outcome: Result<T, Problem>,
    ) -> Result<T, Problem> {
        let refusal = outcome
            .as_ref()
            .err()
            .map(|problem| bounded(&problem.detail));
        let word = if refusal.is_none() { "done" } else { "refused" };
        self.state.metrics.count_admin_order(deed.action, word);
        self.state.audit.write(&AuditEvent::Order {
            by: self.by.clone(),
            role: self.caller.role.name(),
            via: self.caller.via.name(),
            peer: self.caller.peer,
            action: deed.action,
            target: bounded(deed.target),
            reason: deed.reason.map(bounded),
            refusal,
            is_dry_run: deed.is_dry_run,
        });
        outcome
    }
    async fn cordon_now(&self, order: &CordonOrder) -> Result<Done, Problem> {
        let reason = checked(&order.reason)?;
        let view = self.find(&order.instance)?;
        let decision = Decision::by_admin(State::Cordoned, reason);
        if order.is_dry_run {
            let text = "would be cordoned: nobody new would be sent there";
            return Ok(would(&view, &format!("{text}; {}", self.there(&view))));
        }
        self.decide(&view, decision).await?;
        let text = format!("{} cordons it: {reason}", self.by);
        self.tell(&view, EventKind::Cordon, text);
        Ok(done(
            &view,
            &format!("is cordoned: nobody new is sent there; {}", going_on(&view)),
        ))
    }

    async fn uncordon_now(&self, order: &UncordonOrder) -> Result<Done, Problem> {
        let reason = match order.reason.is_empty() {
            true => None,
            false => Some(checked(&order.reason)?),
        };
        let view = self.find(&order.instance)?;
        if view.admin_state == State::Ready {
            let is_dry_run = order.is_dry_run;
            let done = done(&view, "takes people already");
            return Ok(Done { is_dry_run, ..done });
        }
        if order.is_dry_run {
            return Ok(would(&view, "would take people again"));
        }
        let mut text = format!("{} sends people there again", self.by);
        if let Some(reason) = reason {
            text.push_str(&format!(": {reason}"));
        }
        self.decide(&view, Decision::none()).await?;
        self.tell(&view, EventKind::Undrain, text);
        Ok(done(&view, "takes people again"))
    }

    async fn drain_now(&self, order: &DrainOrder) -> Result<Done, Problem> {
        let reason = checked(&order.reason)?;
        if order.deadline_s.is_some_and(|after| after > DEADLINE_MAX_S) {
            let detail = format!(
                "deadline_s is more than 31 days away: write up to {DEADLINE_MAX_S} seconds"
            );
            return Err(bad(detail));
        }
        let view = self.find(&order.instance)?;
        let now = SystemTime::now();
        let deadline = match order.deadline_s {
            Some(after) => Some(now + Duration::from_secs(after)),
            // People have been told of it, and go by it.
            None => self.state.pool.ordered_deadline(&id_of(&view)),
        };
        let mut decision = Decision::by_admin(State::Draining, reason);
        decision.deadline = deadline;
        let ends = deadline.map(|at| format!("sessions end at {}", self.show(&view, at, now)));
        let ends = ends.unwrap_or_else(|| "no session is ended".to_owned());
        if order.is_dry_run {
            let there = self.there(&view);
            return Ok(would(&view, &format!("would drain: {there}; {ends}")));
        }
        self.decide(&view, decision).await?;
        let text = format!("{} drains it: {reason}; {ends}", self.by);
        self.tell(&view, EventKind::Drain, text);
        Ok(done(
            &view,
            &format!("is draining: {}; {ends}", going_on(&view)),
        ))
    }

    async fn evict_now(&self, order: &EvictOrder) -> Result<Done, Problem> {
        let reason = checked(&order.reason)?;
        let session = order.session;
        let unknown = || Problem {
            status: StatusCode::NOT_FOUND,
            detail: format!("there is no session {session}: `poolgate sessions` lists them"),
        };
        let snapshot = self.state.pool.snapshot();
        let view = snapshot.session(session).ok_or_else(unknown)?;
        let user = view.user.as_deref().unwrap_or("nobody known");
        if order.is_dry_run {
            let (pool, instance) = (&view.pool, &view.instance);
            return Ok(Done {
                pool: pool.to_string(),
                instance: instance.to_string(),
                text: format!("session {session} of {user} on {pool}/{instance} would be ended"),
                is_dry_run: true,
            });
        }
        if !self.state.pool.evict_because(session, reason) {
            return Err(unknown());
        }
        let at @ (pool, instance) = (&*view.pool, &*view.instance);
        let text = format!(
            "{} ends the {} session {session} of {user}: {reason}",
            self.by, view.protocol
        );
        let events = &self.state.events;
        events.tell_of(view.user.as_deref(), at, EventKind::Evict, text);
        let mut snapshots = self.state.pool.subscribe();
        let gone = snapshots.wait_for(|snapshot| snapshot.session(session).is_none());
        let is_gone = tokio::time::timeout(SETTLE, gone).await.is_ok();
        let word = if is_gone {
            "has ended"
        } else {
            "is told to end"
        };
        Ok(Done {
            pool: pool.to_owned(),
            instance: instance.to_owned(),
            text: format!("session {session} of {user} on {pool}/{instance} {word}"),
            is_dry_run: false,
        })
    }

    async fn keep_now(&self, order: &KeepOrder) -> Result<Done, Problem> {
        let view = self.find(&order.instance)?;
        let now = SystemTime::now();
        let keep = match order.until.trim() {
            "off" => None,
            text => {
                let until = parse_until(text, now, &self.zone(&view.pool));
                let until = until.map_err(|fault| bad(format!("{fault}, or off")))?;
                if until.duration_since(now).is_ok_and(|long| long > KEEP_MAX) {
                    return Err(bad(format!(
                        "{text:?} is more than 31 days away: write such as 18:00, 2h or off"
                    )));
                }
                let by = self.by.as_str().into();
                Some(Keep { by, until })
            }
        };
        if order.is_dry_run {
            let words = match &keep {
                Some(keep) => format!("would be kept until {}", self.show(&view, keep.until, now)),
                None => "would not be kept any more".to_owned(),
            };
            return Ok(would(&view, &words));
        }
        let (pool, id) = (&self.state.pool, id_of(&view));
        if !pool.keep(&id, keep.clone()) {
            return Err(named::unknown(&order.instance, &pool.snapshot().instances));
        }
        self.settle(&view, |view| view.keep == keep).await;
        let words = match &keep {
            Some(keep) => format!("kept until {}", self.show(&view, keep.until, now)),
            None => "not kept any more".to_owned(),
        };
        self.tell(&view, EventKind::Keep, format!("{words}, says {}", self.by));
        Ok(done(&view, &format!("is {words}")))
    }

    /// Who is there, by name.
    fn there(&self, view: &InstanceView) -> String {
        let snapshot = self.state.pool.snapshot();
        let id = id_of(view);
        let sessions = snapshot.sessions_on(&id);
        let mut people: Vec<_> = sessions
            .map(|session| session.user.as_deref().unwrap_or("somebody unknown"))
            .collect();
        people.sort_unstable();
        people.dedup();
        match people.is_empty() {
            true => going_on(view),
            false => format!("{}: {}", going_on(view), people.join(", ")),
        }
    }

    pub(super) fn find(&self, asked: &str) -> Result<InstanceView, Problem> {
        let snapshot = self.state.pool.snapshot();
        let id = named::find(asked, &snapshot.instances)?;
        let view = snapshot.instance(&id.pool, &id.name).cloned();
        view.ok_or_else(|| named::unknown(asked, &snapshot.instances))
    }

    async fn decide(&self, view: &InstanceView, decision: Decision) -> Result<(), Problem> {
        let (pool, id) = (&self.state.pool, id_of(view));
        if !pool.decide(&id, decision.clone()) {
            return Err(named::unknown(&view.name, &pool.snapshot().instances));
        }
        self.settle(view, |view| {
            let reason = view.reason.as_deref().unwrap_or_default();
            let is_dated = view.deadline == decision.deadline;
            view.admin_state == decision.state && is_dated && *reason == *decision.reason
        })
        .await;
        Ok(())
    }

    /// Waits until snapshots show it, so that whoever asks next sees what was ordered.
    async fn settle(&self, view: &InstanceView, is_done: impl Fn(&InstanceView) -> bool) {
        let mut snapshots = self.state.pool.subscribe();
        let shown = snapshots.wait_for(|snapshot| {
            let view = snapshot.instance(&view.pool, &view.name);
            view.is_none_or(&is_done)
        });
        // A pool that changes all the time publishes rarely; the order is carried out all the same.
        drop(tokio::time::timeout(SETTLE, shown).await);
    }

    pub(super) fn tell(&self, view: &InstanceView, kind: EventKind, text: String) {
        let events = &self.state.events;
        events.tell(&view.pool, Some(&view.name), kind, text);
    }

    fn show(&self, view: &InstanceView, at: SystemTime, now: SystemTime) -> String {
        show_until(at, now, &self.zone(&view.pool))
    }

    fn zone(&self, pool: &str) -> TimeZone {
        let zone = self.state.zones.get().get(pool).cloned();
        zone.unwrap_or(TimeZone::UTC)
    }
}

/// An order as the audit log has it.
pub(super) struct Deed<'a> {
    action: &'static str,
    target: &'a str,
    /// Of a keep until when, of a notice its text.
    reason: Option<&'a str>,
    is_dry_run: bool,
}

impl<'a> Deed<'a> {
    pub fn new(
        action: &'static str,
        target: &'a str,
        reason: Option<&'a str>,
        is_dry_run: bool,
    ) -> Self {
        Self {
            action,
            target,
            reason,
            is_dry_run,
        }
    }
}

/// What somebody wrote, cut to what a line of a log has room for.
fn bounded(text: &str) -> String {
    text.chars().take(TEXT_BYTES_MAX).collect()
}

/// A line without control characters: it is shown in terminals.
pub(super) fn checked(reason: &str) -> Result<&str, Problem> {
    let is_line = !reason.chars().any(char::is_control);
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_MAX {
        return Err(bad(format!(
            "reason is empty or longer than {REASON_MAX} bytes: write a line that people understand"
        )));
    }
    if !is_line {
        return Err(bad(
            "reason holds control characters: write one line of text".to_owned(),
        ));
    }
    Ok(reason)
}

pub(super) fn bad(detail: String) -> Problem {
    Problem {
        status: StatusCode::BAD_REQUEST,
        detail,
    }
}

fn going_on(view: &InstanceView) -> String {
    match view.sessions {
        0 => "no session is there".to_owned(),
        1 => "1 session goes on".to_owned(),
        sessions => format!("{sessions} sessions go on"),
    }
}

pub(super) fn done(view: &InstanceView, text: &str) -> Done {
    Done {
        pool: view.pool.to_string(),
        instance: view.name.to_string(),
        text: format!("{}/{} {text}", view.pool, view.name),
        is_dry_run: false,
    }
}

fn would(view: &InstanceView, text: &str) -> Done {
    Done {
        is_dry_run: true,
        ..done(view, text)
    }
}

pub(super) fn id_of(view: &InstanceView) -> InstanceId {
    InstanceId {
        pool: view.pool.clone(),
        name: view.name.clone(),
    }
}
