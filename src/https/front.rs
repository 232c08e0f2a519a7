//! The front door as one value: built once from validated settings, shared by every connection.
//!
//! Does not listen and does not spawn: whoever accepts calls [`Front::serve_connection`], and [`Front::sweep`] runs beside.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::instance_pool::InstancePool;
use super::pin::PinKey;
use super::presence::Presence;
use super::route::DownList;
use super::tls::{self, TlsError};
use crate::config::HttpsConfig;
use crate::shared_pool::SharedPool;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;

const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);
const REFUSALS_PER_SECOND: u32 = 20;

/// Why the front door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Tls(#[from] TlsError),
}

pub struct Front {
    pub(super) config: HttpsConfig,
    pub(super) pool: SharedPool,
    pub(super) pin_key: PinKey,
    pub(super) presence: Presence,
    pub(super) instances: Arc<InstancePool>,
    pub(super) down: DownList,
    pub(super) audit: AuditLog,
    pub(super) metrics: Metrics,
    /// Bounds the audit lines of refused newcomers.
    pub(super) refusals: Throttle,
    tls: RwLock<Arc<ServerConfig>>,
}

impl Front {
    /// `pin_secret` signs pins: keep it over restarts and share it between the gates of one address, or every browser
    /// is placed anew.
    ///
    /// # Errors
    /// When the certificate or its key cannot be read, or they do not belong together.
    pub fn build(
        config: &HttpsConfig,
        pool: SharedPool,
        pin_secret: &[u8; 32],
        audit: AuditLog,
        metrics: Metrics,
    ) -> Result<Arc<Self>, BuildError> {
        let tls = tls::server_config(config)?;
        Ok(Arc::new(Self {
            config: config.clone(),
            pool,
            pin_key: PinKey::new(pin_secret),
            presence: Presence::new(config.presence, audit.clone(), metrics.clone()),
            instances: Arc::new(InstancePool::new(
                config.connect_timeout,
                config.stall_timeout,
            )),
            down: DownList::default(),
            audit,
            metrics,
            refusals: Throttle::default(),
            tls: RwLock::new(Arc::new(tls)),
        }))
    }

    /// Reads certificate and key again; new connections use them.
    ///
    /// # Errors
    /// As [`Front::build`]; the old pair then stays in use.
    pub fn reload_certificate(&self) -> Result<(), BuildError> {
        let mut tls = tls::server_config(&self.config)?;
        let mut current = self.tls.write().unwrap_or_else(PoisonError::into_inner);
        // Tickets of before stay good, so that a reload costs nobody a full handshake.
        tls.ticketer = current.ticketer.clone();
        *current = Arc::new(tls);
        Ok(())
    }

    /// Ends sessions nobody uses and closes connections to instances nobody needs; runs until `shutdown`.
    pub async fn sweep(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SWEEP_INTERVAL) => {}
            }
            self.presence.sweep(Instant::now());
            self.instances.sweep();
        }
    }

    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        self.tls
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Anybody can be refused as often as they like, so only so many a second are told of; all are counted.
#[derive(Default)]
pub struct Throttle {
    told: Mutex<Option<(Instant, u32)>>,
}

impl Throttle {
    pub fn may_tell(&self, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let current = told.filter(|(since, _)| now.saturating_duration_since(*since) < SECOND);
        let (since, count) = current.unwrap_or((now, 0));
        *told = Some((since, count.saturating_add(1)));
        count < REFUSALS_PER_SECOND
    }
}
