//! `GET /api/v1/explain/user?user=NAME&pool=NAME`: where somebody is and where their next login goes, with the reasons.
//!
//! The judgement is the pool's own; here it is only put into sentences by the clock of the pool's people.

use std::time::SystemTime;

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::AdminState;
use super::problem::Problem;
use crate::pool::LoginName;
use crate::pool::explain::PersonView;

#[derive(Debug, Deserialize)]
pub(super) struct AskedUser {
    user: String,
    pool: Option<String>,
}

/// The facts, and what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserStory {
    #[serde(flatten)]
    pub person: PersonView,
    /// Sentences, the most important first.
    pub text: Vec<String>,
}

impl AskedUser {
    pub fn answer(&self, state: &AdminState) -> Result<UserStory, Problem> {
        let name = login_name(&self.user)?;
        let pool = self.pool.as_deref().or(name.pool.as_deref());
        let explained = state.pool.explain(&name.user, pool);
        let person = explained.map_err(|refusal| Problem {
            status: StatusCode::NOT_FOUND,
            detail: format!("{refusal}: `poolgate status` lists the pools"),
        })?;
        let zone = state.zones.get().get(&*person.pool).cloned();
        let zone = zone.unwrap_or(TimeZone::UTC);
        let text = person.sentences(SystemTime::now(), &zone);
        Ok(UserStory { person, text })
    }
}

pub(super) fn login_name(user: &str) -> Result<LoginName, Problem> {
    user.parse().map_err(|fault| Problem {
        status: StatusCode::BAD_REQUEST,
        detail: format!("user: {fault}"),
    })
}
