//! What can be asked: `/livez`, `/readyz`, `/metrics` and `/api/v1/*`, the latter with the objects of the snapshot.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::explain::{AskedHealth, AskedScaling, AskedUser, HealthStory, ScalingStory, UserStory};
use super::idle::Asked;
use super::problem::{Problem, Unfit};
use super::readiness::Verdict;
use super::reload::ConfigState;
use super::story::Since;
use super::upgrade::UpgradeView;
use super::{AdminState, CostView, me, openapi, story};
use crate::pool::idle::Idle;
use crate::pool::snapshot::{PoolView, WaiterView};
use crate::pool::{InstanceView, OlderGate, SessionView, Snapshot};
use crate::telemetry::events::Event;
use crate::telemetry::log;
use crate::telemetry::metrics::Format;

/// The whole gate at a glance: the body of `/api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub version: String,
    #[serde(flatten)]
    pub readiness: Verdict,
    /// RFC 3339.
    pub started: String,
    pub uptime_s: u64,
    pub pools: Vec<PoolView>,
    /// Sessions of any stage, over all pools.
    pub sessions: usize,
    /// Gates of before that still hold some of them.
    pub older: Vec<OlderGate>,
    /// Whether the newest audit lines could not be written.
    pub audit_failing: bool,
    pub audit_lines_lost: u64,
    /// Without its keys.
    pub config: ConfigState,
}

pub(super) fn router(state: AdminState, ending: CancellationToken) -> Router {
    let shared = Shared { state, ending };
    let (router, _) = described().split_for_parts();
    router.with_state(Arc::new(shared))
}

/// The routes and what the API's description says of them.
pub(super) fn described() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .routes(routes!(status))
        .routes(routes!(pools))
        .routes(routes!(instances))
        .routes(routes!(sessions))
        .routes(routes!(queue))
        .routes(routes!(config))
        .routes(routes!(upgrade))
        .routes(routes!(idle))
        .routes(routes!(events))
        .routes(routes!(explain_user))
        .routes(routes!(explain_health))
        .routes(routes!(explain_scaling))
        .routes(routes!(cost))
        .routes(routes!(me::me))
        .routes(routes!(description))
}

type Shares = State<Arc<Shared>>;

pub(super) struct Shared {
    state: AdminState,
    ending: CancellationToken,
}

impl Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.state.pool.snapshot()
    }
}

/// It answers.
#[derive(Serialize, ToSchema)]
struct Life {
    alive: bool,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/livez", tag = "signs of life", responses((status = 200, body = Life)))]
async fn livez() -> Json<Life> {
    Json(Life { alive: true })
}

/// Whether a login could succeed.
#[utoipa::path(get, path = "/readyz", tag = "signs of life", responses(
    (status = 200, description = "People can be sent here.", body = Verdict),
    (status = 503, description = "No login could succeed; `reason` says why.", body = Verdict),
))]
async fn readyz(State(shared): Shares) -> Response {
    let verdict = shared.state.readiness.judge(&shared.snapshot());
    let status = match verdict.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(verdict)).into_response()
}

/// Every figure, for Prometheus: as text, or as OpenMetrics for whoever accepts that.
#[utoipa::path(get, path = "/metrics", tag = "figures", responses((status = 200, content(
    (String = "text/plain"), (String = "application/openmetrics-text"),
))))]
async fn metrics(State(shared): Shares, headers: HeaderMap) -> Response {
    let metrics = &shared.state.metrics;
    metrics.set_audit_lost(shared.state.audit.lost());
    metrics.set_log_lost(log::lost());
    for (pool, people) in shared.state.pool.lines().lengths() {
        metrics.set_queue(&pool, people);
    }
    let accept = headers.get(header::ACCEPT);
    let format = Format::of_accept(accept.and_then(|value| value.to_str().ok()));
    let text = metrics.scrape(&shared.snapshot(), format);
    ([(header::CONTENT_TYPE, format.content_type())], text).into_response()
}

/// The whole gate at a glance.
#[utoipa::path(get, path = "/api/v1/status", tag = "looks", responses((status = 200, body = Status)))]
async fn status(State(shared): Shares) -> Json<Status> {
    let snapshot = shared.snapshot();
    let state = &shared.state;
    let uptime = shared.state.started.duration_until(jiff::Timestamp::now());
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        readiness: state.readiness.judge(&snapshot),
        started: format!("{:.0}", shared.state.started),
        uptime_s: u64::try_from(uptime.as_secs()).unwrap_or(0),
        pools: snapshot.pools.clone(),
        sessions: snapshot.sessions.len(),
        older: snapshot.older.clone(),
        audit_failing: state.audit.is_failing(),
        audit_lines_lost: state.audit.lost(),
        config: state.config_state().without_keys(),
    })
}

