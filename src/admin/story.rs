//! `GET /api/v1/events?after=N`: what was done about pools and why, from where a reader stopped.
//!
//! With `wait_s` the answer waits for something to tell, so that a reader can follow without asking all the time. Numbers
//! begin anew with each run of the gate: the header `poolgate-run` says which run an answer is of.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::telemetry::events::{Event, Events};

/// Names the run whose numbers an answer has.
pub const RUN_HEADER: &str = "poolgate-run";
/// Shorter than what proxies and impatient programs take for a hang.
const WAIT_MAX_S: u64 = 30;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Since {
    after: u64,
    wait_s: u64,
    pool: Option<String>,
}

impl Since {
    pub async fn answer(&self, events: &Events, ending: &CancellationToken) -> Vec<Event> {
        let deadline = Instant::now() + Duration::from_secs(self.wait_s.min(WAIT_MAX_S));
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
