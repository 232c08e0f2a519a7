//! The last look at the fleet, and how old it is by a clock that does not jump.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Controller;
use crate::pool::{InstanceId, Now, Observed, Prospect};

/// What was seen, and what was found out beside it.
#[derive(Default)]
pub(super) struct Seen {
    last: Option<(Arc<Observed>, Instant)>,
    /// Since when the fleet has been said to hold more machines than it lists and was asked for.
    pub excess_since: Option<Instant>,
    /// Whether instances that only their hub says are used are idle, as of when.
    pub idle: BTreeMap<InstanceId, (Instant, bool)>,
}

impl Seen {
    pub fn observed(&self) -> Option<Arc<Observed>> {
        self.last.as_ref().map(|(observed, _)| observed.clone())
    }

    pub fn age(&self, now: Now) -> Duration {
        let at = self.last.as_ref().map(|(_, at)| *at);
        at.map_or(Duration::MAX, |at| {
            now.instant.saturating_duration_since(at)
        })
    }
}

impl Controller {
    pub(super) fn look(&mut self, now: Now) {
        let Some(observed) = self.fleet.observed().borrow().clone() else {
            return;
        };
        let is_new = match &self.seen.last {
            Some((before, _)) => !Arc::ptr_eq(before, &observed),
            None => true,
        };
        if is_new {
            self.seen.last = Some((observed, now.instant));
            self.under_way.looked();
        }
    }

    /// Nothing has been seen of the fleet yet.
    pub(super) fn foretell_blindness(&mut self, now: Now) {
        let blind_for = now.instant.saturating_duration_since(self.begun);
        let trouble = (blind_for > super::ROUND.saturating_mul(20))
            .then(|| "the machines of this pool cannot be seen".into());
        let prospect = Prospect {
            trouble,
            ..Prospect::default()
        };
        self.tools.pool.foretell(&self.config.pool, Some(prospect));
    }
}
