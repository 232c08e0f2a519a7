//! A reload: the whole file is read and judged, all that can fail is built, and only then does anything change. A fault changes
//! nothing and is told everywhere an operator looks: log, story, audit log, status, metrics, and to whoever asked.
//!
//! Sessions are not touched: they keep the front they began with, and what the config no longer names goes when nobody is on it.
//! Files that the config names and that change by themselves are `renewals`' and their readers' business.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::doors::{Doors, Tasks};
use super::listeners::Opened;
use super::named_files::{self, NamedFile};
use super::operators::{self, OpenSocket};
use super::pools::Pools;
use super::{App, renewals, systemd, watch_file};
use crate::admin::{AdminSide, AdminState, AskReload, ConfigState, FileRead, Reloaded};
use crate::config::diff::{Change, Effect};
use crate::config::{self, Config};
use crate::files::Stamp;
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
    pub socket: Option<OpenSocket>,
    /// What the files that the config names were when they were read.
    pub stamps: Stamps,
    /// What the config's own file was.
    pub read: watch_file::Read,
    /// Nobody else may write what outlives the process; `None` once another gate may.
    pub lock: Option<Lock>,
    /// Asks for what people are remembered by to be written down.
    pub flush: mpsc::Sender<oneshot::Sender<()>>,
}

/// By key and file.
pub(super) type Stamps = BTreeMap<(String, PathBuf), Option<Stamp>>;

/// How long reading every file that a config names may take.
const READING: Duration = Duration::from_secs(30);

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
            stamps: stamps_of(&config),
            read: Current::new(Arc::new(Stamp::at(&config.written.file))),
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
        if self.config.written.file.as_os_str().is_empty() {
            anyhow::bail!("this gate was started without a file; there is nothing to read again");
        }
        // Before it is read: what changes meanwhile is seen later.
        let stamp = watch_file::stamp(&self.config.written.file).await;
        self.read.set(Arc::new(stamp));
        let mut next = config::load_again(&self.config)?;
        let changes = changes_to(&self.config, &mut next);
        let written = next.written.clone();
        let reloaded = self.put(app, next, changes).await;
        // With the place of the key at fault, whoever found it.
        reloaded.map_err(|error| anyhow!(written.located(&format!("{error:#}"))))
    }

    async fn put(&mut self, app: &Shared, next: Config, changes: Vec<Change>) -> Result<Reloaded> {
        let stamps = self.judge(&next).await?;
        let tasks = app.tasks();
        let log = log::prepare(&next.log)?;
        let audit = app.parts.audit.prepare(&next.audit)?;
        let doors = self.doors.prepare(&next, &app.parts, &app.shutdown)?;
        let pools = self.pools.prepare(&next)?;
        let webhooks = Webhooks::prepare(&next.webhooks).map_err(anyhow::Error::msg)?;
        let exporter = next.traces.as_ref().map(Exporter::of).transpose();
        let exporter = exporter.map_err(anyhow::Error::msg)?;
        let operators = operators::prepare(&self.admin, self.socket.as_ref(), &next.admin)?;
        // From here on nothing fails.
        export::change(&app.parts.traces, exporter, &app.parts.metrics);
        log::change(log);
        app.parts.audit.change(audit);
        app.reopen_logs();
        let opened = self.doors.change(doors, &app.parts, &tasks);
        if let Some(side) = &self.side {
            let work = (&app.services, &app.operating);
            operators::change(&self.admin, (side, &mut self.socket), operators, work);
        }
        self.pools.change(pools).await;
        let ending = &app.shutdown.ending;
        self.webhooks.change(webhooks, &app.services, ending);
        if let Err(error) = self.serve(opened, &tasks) {
            tracing::error!(%error, "a new listener of the admin side cannot be served");
        }
        self.doors.reopen_logs();
        app.parts.files.settle_all();
        let files = files_read(&self.stamps, &stamps);
        (self.config, self.stamps) = (next, stamps);
        Ok(Reloaded { changes, files })
    }

    /// Every file that this config names is of use, and is this by now.
    async fn judge(&self, next: &Config) -> Result<Stamps> {
        let (next, mut in_use) = (next.clone(), self.doors.in_use());
        in_use.tls.extend(self.admin.tls.in_use());
        let judge = move || {
            let stamps = stamps_of(&next);
            let account = nix::unistd::geteuid().as_raw();
            (named_files::faults(&next, account, &in_use), stamps)
        };
        let judged = tokio::time::timeout(READING, tokio::task::spawn_blocking(judge)).await;
        let (faults, stamps) = judged.map_err(|_| {
            let seconds = READING.as_secs();
            anyhow!("the files that it names cannot be read within {seconds} s: is their storage reachable?")
        })??;
        match faults.is_empty() {
            true => Ok(stamps),
            false => Err(anyhow!(faults.join("\n"))),
        }
    }
}

