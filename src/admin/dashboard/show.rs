//! The pages' handlers: who asks, the scene, the page.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::history::{MinuteView, PoolHistory};
use super::pages::explain::MachineStory;
use super::pages::{self, Frame, Slots, Tab, View};
use super::scene::{Scene, Viewer};
use super::words::{in_query, plain};
use super::{Dashboard, csv, kernels};
use crate::admin::Role;
use crate::admin::caller::Caller;
use crate::admin::explain::{AskedHealth, AskedScaling, AskedUser, no_pool};
use crate::admin::idle;
use crate::admin::problem::{Problem, Unfit};

type Shared = State<Arc<Dashboard>>;
type Whose = Extension<Caller>;

/// What became of the order that led to a page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Led {
    flash: String,
}

/// Whether orders are offered, and taken.
pub(super) fn may_act(caller: &Caller) -> bool {
    caller.role >= Role::Operator
}

pub(super) async fn viewer(caller: &Caller) -> Viewer {
    Viewer {
        name: plain(&caller.name().await),
        role: caller.role.name(),
        may_act: may_act(caller),
        csrf: caller.csrf().map(str::to_owned),
    }
}

/// A page that is kept up to date at its own address.
struct Shown<'a> {
    dashboard: &'a Dashboard,
    scene: Scene,
    viewer: Viewer,
    led: Led,
}

impl<'a> Shown<'a> {
    async fn new(dashboard: &'a Dashboard, caller: &Caller, led: Led) -> Self {
        Self {
            dashboard,
            scene: dashboard.scene(),
            viewer: viewer(caller).await,
            led,
        }
    }

    fn slots(&self, view: &View) -> Slots {
        Slots::of(view.parts(&self.scene, self.viewer.may_act))
    }

    fn page(&self, tab: Tab, title: &str, live: Option<&str>, body: &str) -> Response {
        let flash = self.dashboard.flashes.get(&self.led.flash);
        let frame = Frame {
            viewer: &self.viewer,
            flash: flash.as_ref(),
            tab: Some(tab),
            title,
            live,
        };
        Html(pages::shell(&self.scene, &frame, body)).into_response()
    }
}

pub(super) async fn overview(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Query(led): Query<Led>,
) -> Response {
    let shown = Shown::new(&dashboard, &caller, led).await;
    let body = pages::overview::body(&shown.slots(&View::Overview));
    let title = pages::overview::title(&shown.scene);
    shown.page(Tab::Overview, &title, Some("/"), &body)
}

pub(super) async fn machines(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Query(asked): Query<pages::machines::Asked>,
    Query(led): Query<Led>,
) -> Response {
    kernels::refresh(&dashboard);
    let shown = Shown::new(&dashboard, &caller, led).await;
    let slots = shown.slots(&View::Machines(asked.clone()));
    let body = pages::machines::body(&slots, &shown.scene, &asked, shown.viewer.may_act);
    let live = format!(
        "/machines?pool={}&state={}&q={}&page={}",
        in_query(&asked.pool),
        in_query(&asked.state),
        in_query(&asked.q),
        asked.page
    );
    shown.page(Tab::Machines, "Machines", Some(&live), &body)
}

pub(super) async fn machine(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Path((pool, name)): Path<(String, String)>,
    Query(led): Query<Led>,
) -> Result<Response, Problem> {
    kernels::refresh(&dashboard);
    let story = machine_story(&dashboard, format!("{pool}/{name}")).await;
    let shown = Shown::new(&dashboard, &caller, led).await;
    let Some(found) = pages::machine::find(&shown.scene, &pool, &name) else {
        // The problem of the API names those that there are.
        return Err(story.err().unwrap_or_else(|| Problem {
            status: StatusCode::NOT_FOUND,
            detail: "this machine has just gone".to_owned(),
        }));
    };
    let view = View::Machine {
        pool: pool.clone(),
        name: name.clone(),
    };
    let slots = shown.slots(&view);
    let may_act = shown.viewer.may_act;
    let body = pages::machine::body(&slots, &shown.scene, found, story.ok().as_ref(), may_act);
    let live = format!("/machines/{}/{}", in_query(&pool), in_query(&name));
    let title = pages::machine::title(found);
    Ok(shown.page(Tab::Machines, &title, Some(&live), &body))
}

/// Of `POOL/NAME`.
async fn machine_story(dashboard: &Dashboard, instance: String) -> Result<MachineStory, Problem> {
    let state = &dashboard.state;
    let asked = AskedHealth {
        instance: Some(instance.clone()),
    };
    let told = asked.answer(state)?;
    let asked = idle::Asked { instance };
    let snapshot = state.pool.snapshot();
    Ok(MachineStory {
        health: told.into_iter().flat_map(|story| story.text).collect(),
        idle: asked.answer(&snapshot.instances, &state.ask_idle).await?,
    })
}

