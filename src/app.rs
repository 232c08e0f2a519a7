//! The composition root: builds each part once from the config, starts it, and owns how everything stops.
//!
//! Whatever can be wrong with files and addresses is found here, before the first instance is started or a login taken.

mod acquaintances;
mod doors;
mod drain;
mod errands;
mod handover;
mod listeners;
mod listings;
mod memories;
pub mod named_files;
mod operators;
mod pools;
mod reload;
mod renewals;
mod resize;
mod rotations;
mod state_dir;
pub mod systemd;
mod watch_file;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use doors::{Doors, Tasks};
pub use handover::{SERVING, own_program};
use listeners::Opened;
use operators::OpenSocket;
use pools::{Ground, Pools};
use reload::Inside;
use rotations::Rotations;
use state_dir::Whose;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Access, AdminSide, AdminSocket, AdminState, Readiness, Upgrades};
use crate::config::Config;
use crate::files::FileFaults;
use crate::net::inherited::{Inherited, SocketName};
use crate::net::shutdown::Shutdown;
use crate::pool::Snapshot;
use crate::shared_pool::{Audience, SharedPool};
use crate::state::{Folder, Lock};
use crate::telemetry::audit::AuditLog;
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::telemetry::traces::export::{self, Exporter};
use crate::webhooks::Webhooks;

/// After sessions are told to end, how long their goodbyes may take.
const GOODBYES: Duration = Duration::from_secs(3);

/// A running gate.
pub struct App {
    shutdown: Shutdown,
    /// Everything but connections: fleets, probes, the admin side.
    services: TaskTracker,
    parts: Parts,
    readiness: Readiness,
    /// What a reload changes; whoever holds it is the only one that does.
    inside: Arc<Mutex<Inside>>,
    /// Ends what only one gate of a place does.
    operating: CancellationToken,
    upgrades: Upgrades,
    pub addresses: Addresses,
}

/// What waits for the moment from which on this gate serves.
struct Begun {
    opened: Vec<Opened>,
    /// The operators' socket file.
    socket: Option<AdminSocket>,
}

/// What every other part is given.
#[derive(Clone)]
struct Parts {
    pool: SharedPool,
    audit: AuditLog,
    events: Events,
    metrics: Metrics,
    traces: Traces,
    files: FileFaults,
    state: Folder,
    rotations: Rotations,
}

impl Parts {
    fn begin_traces(&self, config: &Config) -> Result<()> {
        let exporter = config.traces.as_ref().map(Exporter::of).transpose();
        let exporter = exporter.map_err(anyhow::Error::msg)?;
        export::change(&self.traces, exporter, &self.metrics);
        Ok(())
    }
}

/// Where the gate listens: as configured, with port 0 replaced by the port that was found.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub ssh: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    fn of(doors: &Doors) -> Self {
        let of = |role| doors.listeners.addresses(role);
        Self {
            ssh: of(SocketName::Ssh),
            https: of(SocketName::Https),
            admin: of(SocketName::Admin).first().copied(),
        }
    }
}

impl App {
    /// Builds and starts everything, on sockets that somebody opened for it where there are. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// One line that names the file or address at fault.
    pub async fn start(config: Config, inherited: Inherited) -> Result<Self> {
        state_dir::make(&config.state_dir)?;
        let lock = Lock::take(&config.state_dir)?;
        let (app, begun) = Self::build(config, inherited, lock, Whose::Own)?;
        let older = app.meet_older().await?;
        app.serve(begun).await?;
        app.follow(older);
        app.let_take_over();
        Ok(app)
    }

    /// Everything but accepting and controllers is there, and at work.
    fn build(
        config: Config,
        inherited: Inherited,
        lock: Lock,
        folder: Whose,
    ) -> Result<(Self, Begun)> {
        handover::note_program();
        let audit = AuditLog::of_config(&config.audit)?;
        let (events, metrics) = (Events::new(audit.clone()), Metrics::new());
        let parts = Parts {
            pool: SharedPool::new(u64::from_ne_bytes(state_dir::random()?)),
            state: state_dir::told(&config, &events, &metrics, folder),
            files: FileFaults::new(events.clone(), metrics.clone()),
            events,
            audit,
            metrics,
            traces: Traces::default(),
            rotations: Rotations::default(),
        };
        parts.begin_traces(&config)?;
        let (shutdown, services) = (Shutdown::default(), TaskTracker::new());
        let hooks = Webhooks::prepare(&config.webhooks).map_err(anyhow::Error::msg)?;
        // Before anything has a story to tell.
        let mut webhooks = Webhooks::new(parts.events.clone(), parts.metrics.clone());
        webhooks.change(hooks, &services, &shutdown.ending);
        let mut doors = Doors::new(inherited.clone());
        let next = doors.prepare(&config, &parts, &shutdown)?;
        let tasks = Tasks {
            shutdown: &shutdown,
            services: &services,
        };
        let opened = doors.change(next, &parts, &tasks);
        let pools = Pools::new(Ground {
            parts: parts.clone(),
            shutdown: shutdown.clone(),
            services: services.clone(),
            open_shell: errands::open_shell(doors.shell()),
        });
        let first = pools.prepare(&config)?;
        let mut admin = AdminState::new(
            parts.pool.clone(),
            (parts.metrics.clone(), parts.files.clone()),
            parts.audit.clone(),
        );
        let (audit, metrics) = (parts.audit.clone(), parts.metrics.clone());
        let access = Access::open(&config.admin, audit, metrics, parts.files.clone())?;
        admin.access = Arc::new(access);
        admin
            .tls
            .change(admin.tls.prepare(config.admin.tls.as_ref())?);
        admin.events = parts.events.clone();
        admin.zones = pools.zones.clone();
        admin.folder = Some(parts.state.clone());
        admin.ask_idle = pools.ask_idle();
        admin.ask_scale = resize::ask_scale(pools.asked.clone());
        admin.ask_cost = resize::ask_cost(pools.asked.clone());
        let app = Self {
            readiness: admin.readiness.clone(),
            upgrades: admin.upgrades.clone(),
            addresses: Addresses::of(&doors),
            inside: Inside::new(config, doors, pools, admin, lock, webhooks),
            operating: shutdown.ending.child_token(),
            shutdown,
            services,
            parts,
        };
        let begun = app.begin(first, opened, &inherited)?;
        inherited.close_rest();
        Ok((app, begun))
    }

