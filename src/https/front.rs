//! The front door as one value: built once from validated settings, shared by every connection.
//!
//! Does not listen and does not spawn: whoever accepts calls [`Front::serve_connection`], and [`Front::sweep`] runs beside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::HeaderValue;
use rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::access_log::AccessLog;
use super::acme::{Acme, OrderError};
use super::hosts::Hosts;
use super::instance_pool::InstancePool;
use super::pin::PinKey;
use super::presence::Presence;
use super::route::DownList;
use super::tls::store::Certificates;
use super::tls::{self, TlsError};
use super::waiting::Waiting;
use crate::config::{HttpsConfig, PoolConfig};
use crate::net::client_tls::{self, ClientTls};
use crate::shared_pool::SharedPool;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;

/// How often certificate files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);
const REFUSALS_PER_SECOND: u32 = 20;

/// Why the front door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("https.acme: {0}")]
    Acme(#[from] OrderError),
    #[error(transparent)]
    InstanceTls(#[from] client_tls::TrustError),
    #[error(transparent)]
    AccessLog(#[from] std::io::Error),
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
    pub(super) hosts: Hosts,
    pub(super) waiting: Waiting,
    pub(super) access_log: Option<AccessLog>,
    pub(super) certificates: Arc<Certificates>,
    /// `Strict-Transport-Security`, if it is to be said.
    pub(super) hsts: Option<HeaderValue>,
    acme: Option<Acme>,
    tls: Arc<ServerConfig>,
}

impl Front {
    /// `pin_secret` signs pins: keep it over restarts and share it between the gates of one address, or every browser
    /// is placed anew.
    ///
    /// # Errors
    /// When a certificate or its key cannot be read, or they do not belong together.
    pub fn build(
        config: &HttpsConfig,
        pools: &BTreeMap<String, PoolConfig>,
        pool: SharedPool,
        pin_secret: &[u8; 32],
        audit: AuditLog,
        metrics: Metrics,
    ) -> Result<Arc<Self>, BuildError> {
        let acme = config.acme.as_ref();
        let acme = acme.map(|acme| Acme::open(acme, metrics.clone()));
        let acme = acme.transpose().map_err(OrderError::from)?;
        let issued = acme.as_ref().map(Acme::first_pair).transpose()?;
        let certificates =
            Certificates::read(&config.certificates, issued.map(Arc::new), metrics.clone())?;
        let certificates = Arc::new(certificates);
        let tls = tls::server_config(certificates.clone(), acme.is_some());
        let tls = tls.map_err(TlsError::from)?;
        let hsts = config.hsts.map(|age| format!("max-age={}", age.as_secs()));
        Ok(Arc::new(Self {
            config: config.clone(),
            pin_key: PinKey::new(pin_secret),
            presence: Presence::new(config.presence, audit.clone(), metrics.clone()),
            instances: Arc::new(InstancePool::new(
                config.connect_timeout,
                config.stall_timeout,
                instance_tls(pools)?,
                metrics.clone(),
            )),
            down: DownList::default(),
            audit,
            hosts: Hosts::new(&config.hosts),
            waiting: Waiting::new(pool.clone(), metrics.clone()),
            pool,
            access_log: AccessLog::open(config.access_log.as_ref())?,
            metrics,
            refusals: Throttle::default(),
            certificates,
            hsts: hsts.and_then(|line| HeaderValue::try_from(line).ok()),
            acme,
            tls: Arc::new(tls),
        }))
    }

    /// Reads certificates and keys again; new connections use those that are sound, and the log tells of the others.
    /// Tickets of before stay good, so that this costs nobody a full handshake.
    pub fn reload_certificates(&self) {
        self.certificates.reload();
    }

    /// Takes new certificate files as they come, warns of ends, and asks an authority where one is named; runs until
    /// `shutdown`.
    pub async fn keep_certificates(self: Arc<Self>, shutdown: CancellationToken) {
        let watching = async {
            loop {
                let certificates = self.certificates.clone();
                let look = move || {
                    certificates.reload_changed();
                    certificates.watch_ends(SystemTime::now());
                };
                // Files may be on a share that hangs.
                if let Err(failed) = tokio::task::spawn_blocking(look).await {
                    tracing::error!(%failed, "certificate files are not watched any more");
                    return;
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        let asking = async {
            if let Some(acme) = &self.acme {
                acme.keep(&self.certificates).await;
            }
        };
        let both = async { tokio::join!(watching, asking) };
        shutdown.run_until_cancelled(both).await;
    }

    /// Opens the access log anew, for rotation.
    ///
    /// # Errors
    /// When its file cannot be opened; the old one stays in use.
    pub fn reopen_access_log(&self) -> std::io::Result<()> {
        self.access_log.as_ref().map_or(Ok(()), AccessLog::reopen)
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
            self.pool.lines().sweep(&self.pool.snapshot());
            if let Some(log) = &self.access_log {
                self.metrics.set_access_log_lost(log.lost());
            }
        }
    }

    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }
}

/// How the hubs of each pool are spoken to, where that is with TLS.
fn instance_tls(
    pools: &BTreeMap<String, PoolConfig>,
) -> Result<BTreeMap<String, ClientTls>, client_tls::TrustError> {
    let with_tls = pools.iter().filter_map(|(name, pool)| {
        let trust = pool.instance_tls.as_ref()?;
        Some(ClientTls::new(trust).map(|tls| (name.clone(), tls)))
    });
    with_tls.collect()
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
