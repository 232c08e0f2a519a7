//! `GET /api/v1/events?after=N`: what was done about pools and why, from where a reader stopped.
//!
//! With `wait_s` the answer waits for something to tell, so that a reader can follow without asking all the time. Numbers
//! begin anew with each run of the gate: the header `poolgate-run` says which run an answer is of.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::explain::no_pool;
use super::problem::Problem;
use super::verbs::bad;
use crate::pool::Snapshot;
use crate::telemetry::events::{Event, Events};

/// Names the run whose numbers an answer has.
pub const RUN_HEADER: &str = "poolgate-run";
/// Shorter than what proxies and impatient programs take for a hang.
const WAIT_MAX_S: u64 = 30;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// The number of the last event that is known; 0 for all that are kept.
    after: u64,
    /// For how many seconds to wait where there is none.
    #[param(maximum = 30)]
    wait_s: u64,
    /// Only of this pool.
    #[param(max_length = 63, example = "main")]
    pool: Option<String>,
}

impl Since {
    pub async fn answer(
        &self,
        events: &Events,
        snapshot: &Snapshot,
        ending: &CancellationToken,
    ) -> Result<Vec<Event>, Problem> {
        if self.wait_s > WAIT_MAX_S {
            let wait_s = self.wait_s;
            return Err(bad(format!("wait_s is {wait_s}: write up to {WAIT_MAX_S}")));
        }
        // Else whoever mistypes a name would follow nothing for ever.
        if let Some(pool) = &self.pool
            && snapshot.pool(pool).is_none()
            && !events.after(0).iter().any(|event| event.pool == *pool)
        {
            return Err(no_pool(&format!("there is no pool named {pool:?}")));
        }
        let deadline = Instant::now() + Duration::from_secs(self.wait_s);
        Ok(self.wait(events, ending, deadline).await)
    }

    async fn wait(
        &self,
        events: &Events,
        ending: &CancellationToken,
        deadline: Instant,
    ) -> Vec<Event> {
        let mut newest = events.newest();
        loop {
            // Of a run that is over; there is nothing to wait for.
            let is_ahead = *newest.borrow_and_update() < self.after;
            let found = self.select(events);
            if is_ahead || !found.is_empty() {
                return found;
            }
            tokio::select! {
                biased;
                () = ending.cancelled() => return found,
                () = tokio::time::sleep_until(deadline) => return found,
                changed = newest.changed() => if changed.is_err() { return found },
            }
        }
    }

    fn select(&self, events: &Events) -> Vec<Event> {
        let mut found = events.after(self.after);
        if let Some(pool) = &self.pool {
            found.retain(|event| event.pool == *pool);
        }
        found
    }
}
