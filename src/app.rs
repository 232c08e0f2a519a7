//! The composition root: builds each part once from the config, starts it, and owns how everything stops.
//!
//! Whatever can be wrong with files and addresses is found here, before the first instance is started or a login taken.

mod state_dir;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminState, AskIdle, Readiness};
use crate::config::{Config, HttpsConfig, Placement, PoolConfig, SshConfig};
use crate::fleet::{self, Fleet};
use crate::https;
use crate::net::accept::{self, Bounds, Limits};
use crate::net::bind;
use crate::net::client_tls::ClientTls;
use crate::net::shutdown::Shutdown;
use crate::pool::{Instance, PlacementPolicy, PoolRules, Protocol, Snapshot};
use crate::probe::{self, HubConfig, IdleProbe, ProbeConfig, Watched};
use crate::shared_pool::{Audience, SharedPool};
use crate::ssh::front::SshFront;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;

/// After sessions are told to end, how long their goodbyes may take.
const GOODBYES: Duration = Duration::from_secs(3);

/// A running gate.
pub struct App {
    shutdown: Shutdown,
    /// Everything but connections: fleets, probes, the admin side.
    services: TaskTracker,
    parts: Parts,
    ssh: Option<Arc<SshFront>>,
    https: Option<Arc<https::Front>>,
    readiness: Option<Readiness>,
    pub addresses: Addresses,
}

/// What every other part is given.
#[derive(Clone)]
struct Parts {
    pool: SharedPool,
    audit: AuditLog,
    metrics: Metrics,
}

/// One pool's source of instances, ready to start.
struct PoolFleet {
    name: String,
    probing: ProbeConfig,
    hubs: Option<HubConfig>,
    fleet: Box<dyn Fleet>,
}

/// Where the gate listens: as configured, with port 0 replaced by the port that was found.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub ssh: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

impl App {
    /// Builds and starts everything. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// One line that names the file or address at fault.
    pub fn start(config: Config) -> Result<Self> {
        state_dir::make(&config.state_dir)?;
        let parts = Parts {
            pool: SharedPool::new(u64::from_ne_bytes(state_dir::random()?)),
            audit: AuditLog::open(config.audit.file.as_deref())?,
            metrics: Metrics::new(),
        };
        let mut app = Self {
            shutdown: Shutdown::default(),
            services: TaskTracker::new(),
            parts,
            ssh: None,
            https: None,
            readiness: None,
            addresses: Addresses::default(),
        };
        for (name, pool) in &config.pools {
            app.parts.pool.configure(name, rules(pool));
        }
        let ssh = match &config.ssh {
            Some(ssh) => Some(app.build_ssh(ssh, &config)?),
            None => None,
        };
        let https = match &config.https {
            Some(https) => Some(app.build_https(https, &config)?),
            None => None,
        };
        app.start_admin(&config)?;
        let fleets = app.build_fleets(&config)?;
        app.start_fleets(fleets);
        app.services.spawn(
            app.parts
                .pool
                .clone()
                .publish_changes(app.shutdown.ending.clone()),
        );
        if let Some((front, listeners, limits)) = ssh {
            app.serve_ssh(&front, listeners, &limits);
        }
        if let Some((front, listeners, limits)) = https {
            app.serve_https(&front, listeners, &limits);
        }
        app.services.close();
        Ok(app)
    }

    /// From here on no new logins; returns when every session has ended by itself.
    pub async fn drain(&self) {
        self.shutdown.close();
        if let Some(readiness) = &self.readiness {
            readiness.set_open(false);
        }
        let sessions = self.shutdown.connections.len();
        tracing::info!(
            sessions,
            "no new logins; the gate ends with the last session"
        );
        let text = "this gate is being stopped: no new logins; your session goes on until you end it or the gate must";
        self.parts.pool.notify(&Audience::Everybody, text);
        self.shutdown.connections.wait().await;
    }

    /// Ends every session and every part.
    pub async fn stop(self) {
        self.shutdown.end();
        let goodbyes = self.shutdown.connections.wait();
        if tokio::time::timeout(GOODBYES, goodbyes).await.is_err() {
            tracing::warn!(
                sessions = self.shutdown.connections.len(),
                "some sessions did not take their goodbye in time"
            );
        }
        self.services.wait().await;
        self.parts.audit.flush(GOODBYES);
    }

