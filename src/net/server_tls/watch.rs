//! Follows certificate files for as long as it is awaited: new ones are taken as they come, and operators hear of ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::store::Certificates;
use crate::telemetry::events::{EventKind, Events};

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// `current` says which certificates are in use at that moment. Never returns, unless looking itself fails.
pub async fn follow(current: impl Fn() -> Option<Arc<Certificates>>, events: &Events) {
    loop {
        if let Some(certificates) = current() {
            let look = move || {
                certificates.reload_changed();
                certificates.watch_ends(SystemTime::now())
            };
            // Files may be on a share that hangs.
            match tokio::task::spawn_blocking(look).await {
                Ok(ends) => ends.into_iter().for_each(|text| {
                    events.tell("", None, EventKind::CertificateExpiry, text);
                }),
                Err(failed) => {
                    tracing::error!(error = %failed, "certificate files are not watched any more");
                    return;
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
