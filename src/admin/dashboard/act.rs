//! Orders by form: asked for with what will happen, given as the API's own orders, answered on the page people came from.
//!
//! What became of an order is kept here for a moment under a number nobody can guess: an address that said it itself could
//! be written by anybody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::pages::act::{self, Form, Order};
use super::pages::{self, Flash, Frame};
use super::{Dashboard, show};
use crate::admin::caller::Caller;
use crate::admin::moves::MoveOrder;
use crate::admin::notices::Notice;
use crate::admin::problem::Problem;
use crate::admin::scale::ScaleRequest;
use crate::admin::verbs::Desk;
use crate::admin::{CordonOrder, DrainOrder, EvictOrder, KeepOrder, UncordonOrder};

/// Whoever does not look within this time finds it among the events.
const FLASH_LIFE: Duration = Duration::from_secs(30);
/// Operators are few.
const FLASHES_MAX: usize = 64;

type Shared = State<Arc<Dashboard>>;
type Whose = Extension<Caller>;

/// What became of the last orders.
#[derive(Default)]
pub(super) struct Flashes {
    kept: Mutex<VecDeque<(String, Instant, Flash)>>,
}

impl Flashes {
    /// The number to show it under.
    fn put(&self, flash: Flash) -> String {
        let mut bytes = [0; 16];
        if aws_lc_rs::rand::fill(&mut bytes).is_err() {
            return String::new();
        }
        let number = format!("{:032x}", u128::from_ne_bytes(bytes));
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == FLASHES_MAX {
            kept.pop_front();
        }
        kept.push_back((number.clone(), Instant::now(), flash));
        number
    }

    pub fn get(&self, number: &str) -> Option<Flash> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = kept.iter();
        let (_, at, flash) = found.find(|(one, ..)| one == number)?;
        (at.elapsed() < FLASH_LIFE).then(|| flash.clone())
    }
}

/// The page that asks for what is to be said.
pub(super) async fn ask(
    State(dashboard): Shared,
    Extension(caller): Whose,
    form: Result<Query<Form>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(form) = form.map_err(|rejection| bad(rejection.body_text()))?;
    may(&caller)?;
    Ok(page(&dashboard, &caller, &form, Vec::new(), None).await)
}

/// The order itself.
pub(super) async fn give(
    State(dashboard): Shared,
    Extension(caller): Whose,
    form: Result<axum::extract::Form<Given>, FormRejection>,
) -> Result<Response, Problem> {
    let axum::extract::Form(Given { form, dry }) =
        form.map_err(|rejection| bad(rejection.body_text()))?;
    may(&caller)?;
    let is_dry_run = !dry.is_empty();
    // Where to go is asked before: an evicted session is gone afterwards.
    let back = form.back(&dashboard.scene());
    match carry_out(&dashboard, &caller, &form, is_dry_run).await {
        Ok(Told::Steps(steps)) => Ok(page(&dashboard, &caller, &form, steps, None).await),
        Ok(Told::Done(text)) => {
            let text = super::words::plain(&text);
            let number = dashboard.flashes.put(Flash {
                is_good: true,
                text,
            });
            let joint = if back.contains('?') { '&' } else { '?' };
            Ok(Redirect::to(&format!("{back}{joint}flash={number}")).into_response())
        }
        Err(problem) => {
            let fault = super::words::plain(&problem.detail);
            let mut response = page(&dashboard, &caller, &form, Vec::new(), Some(&fault)).await;
            *response.status_mut() = problem.status;
            Ok(response)
        }
    }
}

#[derive(serde::Deserialize)]
pub(super) struct Given {
    #[serde(flatten)]
    form: Form,
    /// Only tell what would be done.
    #[serde(default)]
    dry: String,
}

fn may(caller: &Caller) -> Result<(), Problem> {
    match show::may_act(caller) {
        true => Ok(()),
        false => Err(Problem {
            status: StatusCode::FORBIDDEN,
            detail: "this needs the role operator".to_owned(),
        }),
    }
}

async fn page(
    dashboard: &Dashboard,
    caller: &Caller,
    form: &Form,
    steps: Vec<String>,
    fault: Option<&str>,
) -> Response {
    let scene = dashboard.scene();
    let viewer = show::viewer(caller).await;
    let steps = steps.iter().map(|step| super::words::plain(step)).collect();
    let (status, body, flash) = match act::body(&scene, &viewer, form, steps, fault) {
        Ok(body) => (StatusCode::OK, body, None),
        Err(text) => {
            let flash = Flash {
                is_good: false,
                text,
            };
            let back = form.back(&scene);
            let body = format!("<h1>Too late</h1><p><a href=\"{back}\">Back</a></p>");
            (StatusCode::NOT_FOUND, body, Some(flash))
        }
    };
    let frame = Frame {
        viewer: &viewer,
        flash: flash.as_ref(),
        tab: None,
        title: "An order",
        live: None,
    };
    (status, Html(pages::shell(&scene, &frame, &body))).into_response()
}

