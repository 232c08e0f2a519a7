//! Tells operators when the gate's own host certificates end: as an event, in the log and in the figures, by the rule that holds for
//! certificates of TLS.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::files::Look;
use crate::net::expiry::{Expiry, Lifetime};
use crate::telemetry::events::{EventKind, Events};
use crate::telemetry::metrics::Metrics;

/// Whose certificates they are, for metrics.
const DOOR: &str = "ssh";

pub(super) struct Ends {
    lifetimes: Vec<Lifetime>,
    /// What was told outlives the certificates of one configuration.
    told: Arc<Mutex<Expiry>>,
    events: Events,
}

impl Ends {
    pub fn new(lifetimes: &[Lifetime], events: &Events, before: Option<&Self>) -> Arc<Self> {
        let told = before.map(|before| before.told.clone());
        Arc::new(Self {
            lifetimes: lifetimes.to_vec(),
            told: told.unwrap_or_default(),
            events: events.clone(),
        })
    }

    /// Counts these from here on.
    pub fn count(&self, metrics: &Metrics) {
        let ends = self
            .lifetimes
            .iter()
            .map(|one| (one.name.as_str(), one.end));
        metrics.set_certificate_ends(DOOR, ends);
    }
}

impl Look for Ends {
    fn look(&self) {
        let told = self.told.lock();
        let mut told = told.unwrap_or_else(PoisonError::into_inner);
        for text in told.look(&self.lifetimes, SystemTime::now()) {
            self.events
                .tell("", None, EventKind::CertificateExpiry, text);
        }
    }
}
