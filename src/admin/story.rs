//! `GET /api/v1/events?after=N`: what was done about pools and why, from where a reader stopped; of one pool, instance or person,
//! of some kinds (`kind=drain,evict`), or from a time on (`since`, RFC 3339), if they are named.
//!
//! With `wait_s` the answer waits for something to tell, so that a reader can follow without asking all the time. Numbers
//! begin anew with each run of the gate: the header `poolgate-run` says which run an answer is of.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::IntoDeserializer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::explain::no_pool;
use super::problem::Problem;
use super::verbs::bad;
use crate::pool::Snapshot;
use crate::pool::login_name::{NAME_MAX, check_user};
use crate::pool::rfc3339;
use crate::telemetry::events::{Event, EventKind, Events};

/// Names the run whose numbers an answer has.
pub const RUN_HEADER: &str = "poolgate-run";
/// Shorter than what proxies and impatient programs take for a hang.
const WAIT_MAX_S: u64 = 30;
/// What programs in most languages can count to.
const AFTER_MAX: u64 = i64::MAX as u64;
/// `POOL/NAME`.
const INSTANCE_BYTES_MAX: usize = 2 * NAME_MAX + 1;

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
    /// Only of this instance, as `NAME` or `POOL/NAME`.
    #[param(max_length = 127, example = "main/vm1")]
    instance: Option<String>,
    /// Only of this person.
    #[param(pattern = r"^[A-Za-z0-9_][A-Za-z0-9._@-]{0,63}$", example = "alice")]
    user: Option<String>,
    /// Only of these kinds, separated by commas.
    #[param(value_type = Option<String>, example = "drain,evict")]
    kind: Option<Kinds>,
    /// Only from then on.
    #[param(value_type = Option<String>, format = DateTime)]
    #[serde(with = "rfc3339::option")]
    since: Option<SystemTime>,
}

/// Separated by commas.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Kinds(Vec<EventKind>);

impl TryFrom<String> for Kinds {
    type Error = serde::de::value::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let words = text.split(',').map(str::trim);
        let kinds = words.map(|word| EventKind::deserialize(word.into_deserializer()));
        kinds.collect::<Result<_, _>>().map(Self)
    }
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
        if self.after > AFTER_MAX {
            let after = self.after;
            return Err(bad(format!("after is {after}: write up to {AFTER_MAX}")));
        }
        if let Some(user) = &self.user {
            check_user(user).map_err(|fault| bad(format!("user: {fault}")))?;
        }
        let instance = self.instance.as_deref().unwrap_or_default();
        if instance.len() > INSTANCE_BYTES_MAX {
            return Err(bad(format!(
                "instance is longer than {INSTANCE_BYTES_MAX} bytes: write NAME or POOL/NAME"
            )));
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
        found.retain(|event| self.is_asked(event));
        found
    }

    fn is_asked(&self, event: &Event) -> bool {
        let is_kind = |kinds: &Kinds| kinds.0.contains(&event.kind);
        // As `NAME` or as `POOL/NAME`.
        let is_instance = |asked: &String| {
            let name = event.instance.as_deref().unwrap_or_default();
            match asked.split_once('/') {
                Some((pool, asked)) => asked == name && pool == event.pool,
                None => asked == name,
            }
        };
        self.pool.as_ref().is_none_or(|pool| event.pool == *pool)
            && self.instance.as_ref().is_none_or(is_instance)
            && (self.user.is_none() || event.user == self.user)
            && self.kind.as_ref().is_none_or(is_kind)
            && self.since.is_none_or(|since| event.time >= since)
    }
}
