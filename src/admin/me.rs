//! `GET /api/v1/me`: who asks, as the gate sees it, and what they may do. So a program offers no order that would be refused.

use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::Role;
use super::caller::Caller;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// As the audit log names them.
    pub name: String,
    pub role: Role,
    /// `socket`, `bearer` or `session`.
    pub via: String,
}

impl Me {
    /// Whether orders about instances and sessions are taken from them.
    pub fn may_act(&self) -> bool {
        self.role >= Role::Operator
    }
}

/// Who asks, as the gate sees it, and what they may do.
#[utoipa::path(get, path = "/api/v1/me", tag = "looks", responses((status = 200, body = Me)))]
pub(super) async fn me(Extension(caller): Extension<Caller>) -> Json<Me> {
    Json(Me {
        name: caller.name().await,
        role: caller.role,
        via: caller.via.name().to_owned(),
    })
}
