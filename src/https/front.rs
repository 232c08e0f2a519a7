//! The front door as one value: built from validated settings, shared by every connection. It never changes: when the config
//! does, another takes its place, for requests as for connections, with the memory of the old one (who is there, tickets).
//!
//! Does not listen and does not spawn: whoever accepts calls [`Front::serve_connection`], and [`sweep`] runs beside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio_util::sync::CancellationToken;

use super::access_log::AccessLog;
use super::acme::{Acme, OrderError};
use super::hosts::Hosts;
use super::instance_pool::InstancePool;
use super::pin::PinKey;
use super::presence::Presence;
use super::route::DownList;
use super::waiting::Waiting;
use crate::config::{HttpsConfig, PoolConfig};
use crate::files::FileFaults;
use crate::net::client_tls::{self, ClientTls};
use crate::net::current::Current;
use crate::net::server_tls::store::{self, Certificates};
use crate::net::server_tls::{self, TlsError, watch};
use crate::shared_pool::SharedPool;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// Whose certificates they are, for metrics.
const DOOR: &str = "https";
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
    #[error("pools.{pool}.jupyter.tls: {source}")]
    InstanceTls {
        pool: String,
        source: client_tls::TrustError,
    },
    #[error(transparent)]
    AccessLog(#[from] std::io::Error),
}

pub struct Front {
    pub(super) config: HttpsConfig,
    pub(super) pool: SharedPool,
    pub(super) pin_key: PinKey,
    pub(super) presence: Arc<Presence>,
    pub(super) instances: Arc<InstancePool>,
    pub(super) down: Arc<DownList>,
    pub(super) audit: AuditLog,
    pub(super) metrics: Metrics,
    pub(super) traces: Traces,
    files: FileFaults,
    /// Bounds the audit lines of refused newcomers.
    pub(super) refusals: Arc<Throttle>,
    pub(super) hosts: Hosts,
    pub(super) waiting: Waiting,
    pub(super) access_log: Option<AccessLog>,
    pub(super) certificates: Arc<Certificates>,
    /// `Strict-Transport-Security`, if it is to be said.
    pub(super) hsts: Option<HeaderValue>,
    acme: Option<Arc<Acme>>,
    tls: Arc<ServerConfig>,
}

/// Which files a front is built of anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reread {
    All,
    /// Those by which instances prove themselves; certificates are followed by themselves.
    OfInstances,
}

/// A front that is to take the place of another, or to be dropped.
pub struct Renewed {
    front: Arc<Front>,
    /// Where the certificates are those of before and were read again.
    reread: Option<store::Reread>,
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
        (metrics, traces, files): (Metrics, Traces, FileFaults),
    ) -> Result<Arc<Self>, BuildError> {
        let identity = Identity::read(config, &metrics, &files)?;
        let protocols = server_tls::browsers_protocols(identity.acme.is_some());
        let tls = server_tls::server_config(identity.certificates.clone(), protocols);
        let tls = tls.map_err(TlsError::from)?;
        let instances = InstancePool::new(
            config.connect_timeout,
            config.stall_timeout,
            instance_tls(pools)?,
            metrics.clone(),
        );
        Ok(Arc::new(Self {
            config: config.clone(),
            pin_key: PinKey::new(pin_secret),
            presence: Arc::new(Presence::new(
                config.presence,
                audit.clone(),
                metrics.clone(),
            )),
            instances: Arc::new(instances),
            down: Arc::default(),
            audit,
            hosts: Hosts::new(&config.hosts),
            waiting: Waiting::new(pool.clone(), metrics.clone()),
            pool,
            access_log: AccessLog::open(config.access_log.as_ref())?,
            metrics,
            traces,
            files,
            refusals: Arc::default(),
            certificates: identity.certificates,
            hsts: hsts(config),
            acme: identity.acme,
            tls: Arc::new(tls),
        }))
    }

    /// The front for another config, which reads these files anew. This one goes on as it is and shares its memory with the
    /// new one. Certificates that are named as before stay where an authority's challenges find them.
    ///
    /// # Errors
    /// As `build`.
    pub fn renew(
        &self,
        config: &HttpsConfig,
        pools: &BTreeMap<String, PoolConfig>,
        reread: Reread,
    ) -> Result<Renewed, BuildError> {
        let names = |config: &HttpsConfig| (config.certificates.clone(), config.acme.clone());
        let (identity, reread) = match names(config) == names(&self.config) {
            true => {
                let (certificates, acme) = (self.certificates.clone(), self.acme.clone());
                let reread = match reread {
                    Reread::All => Some(certificates.read_again()?),
                    Reread::OfInstances => None,
                };
                (Identity { certificates, acme }, reread)
            }
            false => (Identity::read(config, &self.metrics, &self.files)?, None),
        };
        let protocols = server_tls::browsers_protocols(identity.acme.is_some());
        let certificates = identity.certificates.clone();
        let tls = server_tls::renewed_config(&self.tls, certificates, protocols);
        let (times, trust) = (
            (config.connect_timeout, config.stall_timeout),
            instance_tls(pools)?,
        );
        let log = self
            .access_log
            .as_ref()
            .zip(self.config.access_log.as_ref());
        let front = Arc::new(Self {
            config: config.clone(),
            pin_key: self.pin_key.clone(),
            presence: self.presence.clone(),
            instances: match self.instances.fits(times, &trust) {
                true => self.instances.clone(),
                false => {
                    let metrics = self.metrics.clone();
                    Arc::new(InstancePool::new(times.0, times.1, trust, metrics))
                }
            },
            down: self.down.clone(),
            audit: self.audit.clone(),
            hosts: Hosts::new(&config.hosts),
            waiting: self.waiting.clone(),
            pool: self.pool.clone(),
            access_log: AccessLog::renew(config.access_log.as_ref(), log)?,
            metrics: self.metrics.clone(),
            traces: self.traces.clone(),
            files: self.files.clone(),
            refusals: self.refusals.clone(),
            certificates: identity.certificates,
            hsts: hsts(config),
            acme: identity.acme,
            tls: Arc::new(tls),
        });
        Ok(Renewed { front, reread })
    }

    /// How many threads are to serve browsers; `None` is one for each core.
    pub fn threads(&self) -> Option<usize> {
        self.config.threads
    }

    /// Every certificate that browsers are shown.
    pub fn certificates_in_use(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.in_use()
    }

    /// Whether whoever keeps this one's certificates keeps the other's too.
    pub fn has_certificates_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.certificates, &other.certificates)
    }

    /// Takes new certificate files as they come, warns of ends, and asks an authority where one is named; runs until
    /// `shutdown`.
    pub async fn keep_certificates(self: Arc<Self>, events: Events, shutdown: CancellationToken) {
        let watching = watch::follow(|| Some(self.certificates.clone()), &events);
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

    pub(super) fn tls(&self) -> Arc<ServerConfig> {
        self.tls.clone()
    }
}

