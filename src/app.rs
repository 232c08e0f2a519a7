//! The composition root: builds each part once from the config, starts it, and owns how everything stops.
//!
//! Whatever can be wrong with files and addresses is found here, before the first instance is started or a login taken.

mod doors;
mod errands;
mod listings;
mod resize;
mod state_dir;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::tz::TimeZone;
use listings::Listings;
use resize::Controllers;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminState, Readiness};
use crate::config::{Config, FleetConfig, Placement, PoolConfig};
use crate::fleet::{self, Fleet};
use crate::https;
use crate::net::client_tls::ClientTls;
use crate::net::inherited::{Inherited, SocketName};
use crate::net::shutdown::Shutdown;
use crate::pool::{PlacementPolicy, PoolRules, Snapshot};
use crate::probe::{self, HubConfig, IdleProbe, LoadProbe, ProbeConfig, Watched};
use crate::shared_pool::{AskIdle, Audience, SharedPool};
use crate::ssh::front::SshFront;
use crate::state::Lock;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::events::Events;
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
    /// Until the doors have taken theirs.
    inherited: Inherited,
    /// Nobody else may write what outlives the process.
    _lock: Lock,
    pub addresses: Addresses,
}

/// What every other part is given.
#[derive(Clone)]
struct Parts {
    pool: SharedPool,
    audit: AuditLog,
    events: Events,
    metrics: Metrics,
}

/// One pool's source of instances, ready to start.
struct PoolFleet {
    name: String,
    probing: ProbeConfig,
    hubs: Option<HubConfig>,
    load: Option<LoadProbe>,
    /// Whether it may forget machines that exist.
    is_cloud: bool,
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
    /// Builds and starts everything, on sockets that somebody opened for it where there are. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// One line that names the file or address at fault.
    pub fn start(config: Config, inherited: Inherited) -> Result<Self> {
        state_dir::make(&config.state_dir)?;
        let lock = Lock::take(&config.state_dir)?;
        let audit = AuditLog::of_config(&config.audit)?;
        let parts = Parts {
            pool: SharedPool::new(u64::from_ne_bytes(state_dir::random()?)),
            events: Events::new(audit.clone()),
            audit,
            metrics: Metrics::new(),
        };
        let mut app = Self {
            shutdown: Shutdown::default(),
            services: TaskTracker::new(),
            parts,
            ssh: None,
            https: None,
            readiness: None,
            inherited,
            _lock: lock,
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
        let fleets = app.build_fleets(&config)?;
        let ask_idle = ask_idle(app.parts.pool.clone(), &config)?;
        let controllers = Controllers::build(&app, &config, &ask_idle, &fleets);
        app.start_admin(&config, ask_idle, &controllers)?;
        app.start_fleets(fleets);
        controllers.start(&app);
        app.services.spawn(
            app.parts
                .pool
                .clone()
                .publish_changes(app.shutdown.ending.clone()),
        );
        if let Some(door) = ssh {
            app.serve_ssh(door);
        }
        if let Some(door) = https {
            app.serve_https(door)?;
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

    fn start_admin(
        &mut self,
        config: &Config,
        ask_idle: AskIdle,
        controllers: &Controllers,
    ) -> Result<()> {
        let wanted = config.admin.listen.as_slice();
        let tcp = doors::listen(&self.inherited, SocketName::Admin, wanted)?.pop();
        self.addresses.admin = tcp.as_ref().map(TcpListener::local_addr).transpose()?;
        let mut state = AdminState::new(
            self.parts.pool.clone(),
            self.parts.metrics.clone(),
            self.parts.audit.clone(),
        );
        state.events = self.parts.events.clone();
        state.zones = Arc::new(zones(config));
        state.history_file = Some(config.state_dir.join("history.json"));
        state.ask_idle = ask_idle;
        state.ask_scale = controllers.ask_scale();
        state.ask_cost = controllers.ask_cost();
        self.readiness = Some(state.readiness.clone());
        let socket = match &config.admin.socket {
            Some(path) => match self.inherited.take_admin_file()? {
                Some(listener) => Some(admin::inherit_socket(listener)?),
                None => Some(admin::bind_socket(path)?),
            },
            None => None,
        };
        self.inherited.close_rest();
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
                let fleet = fleet::from_config(name, pool, &self.parts.metrics)?;
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
                    load: self.load_probe(pool),
                    is_cloud: matches!(pool.fleet, FleetConfig::Azure(_) | FleetConfig::Command(_)),
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
            load,
            is_cloud,
            fleet,
        } in fleets
        {
            let ending = self.shutdown.ending.clone();
            let listing = fleet::start(fleet, &self.services, ending.clone());
            let pool = self.parts.pool.clone();
            let listings = Listings {
                pool: pool.clone(),
                name: name.clone(),
                is_cloud,
            };
            let listing = listings.follow(listing, &self.services);
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
            if let Some(load) = load {
                let watching = load.watch(listing.clone(), ending.clone());
                self.services.spawn(watching);
            }
            self.services.spawn(probe::watch_pool(
                pool, name, probing, listing, metrics, ending,
            ));
        }
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

/// What the clock shows where a pool's people are.
fn zones(config: &Config) -> BTreeMap<String, TimeZone> {
    let pools = config.pools.iter();
    let zones = pools.map(|(name, pool)| (name.clone(), pool.scaling.time_zone.clone()));
    zones.collect()
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