/// What became of an order.
enum Told {
    Done(String),
    /// Of a dry run.
    Steps(Vec<String>),
}

async fn carry_out(
    dashboard: &Dashboard,
    caller: &Caller,
    form: &Form,
    is_dry_run: bool,
) -> Result<Told, Problem> {
    let state = &dashboard.state;
    let desk = Desk::of(state, caller).await;
    let (instance, reason) = (form.instance.clone(), form.reason.clone());
    let deadline_s = seconds("deadline_s", &form.deadline_s)?;
    let done = match form.order {
        Order::Cordon => {
            let order = CordonOrder {
                instance,
                reason,
                is_dry_run,
            };
            desk.cordon(order).await?
        }
        Order::Uncordon => {
            let order = UncordonOrder {
                instance,
                reason,
                is_dry_run,
            };
            desk.uncordon(order).await?
        }
        Order::Drain => {
            let order = DrainOrder {
                instance,
                reason,
                deadline_s,
                is_dry_run,
            };
            desk.drain(order).await?
        }
        Order::Keep => {
            let until = form.until.clone();
            let order = KeepOrder {
                instance,
                until,
                is_dry_run,
            };
            desk.keep(order).await?
        }
        Order::Evict => {
            let session = session(&form.session)?;
            let order = EvictOrder {
                session,
                reason,
                is_dry_run,
            };
            desk.evict(order).await?
        }
        Order::Move => return moved(&desk, form, is_dry_run),
        Order::Notice => return notice(&desk, form, deadline_s),
        Order::Scale => return scale(&desk, form, is_dry_run).await,
    };
    Ok(match done.is_dry_run {
        true => Told::Steps(vec![done.text]),
        false => Told::Done(done.text),
    })
}

fn moved(desk: &Desk<'_>, form: &Form, is_dry_run: bool) -> Result<Told, Problem> {
    let is_session = !form.session.is_empty();
    let order = MoveOrder {
        session: is_session.then(|| session(&form.session)).transpose()?,
        user: (!is_session).then(|| form.user.clone()),
        to: form.to.clone(),
        reason: form.reason.clone(),
        now: !form.now.is_empty(),
        is_dry_run,
    };
    let text = desk.send(order)?.text;
    Ok(match is_dry_run {
        true => Told::Steps(vec![text]),
        false => Told::Done(text),
    })
}

fn notice(desk: &Desk<'_>, form: &Form, deadline_s: Option<u64>) -> Result<Told, Problem> {
    let session = match form.session.is_empty() {
        true => None,
        false => Some(session(&form.session)?),
    };
    let notice = Notice {
        session,
        instance: (!form.instance.is_empty()).then(|| form.instance.clone()),
        text: form.text.clone(),
        deadline_s,
        ..Notice::default()
    };
    let sessions = desk.notify(&notice)?.sessions as u64;
    let sessions = super::words::counted(sessions, "session");
    Ok(Told::Done(format!("The notice was given to {sessions}.")))
}

async fn scale(desk: &Desk<'_>, form: &Form, is_dry_run: bool) -> Result<Told, Problem> {
    let machines = form.machines.trim().parse();
    let request = ScaleRequest {
        pool: form.pool.clone(),
        machines: machines.map_err(|_| bad("machines is no whole number".to_owned()))?,
        hold_s: seconds("hold_s", &form.hold_s)?.unwrap_or(crate::admin::scale::HOLD_S),
        is_dry_run,
    };
    let answer = desk.scale(request).await?;
    let mut lines = answer.steps;
    if lines.is_empty() {
        lines.push("nothing is to be done now".to_owned());
    }
    lines.extend(answer.notes);
    Ok(match is_dry_run {
        true => Told::Steps(lines),
        false => Told::Done(lines.join("; ")),
    })
}

fn session(text: &str) -> Result<crate::pool::SessionId, Problem> {
    text.parse()
        .map_err(|fault: crate::pool::SessionIdError| bad(fault.to_string()))
}

fn seconds(what: &str, text: &str) -> Result<Option<u64>, Problem> {
    match text.trim() {
        "" => Ok(None),
        text => {
            let parsed = text.parse();
            parsed
                .map(Some)
                .map_err(|_| bad(format!("{what} is no whole number of seconds")))
        }
    }
}

fn bad(detail: String) -> Problem {
    Problem {
        status: StatusCode::BAD_REQUEST,
        detail,
    }
}