impl Renewed {
    /// To be called when requests begin to come to this front: what it shares with the one before follows its settings.
    pub fn take_over(self) -> Arc<Front> {
        let Self { front, reread } = self;
        front.presence.set_limit(front.config.presence);
        match reread {
            Some(reread) => front.certificates.take(reread),
            None => front.certificates.show_again(),
        }
        front
    }
}

/// Ends sessions nobody uses and closes connections to instances nobody needs; runs until `shutdown`.
pub async fn sweep(current: Arc<Current<Front>>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        let front = current.get();
        front.presence.sweep(Instant::now());
        front.instances.sweep();
        front.pool.lines().sweep(&front.pool.snapshot());
        if let Some(log) = &front.access_log {
            front.metrics.set_access_log_lost(log.lost());
        }
    }
}

/// The certificates of a door, and who asks an authority for one.
struct Identity {
    certificates: Arc<Certificates>,
    acme: Option<Arc<Acme>>,
}

impl Identity {
    fn read(
        config: &HttpsConfig,
        metrics: &Metrics,
        files: &FileFaults,
    ) -> Result<Self, BuildError> {
        let acme = config.acme.as_ref();
        let acme = acme.map(|acme| Acme::open(acme, metrics.clone()));
        let acme = acme.transpose().map_err(OrderError::from)?.map(Arc::new);
        let issued = acme.as_ref().map(|acme| acme.first_pair()).transpose()?;
        let issued = issued.map(Arc::new);
        let told = (metrics.clone(), files.clone());
        let certificates = Certificates::read(DOOR, &config.certificates, issued, told)?;
        Ok(Self {
            certificates: Arc::new(certificates),
            acme,
        })
    }
}

/// `Strict-Transport-Security`, if it is to be said.
fn hsts(config: &HttpsConfig) -> Option<HeaderValue> {
    let age = config.hsts?.as_secs();
    HeaderValue::try_from(format!("max-age={age}")).ok()
}

/// How the hubs of each pool are spoken to, where that is with TLS.
fn instance_tls(
    pools: &BTreeMap<String, PoolConfig>,
) -> Result<BTreeMap<String, ClientTls>, BuildError> {
    let with_tls = pools.iter().filter_map(|(name, pool)| {
        let trust = pool.instance_tls.as_ref()?;
        let tls = ClientTls::new(trust).map_err(|source| BuildError::InstanceTls {
            pool: name.clone(),
            source,
        });
        Some(tls.map(|tls| (name.clone(), tls)))
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