fn stamps_of(config: &Config) -> Stamps {
    let files = named_files::files_of(config).into_iter();
    let stamp = |NamedFile { key, path, .. }: NamedFile| {
        let stamp = Stamp::at(&path);
        ((key, path), stamp)
    };
    files.map(stamp).collect()
}

/// Those that were named before as well and are others by now.
fn files_read(before: &Stamps, now: &Stamps) -> Vec<FileRead> {
    let is_other = |(id, stamp): &(&(String, PathBuf), &Option<Stamp>)| {
        before.get(*id).is_some_and(|before| before != *stamp)
    };
    let read = now
        .iter()
        .filter(is_other)
        .map(|((key, file), _)| FileRead {
            key: key.clone(),
            file: file.clone(),
        });
    read.collect()
}

/// What changes, by key. What waits for a restart is still another value at the next reload.
fn changes_to(running: &Config, next: &mut Config) -> Vec<Change> {
    let mut changes = running.written.changes_to(&next.written);
    let waiting = changes.iter();
    for change in waiting.filter(|change| change.effect == Effect::Restart) {
        match &change.before {
            Some(before) => next.written.keys.insert(change.key.clone(), before.clone()),
            None => next.written.keys.remove(&change.key),
        };
    }
    changes.sort_by(|one, other| one.key.cmp(&other.key));
    changes
}

/// What a reload needs of the app.
#[derive(Clone)]
pub(super) struct Shared {
    pub parts: super::Parts,
    pub shutdown: crate::net::shutdown::Shutdown,
    pub services: tokio_util::task::TaskTracker,
    pub inside: std::sync::Weak<Mutex<Inside>>,
    /// Ends what only the gate of the place does.
    operating: tokio_util::sync::CancellationToken,
    state: Arc<Current<ConfigState>>,
}

impl Shared {
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks {
            shutdown: &self.shutdown,
            services: &self.services,
        }
    }

    fn reopen_logs(&self) {
        self.parts.rotations.begin();
        log::reopen();
        if let Err(error) = self.parts.audit.reopen() {
            tracing::error!(%error, "the audit log could not be opened again; the old file is kept");
        }
    }

    /// Opens what is written line by line anew each time somebody else asks for it: the gate that has the place by now.
    async fn reopen_as_asked(self) {
        let asked = async {
            loop {
                self.parts.rotations.asked().await;
                let Some(inside) = self.inside.upgrade() else {
                    return;
                };
                self.reopen_logs();
                inside.lock().await.doors.reopen_logs();
            }
        };
        self.shutdown.ending.run_until_cancelled(asked).await;
    }

    /// One after the other, each told.
    async fn reload(&self, by: &str) -> Result<Reloaded, String> {
        let Some(inside) = self.inside.upgrade() else {
            return Err("the gate is being stopped".to_owned());
        };
        let mut inside = inside.lock().await;
        self.reload_inside(&mut inside, by).await
    }

    async fn reload_inside(&self, inside: &mut Inside, by: &str) -> Result<Reloaded, String> {
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
                if !reloaded.is_empty() {
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

    /// Reads it, where that is wanted and nobody had it read while this one waited.
    async fn file_changed(&self) {
        let Some(inside) = self.inside.upgrade() else {
            return;
        };
        let mut inside = inside.lock().await;
        let stamp = watch_file::stamp(&inside.config.written.file).await;
        if inside.config.reload_on_change && stamp != *inside.read.get() {
            // It has told everybody who looks.
            drop(self.reload_inside(&mut inside, "the file changed").await);
        }
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
            operating: self.operating.clone(),
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
        self.services.spawn(of_file.clone().reopen_as_asked());
        let renewing = renewals::follow(of_file.clone());
        self.services.spawn(renewing);
        let (file, read) = (inside.config.written.file.clone(), inside.read.clone());
        let ending = self.shutdown.closing.clone();
        self.services
            .spawn(watch_file::follow(file, read, ending, move || {
                let shared = of_file.clone();
                async move { shared.file_changed().await }
            }));
    }
}