    /// What SIGHUP asks for: files that others replace are opened again. What cannot be is kept as it was.
    pub fn reload_files(&self) {
        if let Err(error) = self.parts.audit.reopen() {
            tracing::error!(%error, "the audit log could not be opened again; the old file is kept");
        }
        if let Some(front) = &self.ssh {
            match front.reload_certificates() {
                Ok(()) => tracing::info!("the host certificates were read again"),
                Err(error) => tracing::error!(%error, "the old host certificates are kept"),
            }
        }
        if let Some(front) = &self.https {
            if let Err(error) = front.reopen_access_log() {
                tracing::error!(%error, "the access log could not be opened again; the old file is kept");
            }
            front.reload_certificates();
        }
    }

    /// Snapshots of the pools, as they change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.parts.pool.subscribe()
    }

    fn build_ssh(
        &mut self,
        ssh: &SshConfig,
        config: &Config,
    ) -> Result<(Arc<SshFront>, Vec<TcpListener>, Arc<Limits>)> {
        let parts = &self.parts;
        let front = SshFront::build(
            ssh,
            &config.pools,
            &config.state_dir,
            parts.pool.clone(),
            parts.audit.clone(),
            parts.metrics.clone(),
            self.shutdown.clone(),
        )?;
        let limits = Limits::new(
            Protocol::Ssh,
            Bounds {
                connections_max: ssh.max_connections,
                startups_max: ssh.max_startups,
                startups_per_source_max: ssh.max_startups_per_source,
                early_drop: ssh.early_drop.map(|drop| (drop.start, drop.rate_percent)),
                proxies: ssh.proxy_protocol_from.clone(),
            },
            parts.metrics.clone(),
        );
        let listeners = listen("ssh.listen", &ssh.listen)?;
        self.addresses.ssh = addresses_of(&listeners)?;
        Ok((front, listeners, limits))
    }

    fn build_https(
        &mut self,
        https: &HttpsConfig,
        config: &Config,
    ) -> Result<(Arc<https::Front>, Vec<TcpListener>, Arc<Limits>)> {
        let parts = &self.parts;
        let pin_key = state_dir::persisted_secret(&config.state_dir.join("pin.key"))?;
        let front = https::Front::build(
            https,
            &config.pools,
            parts.pool.clone(),
            &pin_key,
            parts.audit.clone(),
            parts.metrics.clone(),
        )?;
        let limits = Limits::new(
            Protocol::Jupyter,
            Bounds {
                connections_max: https.max_connections,
                startups_max: https.max_connections,
                startups_per_source_max: https.max_connections_per_source,
                early_drop: None,
                proxies: https.proxy_protocol_from.clone(),
            },
            parts.metrics.clone(),
        );
        let listeners = listen("https.listen", &https.listen)?;
        self.addresses.https = addresses_of(&listeners)?;
        let redirects = listen("https.redirect_listen", &https.redirect.listen)?;
        self.serve_redirects(&front, redirects, &limits);
        Ok((front, listeners, limits))
    }

    fn start_admin(&mut self, config: &Config) -> Result<()> {
        let tcp = match config.admin.listen {
            Some(address) => Some(bind("admin.listen", address)?),
            None => None,
        };
        self.addresses.admin = tcp.as_ref().map(TcpListener::local_addr).transpose()?;
        let mut state = AdminState::new(
            self.parts.pool.clone(),
            self.parts.metrics.clone(),
            self.parts.audit.clone(),
        );
        state.ask_idle = ask_idle(self.parts.pool.clone(), config)?;
        self.readiness = Some(state.readiness.clone());
        let socket = match &config.admin.socket {
            Some(path) => Some(admin::bind_socket(path)?),
            None => None,
        };
        self.services.spawn(admin::serve(
            state,
            tcp,
            socket,
            self.shutdown.ending.clone(),
        ));
        Ok(())
    }

    fn build_fleets(&self, config: &Config) -> Result<Vec<PoolFleet>> {
        let pools = config.pools.iter();
        pools
            .map(|(name, pool)| {
                let fleet = fleet::from_config(name, pool)?;
                let tls = tls_of(pool)?;
                Ok(PoolFleet {
                    name: name.clone(),
                    probing: ProbeConfig {
                        health: pool.health.clone(),
                        says_proxy: pool.client_address.proxy_v2,
                        tls: tls.clone(),
                    },
                    hubs: pool.api_token_file.clone().map(|token_file| HubConfig {
                        token_file,
                        interval: pool.hub_poll_interval,
                        tls,
                    }),
                    fleet,
                })
            })
            .collect()
    }

    fn start_fleets(&self, fleets: Vec<PoolFleet>) {
        for PoolFleet {
            name,
            probing,
            hubs,
            fleet,
        } in fleets
        {
            let ending = self.shutdown.ending.clone();
            let listing = fleet::start(fleet, &self.services, ending.clone());
            let pool = self.parts.pool.clone();
            self.services
                .spawn(follow_listing(pool.clone(), name.clone(), listing.clone()));
            let metrics = self.parts.metrics.clone();
            if let Some(hubs) = hubs {
                self.services.spawn(probe::watch_hubs(
                    pool.clone(),
                    hubs,
                    listing.clone(),
                    metrics.clone(),
                    ending.clone(),
                ));
            }
            self.services.spawn(probe::watch_pool(
                pool, name, probing, listing, metrics, ending,
            ));
        }
    }

    fn serve_ssh(
        &mut self,
        front: &Arc<SshFront>,
        listeners: Vec<TcpListener>,
        limits: &Arc<Limits>,
    ) {
        self.ssh = Some(front.clone());
        for listener in listeners {
            let front = front.clone();
            let accepting = accept::serve(
                listener,
                limits.clone(),
                self.shutdown.clone(),
                move |stream, peer, permit| front.clone().serve(stream, peer, permit),
            );
            self.services.spawn(accepting);
        }
    }

    fn serve_https(
        &mut self,
        front: &Arc<https::Front>,
        listeners: Vec<TcpListener>,
        limits: &Arc<Limits>,
    ) {
        self.https = Some(front.clone());
        let ending = &self.shutdown.ending;
        self.services.spawn(front.clone().sweep(ending.clone()));
        let keeping = front.clone().keep_certificates(ending.clone());
        self.services.spawn(keeping);
        for listener in listeners {
            let (front, shutdown) = (front.clone(), self.shutdown.clone());
            let accepting = accept::serve(
                listener,
                limits.clone(),
                self.shutdown.clone(),
                move |stream, peer, permit| {
                    let (front, shutdown) = (front.clone(), shutdown.clone());
                    async move {
                        // Tunnels outlive the end of accepting; the end of the gate they do not.
                        let serving = front.serve_connection(stream, peer, shutdown.closing);
                        shutdown.ending.run_until_cancelled(serving).await;
                        drop(permit);
                    }
                },
            );
            self.services.spawn(accepting);
        }
    }

    /// Listeners without TLS; their connections count among the door's.
    fn serve_redirects(
        &self,
        front: &Arc<https::Front>,
        listeners: Vec<TcpListener>,
        limits: &Arc<Limits>,
    ) {
        for listener in listeners {
            let (front, shutdown) = (front.clone(), self.shutdown.clone());
            let accepting = accept::serve(
                listener,
                limits.clone(),
                self.shutdown.clone(),
                move |stream, peer, permit| {
                    let (front, closing) = (front.clone(), shutdown.closing.clone());
                    async move {
                        front.serve_redirect(stream, peer, closing).await;
                        drop(permit);
                    }
                },
            );
            self.services.spawn(accepting);
        }
    }
}