pub(super) async fn sessions(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Query(asked): Query<pages::sessions::Asked>,
    Query(led): Query<Led>,
) -> Response {
    let shown = Shown::new(&dashboard, &caller, led).await;
    let slots = shown.slots(&View::Sessions(asked.clone()));
    let body = pages::sessions::body(&slots, &shown.scene, &asked, shown.viewer.may_act);
    let live = format!(
        "/sessions?pool={}&protocol={}&q={}&order={}&page={}",
        in_query(&asked.pool),
        in_query(&asked.protocol),
        in_query(&asked.q),
        in_query(&asked.order),
        asked.page
    );
    shown.page(Tab::Sessions, "Sessions", Some(&live), &body)
}

pub(super) async fn queue(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Query(asked): Query<pages::queue::Asked>,
) -> Response {
    let shown = Shown::new(&dashboard, &caller, Led::default()).await;
    let slots = shown.slots(&View::Queue(asked.clone()));
    let body = pages::queue::body(&slots, &shown.scene, &asked);
    let live = format!("/queue?pool={}&page={}", in_query(&asked.pool), asked.page);
    let title = pages::queue::title(&shown.scene);
    shown.page(Tab::Queue, &title, Some(&live), &body)
}

pub(super) async fn events(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Query(asked): Query<pages::events::Asked>,
) -> Response {
    let shown = Shown::new(&dashboard, &caller, Led::default()).await;
    let slots = shown.slots(&View::Events(asked.clone()));
    let body = pages::events::body(&slots, &shown.scene, &asked);
    let live = format!(
        "/events?pool={}&kind={}&q={}&page={}",
        in_query(&asked.pool),
        in_query(&asked.kind),
        in_query(&asked.q),
        asked.page
    );
    shown.page(Tab::Events, "Events", Some(&live), &body)
}

pub(super) async fn charts(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Query(asked): Query<pages::charts::Asked>,
) -> Response {
    dashboard.ask_costs().await;
    let shown = Shown::new(&dashboard, &caller, Led::default()).await;
    let slots = shown.slots(&View::Charts(asked.clone()));
    let body = pages::charts::body(&slots, &shown.scene, &asked);
    let live = format!(
        "/charts?pool={}",
        in_query(asked.pool.as_deref().unwrap_or_default())
    );
    shown.page(Tab::Charts, "Charts", Some(&live), &body)
}

pub(super) async fn explain(
    State(dashboard): Shared,
    Extension(caller): Whose,
    Query(asked): Query<pages::explain::Asked>,
    Query(led): Query<Led>,
) -> Response {
    let mut answers = pages::explain::Answers::default();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    if let Some(user) = given(&asked.user) {
        let pool = given(&asked.pool);
        let answer = AskedUser { user, pool }.answer(&dashboard.state);
        answers.person = Some(answer.map_err(|problem| problem.detail));
    }
    if let Some(instance) = given(&asked.instance) {
        let answer = machine_story(&dashboard, instance).await;
        answers.machine = Some(answer.map_err(|problem| problem.detail));
    }
    let scaling = AskedScaling::default().answer(&dashboard.state);
    answers.scaling = scaling.unwrap_or_default();
    let shown = Shown::new(&dashboard, &caller, led).await;
    let body = pages::explain::body(&shown.scene, &asked, &answers, shown.viewer.may_act);
    shown.page(Tab::Explain, "Explain", None, &body)
}

pub(super) async fn machines_csv(
    State(dashboard): Shared,
    Query(asked): Query<pages::machines::Asked>,
) -> Response {
    attached("machines.csv", csv::machines(&dashboard.scene(), &asked))
}

pub(super) async fn sessions_csv(
    State(dashboard): Shared,
    Query(asked): Query<pages::sessions::Asked>,
) -> Response {
    attached("sessions.csv", csv::sessions(&dashboard.scene(), &asked))
}

fn attached(name: &str, text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, text).into_response()
}

/// The minutes that charts are drawn from.
#[utoipa::path(get, path = "/api/v1/history", tag = "figures", params(pages::charts::Asked),
    responses((status = 200, body = [PoolHistory]), Unfit))]
pub(super) async fn history(
    State(dashboard): Shared,
    asked: Result<Query<pages::charts::Asked>, QueryRejection>,
) -> Result<Json<Vec<PoolHistory>>, Problem> {
    let Query(asked) = asked?;
    let history = dashboard.gathered.history();
    if let Some(pool) = &asked.pool
        && dashboard.state.pool.snapshot().pool(pool).is_none()
        && !history.pools().any(|known| known == pool)
    {
        return Err(no_pool(&format!("there is no pool named {pool:?}")));
    }
    let wanted = |pool: &&str| asked.pool.as_deref().is_none_or(|asked| asked == *pool);
    let pools = history.pools().filter(wanted).map(|pool| {
        let minutes = history.minutes(Some(pool));
        let views = minutes.into_iter().map(|minute| MinuteView {
            time: minute.time(),
            minute,
        });
        PoolHistory {
            pool: pool.to_owned(),
            minutes: views.collect(),
        }
    });
    Ok(Json(pools.collect()))
}
