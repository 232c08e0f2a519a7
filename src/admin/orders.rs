//! What is answered on the socket alone, which is its owner's: whatever changes something. Over TCP any account of this
//! machine could give orders.

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::routing::post;
use axum::{Extension, Json, Router};

use super::caller::Caller;
use super::moves::{MoveOrder, Moved};
use super::problem::Problem;
use super::reload::{self, Reloaded};
use super::scale::{ScaleAnswer, ScaleRequest};
use super::verbs::{CordonOrder, Desk, Done, DrainOrder, EvictOrder, KeepOrder, UncordonOrder};
use super::{AdminState, notices};

/// A reason and a name; a notice is longer than that, and still far below.
const BODY_BYTES_MAX: usize = 16 * 1024;

pub(super) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/api/v1/notices", post(notices::give))
        .route("/api/v1/scale", post(scale))
        .route("/api/v1/cordon", post(cordon))
        .route("/api/v1/uncordon", post(uncordon))
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/evict", post(evict))
        .route("/api/v1/keep", post(keep))
        .route("/api/v1/move", post(send))
        .route("/api/v1/reload", post(reload))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

type Shared = State<AdminState>;
type Whose = Extension<Caller>;
type Answer<T> = Result<Json<T>, Problem>;

async fn cordon(state: Shared, caller: Whose, body: Body<CordonOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let (by, state) = (caller.name().await, &state);
    Desk { state, by }.cordon(order).await.map(Json)
}

async fn uncordon(state: Shared, caller: Whose, body: Body<UncordonOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let (by, state) = (caller.name().await, &state);
    Desk { state, by }.uncordon(order).await.map(Json)
}

async fn drain(state: Shared, caller: Whose, body: Body<DrainOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let (by, state) = (caller.name().await, &state);
    Desk { state, by }.drain(order).await.map(Json)
}

async fn evict(state: Shared, caller: Whose, body: Body<EvictOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let (by, state) = (caller.name().await, &state);
    Desk { state, by }.evict(order).await.map(Json)
}

async fn keep(state: Shared, caller: Whose, body: Body<KeepOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let (by, state) = (caller.name().await, &state);
    Desk { state, by }.keep(order).await.map(Json)
}

async fn send(state: Shared, caller: Whose, body: Body<MoveOrder>) -> Answer<Moved> {
    let Json(order) = body?;
    let (by, state) = (caller.name().await, &state);
    Desk { state, by }.send(order).map(Json)
}

async fn scale(state: Shared, caller: Whose, body: Body<ScaleRequest>) -> Answer<ScaleAnswer> {
    let Json(request) = body?;
    let by = caller.name().await;
    let snapshot = state.pool.snapshot();
    let answer = request.answer(by, &snapshot, &state.ask_scale);
    answer.await.map(Json)
}

async fn reload(state: Shared, caller: Whose) -> Answer<Reloaded> {
    let by = caller.name().await;
    reload::answer(&state.ask_reload, by).await.map(Json)
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem {
        status: StatusCode::METHOD_NOT_ALLOWED,
        detail: format!("{} takes no {method}: use POST", uri.path()),
    }
}