/// Hands each listing of a fleet to the pool.
async fn follow_listing(
    pool: SharedPool,
    name: String,
    mut listing: watch::Receiver<Vec<Instance>>,
) {
    while listing.changed().await.is_ok() {
        let instances = listing.borrow_and_update().clone();
        pool.sync_instances(&name, instances);
    }
}

/// How the admin side finds out whether an instance is idle.
fn ask_idle(pool: SharedPool, config: &Config) -> Result<AskIdle> {
    let pools = config.pools.iter();
    let watched = pools.map(|(name, pool)| {
        let watched = Watched {
            token_file: pool.api_token_file.clone(),
            idle_after: pool.scaling.idle,
            tls: tls_of(pool)?,
        };
        Ok((name.clone(), watched))
    });
    let watched = watched.collect::<Result<_>>()?;
    let probe = Arc::new(IdleProbe { pool, watched });
    Ok(Arc::new(move |id| {
        let probe = probe.clone();
        Box::pin(async move { probe.judge(&id).await })
    }))
}

fn tls_of(pool: &PoolConfig) -> Result<Option<ClientTls>> {
    Ok(pool.instance_tls.as_ref().map(ClientTls::new).transpose()?)
}

fn rules(pool: &PoolConfig) -> PoolRules {
    PoolRules {
        default: pool.default,
        placement: match pool.placement {
            Placement::Spread => PlacementPolicy::Spread,
            Placement::Pack => PlacementPolicy::Pack,
            Placement::Auto => PlacementPolicy::Auto,
        },
        affinity: pool.affinity,
        rise: pool.health.rise,
        fall: pool.health.fall,
    }
}

fn listen(key: &str, addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        listeners.push(bind(key, *address)?);
    }
    Ok(listeners)
}

fn bind(key: &str, address: SocketAddr) -> Result<TcpListener> {
    bind::listen(address).with_context(|| {
        format!("{key}: cannot listen on {address}: is another program on that port, and may this user take it?")
    })
}

fn addresses_of(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>> {
    Ok(listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}
