//! What can be asked: `/livez`, `/readyz`, `/metrics` and `/api/v1/*`, the latter with the objects of the snapshot.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::explain::{AskedHealth, AskedScaling, AskedUser, HealthStory, ScalingStory, UserStory};
use super::idle::Asked;
use super::problem::Problem;
use super::readiness::Verdict;
use super::reload::ConfigState;
use super::story::Since;
use super::{AdminState, story};
use crate::pool::Snapshot;
use crate::pool::idle::Idle;
use crate::pool::snapshot::PoolView;
use crate::telemetry::log;
use crate::telemetry::metrics::Format;

/// The whole gate at a glance: the body of `/api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Whether the newest audit lines could not be written.
    pub audit_failing: bool,
    pub audit_lines_lost: u64,
    /// Without its keys.
    pub config: ConfigState,
}

pub(super) fn router(state: AdminState, ending: CancellationToken) -> Router {
    let shared = Shared { state, ending };
    Router::new()
        .route(
            "/livez",
            get(async || Json(serde_json::json!({ "alive": true }))),
        )
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route(
            "/api/v1/pools",
            get(async |State(shared): Shares| Json(shared.snapshot().pools.clone())),
        )
        .route(
            "/api/v1/instances",
            get(async |State(shared): Shares| Json(shared.snapshot().instances.clone())),
        )
        .route(
            "/api/v1/sessions",
            get(async |State(shared): Shares| Json(shared.snapshot().sessions.clone())),
        )
        .route(
            "/api/v1/queue",
            get(async |State(shared): Shares| Json(shared.state.pool.lines().views())),
        )
        .route(
            "/api/v1/config",
            get(async |State(shared): Shares| Json(shared.state.config.get().as_ref().clone())),
        )
        .route("/api/v1/idle", get(idle))
        .route("/api/v1/events", get(events))
        .route("/api/v1/explain/user", get(explain_user))
        .route("/api/v1/explain/health", get(explain_health))
        .route("/api/v1/explain/scaling", get(explain_scaling))
        .route(
            "/api/v1/cost",
            get(async |State(shared): Shares| Json((shared.state.ask_cost)().await)),
        )
        .with_state(Arc::new(shared))
}

type Shares = State<Arc<Shared>>;

struct Shared {
    state: AdminState,
    ending: CancellationToken,
}

impl Shared {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.state.pool.snapshot()
    }
}

async fn readyz(State(shared): Shares) -> Response {
    let verdict = shared.state.readiness.judge(&shared.snapshot());
    let status = match verdict.ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(verdict)).into_response()
}

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
        audit_failing: state.audit.is_failing(),
        audit_lines_lost: state.audit.lost(),
        config: state.config.get().without_keys(),
    })
}

type Asks<T> = Result<Query<T>, QueryRejection>;

async fn idle(State(shared): Shares, asked: Asks<Asked>) -> Result<Json<Idle>, Problem> {
    let Query(asked) = asked?;
    let instances = &shared.snapshot().instances;
    let idle = asked.answer(instances, &shared.state.ask_idle).await;
    idle.map(Json)
}

async fn explain_user(
    State(shared): Shares,
    asked: Asks<AskedUser>,
) -> Result<Json<UserStory>, Problem> {
    let Query(asked) = asked?;
    asked.answer(&shared.state).map(Json)
}

async fn explain_health(
    State(shared): Shares,
    asked: Asks<AskedHealth>,
) -> Result<Json<Vec<HealthStory>>, Problem> {
    let Query(asked) = asked?;
    asked.answer(&shared.state).map(Json)
}

async fn explain_scaling(
    State(shared): Shares,
    asked: Asks<AskedScaling>,
) -> Result<Json<Vec<ScalingStory>>, Problem> {
    let Query(asked) = asked?;
    asked.answer(&shared.state).map(Json)
}

async fn events(State(shared): Shares, since: Asks<Since>) -> Result<Response, Problem> {
    let Query(since) = since?;
    let told = since.answer(&shared.state.events, &shared.ending).await;
    let run = [(story::RUN_HEADER, shared.state.started.to_string())];
    Ok((run, Json(told)).into_response())
}
