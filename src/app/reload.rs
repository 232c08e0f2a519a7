//! A reload: the whole file is read and judged, all that can fail is built, and only then does anything change. A fault changes
//! nothing and is told everywhere an operator looks: log, story, audit log, status, metrics, and to whoever asked.
//!
//! Sessions are not touched: they keep the front they began with, and what the config no longer names goes when nobody is on it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::doors::{Doors, Tasks};
use super::listeners::Opened;
use super::pools::Pools;
use super::{App, systemd, watch_file};
use crate::admin::{AdminSide, AdminState, AskReload, ConfigState, Reloaded, SocketFile};
use crate::config::diff::Effect;
use crate::config::{self, Config};
use crate::net::current::Current;
use crate::net::inherited::SocketName;
use crate::state::Lock;
use crate::telemetry::events::EventKind;
use crate::telemetry::log;
use crate::telemetry::traces::export::{self, Exporter};
use crate::webhooks::Webhooks;

/// What a reload changes.
pub(super) struct Inside {
    pub config: Config,
    pub doors: Doors,
    pub pools: Pools,
    pub admin: AdminState,
    pub webhooks: Webhooks,
    /// Answers operators, once it does.
    pub side: Option<AdminSide>,
    /// The operators' socket file.
    pub socket: Option<(OwnedFd, SocketFile)>,
    /// Nobody else may write what outlives the process; `None` once another gate may.
    pub lock: Option<Lock>,
    /// Asks for what people are remembered by to be written down.
    pub flush: mpsc::Sender<oneshot::Sender<()>>,
}

impl Inside {
    pub fn new(
        config: Config,
        doors: Doors,
        pools: Pools,
        admin: AdminState,
        lock: Lock,
        webhooks: Webhooks,
    ) -> Arc<Mutex<Self>> {
        let now = SystemTime::now();
        admin.metrics.set_config_loaded(now);
        let state = ConfigState::loaded(&config.written, now);
        admin.config.set(Arc::new(state));
        Arc::new(Mutex::new(Self {
            config,
            doors,
            pools,
            admin,
            webhooks,
            side: None,
            socket: None,
            lock: Some(lock),
            // Nobody is asked before there is somebody to ask.
            flush: mpsc::channel(1).0,
        }))
    }

    /// Serves on these sockets, those of the admin side among them.
    ///
    /// # Errors
    /// When a socket cannot be registered.
    pub fn serve(&self, opened: Vec<Opened>, tasks: &Tasks<'_>) -> Result<()> {
        let (of_admin, of_doors): (Vec<_>, Vec<_>) = opened
            .into_iter()
            .partition(|one| one.role == SocketName::Admin);
        for one in of_admin {
            let listener = TcpListener::from_std(one.socket)?;
            if let Some(side) = self.side.clone() {
                tasks.services.spawn(side.serve_tcp(listener, one.stop));
            }
        }
        self.doors.serve(of_doors, tasks);
        Ok(())
    }

    /// # Errors
    /// Why everything stays as it is.
    async fn reload(&mut self, app: &Shared) -> Result<Reloaded> {
        let file = self.config.written.file.clone();
        if file.as_os_str().is_empty() {
            anyhow::bail!("this gate was started without a file; there is nothing to read again");
        }
        let mut next = config::load(Some(&file))?;
        let mut changes = self.config.written.changes_to(&next.written);
        // What waits for a restart is still another value at the next reload.
        for change in changes
            .iter()
            .filter(|change| change.effect == Effect::Restart)
        {
            match &change.before {
                Some(before) => next.written.keys.insert(change.key.clone(), before.clone()),
                None => next.written.keys.remove(&change.key),
            };
        }
        if next.state_dir != self.config.state_dir {
            anyhow::bail!(
                "state_dir cannot be changed at work, since much is kept under it: put {} back, or restart the gate",
                self.config.state_dir.display()
            );
        }
        log::check(&next.log)?;
        let tasks = app.tasks();
        let doors = self.doors.prepare(&next, &app.parts, &app.shutdown)?;
        let pools = self.pools.prepare(&next)?;
        let admin_tls = self.admin.tls.prepare(next.admin.tls.as_ref())?;
        let webhooks = Webhooks::prepare(&next.webhooks).map_err(anyhow::Error::msg)?;
        let exporter = next.traces.as_ref().map(Exporter::of).transpose();
        let exporter = exporter.map_err(anyhow::Error::msg)?;
        // From here on nothing fails.
        export::change(&app.parts.traces, exporter, &app.parts.metrics);
        log::change(&next.log);
        app.reopen_logs();
        let opened = self.doors.change(doors, &app.parts, &tasks);
        self.admin.tls.change(admin_tls);
        self.pools.change(pools).await;
        let ending = &app.shutdown.ending;
        self.webhooks.change(webhooks, &app.services, ending);
        if let Err(error) = self.serve(opened, &tasks) {
            tracing::error!(%error, "a new listener of the admin side cannot be served");
        }
        self.doors.reopen_logs();
        changes.sort_by(|one, other| one.key.cmp(&other.key));
        self.config = next;
        Ok(Reloaded { changes })
    }
}