/// The pools: how many instances, seats and sessions, and what comes.
#[utoipa::path(get, path = "/api/v1/pools", tag = "looks", responses((status = 200, body = [PoolView])))]
async fn pools(State(shared): Shares) -> Json<Vec<PoolView>> {
    Json(shared.snapshot().pools.clone())
}

/// The instances: where they are, whether they are up, how full.
#[utoipa::path(get, path = "/api/v1/instances", tag = "looks", responses((status = 200, body = [InstanceView])))]
async fn instances(State(shared): Shares) -> Json<Vec<InstanceView>> {
    Json(shared.snapshot().instances.clone())
}

/// The sessions: who is where, since when.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "looks", responses((status = 200, body = [SessionView])))]
async fn sessions(State(shared): Shares) -> Json<Vec<SessionView>> {
    Json(shared.snapshot().sessions.clone())
}

/// Who waits for a seat, the first in front.
#[utoipa::path(get, path = "/api/v1/queue", tag = "looks", responses((status = 200, body = [WaiterView])))]
async fn queue(State(shared): Shares) -> Json<Vec<WaiterView>> {
    Json(shared.state.pool.lines().views())
}

/// What is written in the configuration that is in force, key by key.
#[utoipa::path(get, path = "/api/v1/config", tag = "looks", responses((status = 200, body = ConfigState)))]
async fn config(State(shared): Shares) -> Json<ConfigState> {
    Json(shared.state.config_state())
}

/// How far the last upgrade is that this gate was asked for, and whose place it took itself.
#[utoipa::path(get, path = "/api/v1/upgrade", operation_id = "upgrade_state", tag = "looks", responses((status = 200, body = UpgradeView)))]
async fn upgrade(State(shared): Shares) -> Json<UpgradeView> {
    Json(shared.state.upgrades.view())
}

/// What the machines of resized pools have cost, month by month and person by person.
#[utoipa::path(get, path = "/api/v1/cost", tag = "figures", responses((status = 200, body = [CostView])))]
async fn cost(State(shared): Shares) -> Json<Vec<CostView>> {
    Json((shared.state.ask_cost)().await)
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "looks", responses((status = 200, body = Object)))]
async fn description() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, openapi::text()).into_response()
}

type Asks<T> = Result<Query<T>, QueryRejection>;

/// Whether an instance could stop without anybody noticing, and why not.
#[utoipa::path(get, path = "/api/v1/idle", tag = "reasons", params(Asked), responses((status = 200, body = Idle), Unfit))]
async fn idle(State(shared): Shares, asked: Asks<Asked>) -> Result<Json<Idle>, Problem> {
    let Query(asked) = asked?;
    let instances = &shared.snapshot().instances;
    let idle = asked.answer(instances, &shared.state.ask_idle).await;
    idle.map(Json)
}

/// Where somebody is, where their next login goes, and why.
#[utoipa::path(get, path = "/api/v1/explain/user", tag = "reasons", params(AskedUser),
    responses((status = 200, body = UserStory), Unfit))]
async fn explain_user(
    State(shared): Shares,
    asked: Asks<AskedUser>,
) -> Result<Json<UserStory>, Problem> {
    let Query(asked) = asked?;
    asked.answer(&shared.state).map(Json)
}

/// Whether instances are up, since when, and what their probes say.
#[utoipa::path(get, path = "/api/v1/explain/health", tag = "reasons", params(AskedHealth),
    responses((status = 200, body = [HealthStory]), Unfit))]
async fn explain_health(
    State(shared): Shares,
    asked: Asks<AskedHealth>,
) -> Result<Json<Vec<HealthStory>>, Problem> {
    let Query(asked) = asked?;
    asked.answer(&shared.state).map(Json)
}

/// What the size of each pool follows from.
#[utoipa::path(get, path = "/api/v1/explain/scaling", tag = "reasons", params(AskedScaling),
    responses((status = 200, body = [ScalingStory]), Unfit))]
async fn explain_scaling(
    State(shared): Shares,
    asked: Asks<AskedScaling>,
) -> Result<Json<Vec<ScalingStory>>, Problem> {
    let Query(asked) = asked?;
    asked.answer(&shared.state).map(Json)
}

/// What was done about the pools and why, from where a reader stopped.
#[utoipa::path(get, path = "/api/v1/events", tag = "reasons", params(Since), responses((status = 200, body = [Event],
    headers(("poolgate-run" = String, description = "Which run of the gate the numbers are of: they begin anew with each."))), Unfit))]
async fn events(State(shared): Shares, since: Asks<Since>) -> Result<Response, Problem> {
    let Query(since) = since?;
    let (events, snapshot) = (&shared.state.events, shared.snapshot());
    let told = since.answer(events, &snapshot, &shared.ending).await?;
    let run = [(story::RUN_HEADER, shared.state.started.to_string())];
    Ok((run, Json(told)).into_response())
}
