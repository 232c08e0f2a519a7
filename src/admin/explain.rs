//! `GET /api/v1/explain/*`: why things are as they are, with the facts and in sentences.
//!
//! `user?user=NAME&pool=NAME` has where somebody is and where their next login goes, `health?instance=NAME` what the probes of an
//! instance (or of all) saw, `scaling?pool=NAME` what the controller of a pool (or of each) is about. The judgement is the pool's
//! own; here it is only put into sentences by the clock of the pool's people.

use std::time::SystemTime;

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{AdminState, named};
use crate::pool::LoginName;
use crate::pool::PoolView;
use crate::pool::explain::PersonView;
use crate::pool::explain::health::InstanceHealth;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedUser {
    /// Whose next login it is.
    #[param(value_type = super::orders::LoginName, example = "alice")]
    pub user: String,
    /// The default pool where none is named.
    #[param(max_length = 63, example = "main")]
    pub pool: Option<String>,
}

/// The facts, and what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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
        let person = explained.map_err(|refusal| no_pool(&refusal))?;
        let text = person.sentences(SystemTime::now(), &zone(state, &person.pool));
        Ok(UserStory { person, text })
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedHealth {
    /// As `NAME` or `POOL/NAME`; without it all are told of.
    #[param(max_length = 127, example = "main/vm1")]
    pub instance: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthStory {
    #[serde(flatten)]
    pub health: InstanceHealth,
    /// Sentences, the most important first.
    pub text: Vec<String>,
}

impl AskedHealth {
    pub fn answer(&self, state: &AdminState) -> Result<Vec<HealthStory>, Problem> {
        let only = match &self.instance {
            Some(asked) => Some(named::find(asked, &state.pool.snapshot().instances)?),
            None => None,
        };
        let now = SystemTime::now();
        let stories = state.pool.explain_health(only.as_ref()).into_iter();
        let stories = stories.map(|health| HealthStory {
            text: health.sentences(now, &zone(state, &health.pool)),
            health,
        });
        Ok(stories.collect())
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AskedScaling {
    /// Without it all are told of.
    #[param(max_length = 63, example = "main")]
    pool: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScalingStory {
    #[serde(flatten)]
    pub pool: PoolView,
    /// Sentences, the most important first.
    pub text: Vec<String>,
}

impl AskedScaling {
    pub fn answer(&self, state: &AdminState) -> Result<Vec<ScalingStory>, Problem> {
        let snapshot = state.pool.snapshot();
        let is_asked =
            |view: &&PoolView| self.pool.as_deref().is_none_or(|pool| *view.name == *pool);
        let now = SystemTime::now();
        let stories = snapshot.pools.iter().filter(is_asked);
        let stories = stories.map(|pool| ScalingStory {
            text: pool.scaling_sentences(now, &zone(state, &pool.name)),
            pool: pool.clone(),
        });
        let stories: Vec<_> = stories.collect();
        match &self.pool {
            Some(pool) if stories.is_empty() => {
                Err(no_pool(&format!("there is no pool named {pool:?}")))
            }
            _ => Ok(stories),
        }
    }
}

pub(super) fn no_pool(refusal: &impl std::fmt::Display) -> Problem {
    Problem {
        status: StatusCode::NOT_FOUND,
        detail: format!("{refusal}: `poolgate status` lists the pools"),
    }
}

/// Whose clock the times of a pool's people are.
fn zone(state: &AdminState, pool: &str) -> TimeZone {
    let zone = state.zones.get().get(pool).cloned();
    zone.unwrap_or(TimeZone::UTC)
}

pub(super) fn login_name(user: &str) -> Result<LoginName, Problem> {
    user.parse().map_err(|fault| Problem {
        status: StatusCode::BAD_REQUEST,
        detail: format!("user: {fault}"),
    })
}
