//! What is answered on the socket alone, which is its owner's: whatever changes something. Over TCP any account of this
//! machine could give orders.

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, Uri};
use axum::routing::post;
use axum::{Extension, Json, Router};

use super::caller::Caller;
use super::problem::Problem;
use super::scale::{ScaleAnswer, ScaleRequest};
use super::{AdminState, notices};

/// A reason and a name; a notice is longer than that, and still far below.
const BODY_BYTES_MAX: usize = 16 * 1024;

pub(super) fn router(state: AdminState) -> Router {
    Router::new()
        .route("/api/v1/notices", post(notices::give))
        .route("/api/v1/scale", post(scale))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

pub(super) type Body<T> = Result<Json<T>, JsonRejection>;

async fn scale(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    body: Body<ScaleRequest>,
) -> Result<Json<ScaleAnswer>, Problem> {
    let Json(request) = body?;
    let by = caller.name().await;
    let snapshot = state.pool.snapshot();
    let answer = request.answer(by, &snapshot, &state.ask_scale);
    answer.await.map(Json)
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem {
        status: StatusCode::METHOD_NOT_ALLOWED,
        detail: format!("{} takes no {method}: use POST", uri.path()),
    }
}