/// What a reload needs of the app.
#[derive(Clone)]
pub(super) struct Shared {
    parts: super::Parts,
    shutdown: crate::net::shutdown::Shutdown,
    services: tokio_util::task::TaskTracker,
    state: Arc<Current<ConfigState>>,
    inside: std::sync::Weak<Mutex<Inside>>,
}

impl Shared {
    fn tasks(&self) -> Tasks<'_> {
        Tasks {
            shutdown: &self.shutdown,
            services: &self.services,
        }
    }

    fn reopen_logs(&self) {
        log::reopen();
        if let Err(error) = self.parts.audit.reopen() {
            tracing::error!(%error, "the audit log could not be opened again; the old file is kept");
        }
    }

    /// One after the other, each told.
    async fn reload(&self, by: &str) -> Result<Reloaded, String> {
        let Some(inside) = self.inside.upgrade() else {
            return Err("the gate is being stopped".to_owned());
        };
        let mut inside = inside.lock().await;
        if self.shutdown.closing.is_cancelled() {
            self.reopen_logs();
            inside.doors.reopen_logs();
            return Err("the gate is being stopped".to_owned());
        }
        let told = systemd::reloading();
        let outcome = inside.reload(self).await;
        drop(told);
        let now = SystemTime::now();
        let metrics = &self.parts.metrics;
        match &outcome {
            Ok(reloaded) => {
                metrics.count_config_reload("taken");
                metrics.set_config_loaded(now);
                self.state
                    .set(Arc::new(ConfigState::loaded(&inside.config.written, now)));
                if !reloaded.changes.is_empty() {
                    self.tell(
                        &inside.config,
                        EventKind::Reload,
                        &format!("{by}: {reloaded}"),
                    );
                }
                tracing::info!(
                    changes = reloaded.changes.len(),
                    by,
                    "the configuration was read again"
                );
            }
            Err(error) => {
                // Nobody who only rotates logs should find them unrotated for a fault of the file.
                self.reopen_logs();
                inside.doors.reopen_logs();
                metrics.count_config_reload("refused");
                let why = format!("{error:#}");
                self.state
                    .set(Arc::new(self.state.get().refused(&why, now)));
                for line in why.lines() {
                    tracing::error!(by, "the configuration stays as it is: {line}");
                }
                let told = why.lines().collect::<Vec<_>>().join("; ");
                let text = format!("{by}: the configuration stays as it is: {told}");
                self.tell(&inside.config, EventKind::ReloadRefused, &text);
            }
        }
        outcome.map_err(|error| format!("{error:#}"))
    }

    fn tell(&self, config: &Config, kind: EventKind, text: &str) {
        let pool = config.default_pool();
        self.parts.events.tell(pool, None, kind, text.to_owned());
    }
}

impl App {
    /// What SIGHUP asks for.
    pub async fn reload(&self) {
        let shared = self.shared().await;
        // It has told everybody who looks.
        drop(shared.reload("a signal").await);
    }

    async fn shared(&self) -> Shared {
        let state = self.inside.lock().await.admin.config.clone();
        self.shared_with(state)
    }

    fn shared_with(&self, state: Arc<Current<ConfigState>>) -> Shared {
        Shared {
            parts: self.parts.clone(),
            shutdown: self.shutdown.clone(),
            services: self.services.clone(),
            state,
            inside: Arc::downgrade(&self.inside),
        }
    }

    /// Lets operators and the file itself ask for a reload.
    pub(super) fn let_reload(&self, inside: &mut Inside) {
        let shared = self.shared_with(inside.admin.config.clone());
        let of_file = shared.clone();
        let ask: AskReload = Arc::new(move |by: String| {
            let shared = shared.clone();
            Box::pin(async move { shared.reload(&by).await })
        });
        inside.admin.ask_reload = ask;
        if inside.config.reload_on_change {
            let file = inside.config.written.file.clone();
            let ending = self.shutdown.closing.clone();
            self.services
                .spawn(watch_file::follow(file, ending, move || {
                    let shared = of_file.clone();
                    async move { drop(shared.reload("the file changed").await) }
                }));
        }
    }
}
