//! Refusals as JSON (RFC 9457), so that scripts need not read prose.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

pub(super) const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request was not answered.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: StatusCode,
    /// What is wrong and what to ask for.
    pub detail: String,
}

/// Why a request was refused (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// The status in words.
    #[schema(example = "Not Found")]
    title: &'static str,
    /// The same as the answer's.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// What is wrong, and what to ask for.
    #[schema(
        example = "there is no instance named \"vm9\": there is main/vm1, main/vm2; `poolgate instances` lists them"
    )]
    detail: String,
}

/// What becomes of a request that names an instance, a session, a person or a pool.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum Unfit {
    /// Nothing has that name.
    #[response(status = 404, content_type = "application/problem+json")]
    Unknown(ProblemBody),
    /// Several have that name, or its state forbids what is asked for.
    #[response(status = 409, content_type = "application/problem+json")]
    Unsuitable(ProblemBody),
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self {
            status: rejection.status(),
            detail: rejection.body_text(),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self {
            status: rejection.status(),
            detail: rejection.body_text(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = ProblemBody {
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut response = (self.status, Json(body)).into_response();
        let kind = HeaderValue::from_static(CONTENT_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
