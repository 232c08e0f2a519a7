//! Whatever changes something, as the API takes it: for the command line over the socket, and for scripts with a token.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::routing::post;
use axum::{Extension, Json, Router};

use super::caller::Caller;
use super::moves::{MoveOrder, Moved};
use super::problem::Problem;
use super::reload::Reloaded;
use super::scale::{ScaleAnswer, ScaleRequest};
use super::verbs::{CordonOrder, Desk, Done, DrainOrder, EvictOrder, KeepOrder, UncordonOrder};
use super::{AdminState, Given, Notice};

pub(super) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/api/v1/notices", post(give))
        .route("/api/v1/scale", post(scale))
        .route("/api/v1/cordon", post(cordon))
        .route("/api/v1/uncordon", post(uncordon))
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/evict", post(evict))
        .route("/api/v1/keep", post(keep))
        .route("/api/v1/move", post(send))
        .route("/api/v1/reload", post(reload))
        .with_state(state)
}

type Body<T> = Result<Json<T>, JsonRejection>;

type Shared = State<AdminState>;
type Whose = Extension<Caller>;
type Answer<T> = Result<Json<T>, Problem>;

async fn cordon(state: Shared, caller: Whose, body: Body<CordonOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.cordon(order).await.map(Json)
}

async fn uncordon(state: Shared, caller: Whose, body: Body<UncordonOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.uncordon(order).await.map(Json)
}

async fn drain(state: Shared, caller: Whose, body: Body<DrainOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.drain(order).await.map(Json)
}

async fn evict(state: Shared, caller: Whose, body: Body<EvictOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.evict(order).await.map(Json)
}

async fn keep(state: Shared, caller: Whose, body: Body<KeepOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.keep(order).await.map(Json)
}

async fn give(state: Shared, caller: Whose, body: Body<Notice>) -> Answer<Given> {
    let Json(notice) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.notify(&notice).map(Json)
}

async fn send(state: Shared, caller: Whose, body: Body<MoveOrder>) -> Answer<Moved> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.send(order).map(Json)
}

async fn scale(state: Shared, caller: Whose, body: Body<ScaleRequest>) -> Answer<ScaleAnswer> {
    let Json(request) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.scale(request).await.map(Json)
}

async fn reload(state: Shared, caller: Whose) -> Answer<Reloaded> {
    Desk::of(&state, &caller).await.reload().await.map(Json)
}