    fn begin(
        &self,
        first: pools::NextPools,
        opened: Vec<Opened>,
        inherited: &Inherited,
    ) -> Result<Begun> {
        let mut inside = self.inside.try_lock()?;
        self.let_reload(&mut inside);
        self.let_upgrade(&mut inside);
        let socket = match &inside.config.admin.socket {
            Some(path) => match inherited.take_admin_file()? {
                Some(listener) => Some(admin::inherit_socket(listener)?),
                None => Some(admin::bind_socket(path)?),
            },
            None => None,
        };
        let operating = self.operating.clone();
        let path = inside.config.admin.socket.clone().unwrap_or_default();
        let opened_at = |socket| OpenSocket::of(path, socket, &operating);
        inside.socket = socket.as_ref().map(opened_at).transpose()?;
        let side = AdminSide::begin(inside.admin.clone(), &self.services, operating);
        inside.side = Some(side);
        inside.pools.begin(first);
        let remembering = memories::take_back(&self.parts.state, self.parts.pool.clone());
        let (flush, asked) = mpsc::channel(1);
        inside.flush = flush;
        self.services
            .spawn(remembering.keep(self.shutdown.clone(), asked));
        let known = acquaintances::take_back(&self.parts.state, self.parts.pool.clone());
        self.services
            .spawn(known.keep(self.shutdown.ending.clone()));
        let publishing = self.parts.pool.clone();
        self.services
            .spawn(publishing.publish_changes(self.shutdown.ending.clone()));
        Ok(Begun { opened, socket })
    }

    /// From here on the place is this gate's.
    async fn serve(&self, begun: Begun) -> Result<()> {
        let mut inside = self.inside.lock().await;
        inside.pools.resume();
        if let (Some(side), Some(open), Some(socket)) = (&inside.side, &inside.socket, begun.socket)
        {
            let serving = side.clone().serve_socket(socket, open.until());
            self.services.spawn(serving);
        }
        let living = systemd::live(self.parts.pool.clone(), self.operating.clone());
        self.services.spawn(living);
        inside.serve(begun.opened, &self.tasks())?;
        self.services.close();
        Ok(())
    }

    fn tasks(&self) -> Tasks<'_> {
        Tasks {
            shutdown: &self.shutdown,
            services: &self.services,
        }
    }

    /// From here on no new logins; returns when every session has ended by itself, or was told that its time is over.
    pub async fn drain(&self) {
        self.shutdown.close();
        self.readiness.set_open(false);
        let limit = {
            let mut inside = self.inside.lock().await;
            // Whoever is kept waiting for nobody would rather know.
            inside.doors.listeners.close_doors();
            inside.config.drain_limit
        };
        if self.shutdown.handed_over.is_cancelled() {
            let why = "a newer gate has taken the place of this one";
            return drain::run(&self.parts.pool, &self.shutdown.connections, limit, why).await;
        }
        let sessions = self.shutdown.connections.len();
        systemd::stopping(sessions);
        tracing::info!(
            sessions,
            "no new logins; the gate ends with the last session"
        );
        let text = "this gate is being stopped: no new logins; your session goes on until you end it or the gate must";
        self.parts.pool.notify(&Audience::Everybody, text);
        let why = "this gate is being stopped";
        drain::run(&self.parts.pool, &self.shutdown.connections, limit, why).await;
    }

    /// Comes back once a newer gate has this one's place.
    pub async fn handed_over(&self) {
        self.shutdown.handed_over.cancelled().await;
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
        // One that never served has not closed them.
        self.services.close();
        self.services.wait().await;
        self.parts.traces.close(GOODBYES).await;
        self.parts.audit.flush(GOODBYES);
    }

    /// Snapshots of the pools, as they change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.parts.pool.subscribe()
    }
}
