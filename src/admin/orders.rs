//! Whatever changes something, as the API takes it: for the command line over the socket, and for scripts with a token.

mod bodies;
pub(super) mod whole;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::{Extension, Json, Router};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::caller::Caller;
use super::moves::{MoveOrder, Moved};
use super::problem::{Problem, ProblemBody, Unfit};
use super::reload::Reloaded;
use super::scale::{ScaleAnswer, ScaleRequest};
use super::upgrade::{UpgradeOrder, UpgradeView};
use super::verbs::Desk;
use super::{AdminState, Given, Notice};
pub use bodies::{CordonOrder, Done, DrainOrder, EvictOrder, KeepOrder, UncordonOrder};
pub(super) use bodies::{DEADLINE_MAX_S, InstanceName, LoginName, PersonName, REASON_MAX, Reason};

pub(super) fn router(state: AdminState) -> Router {
    described().split_for_parts().0.with_state(state)
}

/// The routes and what the API's description says of them.
pub(super) fn described() -> OpenApiRouter<AdminState> {
    OpenApiRouter::new()
        .routes(routes!(cordon))
        .routes(routes!(uncordon))
        .routes(routes!(drain))
        .routes(routes!(evict))
        .routes(routes!(keep))
        .routes(routes!(send))
        .routes(routes!(give))
        .routes(routes!(scale))
        .routes(routes!(reload))
        .routes(routes!(upgrade))
}

type Body<T> = Result<Json<T>, JsonRejection>;

type Shared = State<AdminState>;
type Whose = Extension<Caller>;
type Answer<T> = Result<Json<T>, Problem>;

/// Send nobody new to an instance; sessions go on.
#[utoipa::path(post, path = "/api/v1/cordon", tag = "orders", request_body = CordonOrder,
    responses((status = 200, body = Done), Unfit))]
async fn cordon(state: Shared, caller: Whose, body: Body<CordonOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.cordon(order).await.map(Json)
}

/// Send people to an instance again, whoever had decided otherwise.
#[utoipa::path(post, path = "/api/v1/uncordon", tag = "orders", request_body = UncordonOrder,
    responses((status = 200, body = Done), Unfit))]
async fn uncordon(state: Shared, caller: Whose, body: Body<UncordonOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.uncordon(order).await.map(Json)
}

/// Empty an instance: send nobody new, tell its people, and end what is left at the deadline if one is given.
#[utoipa::path(post, path = "/api/v1/drain", tag = "orders", request_body = DrainOrder,
    responses((status = 200, body = Done), Unfit))]
async fn drain(state: Shared, caller: Whose, body: Body<DrainOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.drain(order).await.map(Json)
}

/// End a session; its person is told why.
#[utoipa::path(post, path = "/api/v1/evict", tag = "orders", request_body = EvictOrder,
    responses((status = 200, body = Done), Unfit))]
async fn evict(state: Shared, caller: Whose, body: Body<EvictOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.evict(order).await.map(Json)
}

/// Have the policy leave an instance alone for a while.
#[utoipa::path(post, path = "/api/v1/keep", tag = "orders", request_body = KeepOrder,
    responses((status = 200, body = Done), Unfit))]
async fn keep(state: Shared, caller: Whose, body: Body<KeepOrder>) -> Answer<Done> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.keep(order).await.map(Json)
}

/// Show a line in people's terminals and browsers.
#[utoipa::path(post, path = "/api/v1/notices", operation_id = "notify", tag = "orders", request_body = Notice,
    responses((status = 200, body = Given), Unfit))]
async fn give(state: Shared, caller: Whose, body: Body<Notice>) -> Answer<Given> {
    let Json(notice) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.notify(&notice).map(Json)
}

/// Send a person's next login, and the next page they go to, to an instance.
#[utoipa::path(post, path = "/api/v1/move", operation_id = "move", tag = "orders", request_body = MoveOrder,
    responses((status = 200, body = Moved), Unfit))]
async fn send(state: Shared, caller: Whose, body: Body<MoveOrder>) -> Answer<Moved> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.send(order).map(Json)
}

/// Have a pool at least so many machines for a while.
#[utoipa::path(post, path = "/api/v1/scale", tag = "orders", request_body = ScaleRequest,
    responses((status = 200, body = ScaleAnswer), Unfit))]
async fn scale(state: Shared, caller: Whose, body: Body<ScaleRequest>) -> Answer<ScaleAnswer> {
    let Json(request) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.scale(request).await.map(Json)
}

/// Read the configuration again; a faulty one changes nothing.
#[utoipa::path(post, path = "/api/v1/reload", tag = "orders", responses(
    (status = 200, body = Reloaded),
    (status = 422, description = "The configuration has faults: each is a line of `detail`, and nothing is changed.",
     body = ProblemBody, content_type = "application/problem+json"),
))]
async fn reload(state: Shared, caller: Whose) -> Answer<Reloaded> {
    Desk::of(&state, &caller).await.reload().await.map(Json)
}

/// Have the program that is installed by now take the gate's place. It is answered at once; `GET` tells how it ends.
#[utoipa::path(post, path = "/api/v1/upgrade", tag = "orders", request_body = UpgradeOrder,
    responses((status = 200, body = UpgradeView), Unfit))]
async fn upgrade(state: Shared, caller: Whose, body: Body<UpgradeOrder>) -> Answer<UpgradeView> {
    let Json(order) = body?;
    let desk = Desk::of(&state, &caller).await;
    desk.upgrade(order).map(Json)
}
