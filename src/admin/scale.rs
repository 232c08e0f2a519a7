//! `POST /api/v1/scale`: an operator wants a pool to have at least so many machines for a while, and no more than it needs.
//!
//! What that means step by step is for the controller to say; here it is asked, on the socket only, which is its owner's alone.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::orders::whole;
use super::problem::Problem;
use crate::pool::Snapshot;

/// Long enough for a class, short enough that a wish nobody remembers costs little.
pub const HOLD_S: u64 = 3600;
const HOLD_MAX_S: u64 = 31 * 24 * 3600;
const HOLD_MIN_S: u64 = 60;
/// What `[pools.NAME.scaling]` takes.
const MACHINES_MAX: u32 = 10_000;

/// At least so many machines for the time of `hold`; those above are drained where nobody needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleWish {
    pub pool: String,
    pub machines: u32,
    pub hold: Duration,
    /// Only tell what would be done.
    pub is_dry_run: bool,
    /// Whose wish it is, as events name them.
    pub by: String,
}

/// In words: what is done now, and what else is good to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScaleAnswer {
    pub steps: Vec<String>,
    pub notes: Vec<String>,
}

/// Fulfils a wish, or says why not.
pub type AskScale = Arc<
    dyn Fn(ScaleWish) -> Pin<Box<dyn Future<Output = Result<ScaleAnswer, String>> + Send>>
        + Send
        + Sync,
>;

/// Where no pool is resized.
pub(super) fn none_resized() -> AskScale {
    Arc::new(|wish| {
        let pool = wish.pool;
        let detail = format!(
            "pool {pool} is not resized: write [pools.{pool}.scaling] and a fleet other than static"
        );
        Box::pin(std::future::ready(Err(detail)))
    })
}

/// The body of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "pool": "main", "machines": 3, "hold_s": 7200 })))]
pub struct ScaleRequest {
    #[schema(max_length = 63)]
    pub pool: String,
    #[serde(deserialize_with = "whole::number")]
    #[schema(maximum = 10000)]
    pub machines: u32,
    /// For how many seconds from now.
    #[serde(default = "default_hold_s", deserialize_with = "whole::number")]
    #[schema(minimum = 60, maximum = 2678400)]
    pub hold_s: u64,
    #[serde(default)]
    pub is_dry_run: bool,
}

fn default_hold_s() -> u64 {
    HOLD_S
}

impl ScaleRequest {
    pub(super) async fn answer(
        self,
        by: String,
        snapshot: &Snapshot,
        ask: &AskScale,
    ) -> Result<ScaleAnswer, Problem> {
        let problem = |status, detail| Err(Problem { status, detail });
        if snapshot.pool(&self.pool).is_none() {
            let pools: Vec<&str> = snapshot.pools.iter().map(|pool| &*pool.name).collect();
            let pools = pools.join(", ");
            let detail = format!("there is no pool named {:?}: there is {pools}", self.pool);
            return problem(StatusCode::NOT_FOUND, detail);
        }
        if self.machines > MACHINES_MAX {
            let detail = format!(
                "{} machines are too many: write up to {MACHINES_MAX}",
                self.machines
            );
            return problem(StatusCode::BAD_REQUEST, detail);
        }
        if !(HOLD_MIN_S..=HOLD_MAX_S).contains(&self.hold_s) {
            let detail = format!(
                "hold_s is {}: write 60 (a minute) to {HOLD_MAX_S} (31 days)",
                self.hold_s
            );
            return problem(StatusCode::BAD_REQUEST, detail);
        }
        let wish = ScaleWish {
            pool: self.pool,
            machines: self.machines,
            hold: Duration::from_secs(self.hold_s),
            is_dry_run: self.is_dry_run,
            by,
        };
        match ask(wish).await {
            Ok(answer) => Ok(answer),
            Err(detail) => problem(StatusCode::CONFLICT, detail),
        }
    }
}
