//! The front doors: what each is built of, where it listens, under which limits, and the loop that accepts for it.
//!
//! Opening them and changing them is the same: `prepare` builds all that can fail, `change` puts it in force. A door listens
//! before the first fleet is started and accepts after the last part is: an address that is taken is found while nothing
//! has begun, and who connects early waits in the kernel's backlog. A door that is closed keeps its memory.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::listeners::{Listeners, Opened, Wanted};
use super::named_files::InUse;
use super::{Parts, state_dir};
use crate::config::{Config, HttpsConfig, SshConfig};
use crate::files;
use crate::https::{self, Reread};
use crate::net::accept::{self, Bounds, Limits, Permit};
use crate::net::current::Current;
use crate::net::inherited::{Inherited, SocketName};
use crate::net::lanes::Lanes;
use crate::net::shutdown::Shutdown;
use crate::pool::Protocol;
use crate::ssh::front::SshFront;
use crate::telemetry::events::Events;

const WITHOUT_PINS: &str =
    "browsers are placed anew, and people there may have to log in once more";

pub(super) struct Doors {
    ssh: Option<SshDoor>,
    https: Option<HttpsDoor>,
    pub listeners: Listeners,
    /// The front that logs in on instances, for errands.
    shell: Shell,
}

/// `None` where there is no ssh door yet.
pub(super) type Shell = Arc<Current<Option<Arc<Current<SshFront>>>>>;

struct SshDoor {
    door: Door<SshFront>,
    /// Ends whoever follows files of its.
    following: CancellationToken,
}

pub(super) struct Door<F> {
    /// Whose turn it is.
    pub front: Arc<Current<F>>,
    limits: Arc<Limits>,
}

struct HttpsDoor {
    door: Door<https::Front>,
    lanes: Arc<Current<Lanes>>,
    /// Ends whoever keeps the certificates.
    keeping: CancellationToken,
    /// Where they tell of ends.
    events: Events,
}

/// What takes the place of what is there; dropped, it changes nothing.
pub(super) struct NextDoors {
    ssh: NextSsh,
    https: NextHttps,
    /// Threads for a door that has none yet.
    lanes: Option<Lanes>,
    wanted: Wanted,
}

/// `None` where there is to be none.
pub(super) struct NextSsh(Option<(Arc<SshFront>, Bounds)>);

/// `None` where there is to be none.
pub(super) struct NextHttps(Option<(Next, Bounds)>);

enum Next {
    First(Arc<https::Front>),
    Renewed(https::Renewed),
}

/// Where the tasks of the doors belong.
pub(super) struct Tasks<'a> {
    pub shutdown: &'a Shutdown,
    pub services: &'a TaskTracker,
}

impl Doors {
    pub fn new(inherited: Inherited) -> Self {
        Self {
            ssh: None,
            https: None,
            listeners: Listeners::new(inherited),
            shell: Current::new(Arc::new(None)),
        }
    }

    /// # Errors
    /// One line that names the file or address at fault.
    pub fn prepare(
        &self,
        config: &Config,
        parts: &Parts,
        shutdown: &Shutdown,
    ) -> Result<NextDoors> {
        let ssh = self.prepare_ssh(config, parts, shutdown)?;
        let next_https = self.prepare_https(config, parts, Reread::All)?;
        let https = config.https.as_ref();
        let wanted = self.listeners.prepare(wanted_addresses(config))?;
        let lanes = https.filter(|_| self.https.is_none());
        let lanes = lanes.map(|https| Lanes::start(https.threads, &shutdown.ending));
        Ok(NextDoors {
            ssh,
            https: next_https,
            lanes: lanes
                .transpose()
                .context("cannot start the threads of https")?,
            wanted,
        })
    }

    /// The ssh door alone, with every file that it is built of.
    ///
    /// # Errors
    /// As `prepare`.
    pub fn prepare_ssh(
        &self,
        config: &Config,
        parts: &Parts,
        shutdown: &Shutdown,
    ) -> Result<NextSsh> {
        let Some(ssh) = &config.ssh else {
            return Ok(NextSsh(None));
        };
        let (pools, state_dir) = (&config.pools, &config.state_dir);
        let files = parts.files.clone();
        let front = match &self.ssh {
            Some(of) => of.door.front.get().renew(ssh, pools, state_dir),
            None => SshFront::build(
                ssh,
                pools,
                state_dir,
                parts.pool.clone(),
                (parts.audit.clone(), parts.events.clone(), files),
                (parts.metrics.clone(), parts.traces.clone()),
                shutdown.clone(),
            ),
        };
        Ok(NextSsh(Some((front?, ssh_bounds(ssh)))))
    }

    /// The browsers' door alone.
    ///
    /// # Errors
    /// As `prepare`.
    pub fn prepare_https(
        &self,
        config: &Config,
        parts: &Parts,
        reread: Reread,
    ) -> Result<NextHttps> {
        let Some(https) = &config.https else {
            return Ok(NextHttps(None));
        };
        let front = match &self.https {
            Some(of) => {
                let front = of.door.front.get();
                Next::Renewed(front.renew(https, &config.pools, reread)?)
            }
            None => Next::First(https::Front::build(
                https,
                &config.pools,
                parts.pool.clone(),
                &state_dir::persisted_secret(&parts.state, "pin.key", WITHOUT_PINS)?,
                parts.audit.clone(),
                (
                    parts.metrics.clone(),
                    parts.traces.clone(),
                    parts.files.clone(),
                ),
            )?),
        };
        Ok(NextHttps(Some((front, https_bounds(https)))))
    }

    /// From here on whoever comes meets what was prepared. The sockets that come back are to be accepted on by `serve`.
    pub fn change(&mut self, next: NextDoors, parts: &Parts, tasks: &Tasks<'_>) -> Vec<Opened> {
        self.change_ssh(next.ssh, parts, tasks);
        self.change_https((next.https, next.lanes), parts, tasks);
        self.listeners.change(next.wanted, tasks.shutdown)
    }

    /// The ssh door alone.
    pub fn change_ssh(&mut self, next: NextSsh, parts: &Parts, tasks: &Tasks<'_>) {
        let Some((front, bounds)) = next.0 else {
            // What it remembers is kept, and looked after by nobody.
            if let Some(of) = &self.ssh {
                of.following.cancel();
            }
            return;
        };
        front.take_over();
        let following = tasks.shutdown.ending.child_token();
        let followed = files::follow(front.followed(), following.clone());
        tasks.services.spawn(followed);
        match &mut self.ssh {
            Some(of) => {
                of.following.cancel();
                of.following = following;
                of.door.change(front, bounds);
            }
            None => {
                let door = Door::new(front, Protocol::Ssh, bounds, parts);
                self.shell.set(Arc::new(Some(door.front.clone())));
                self.ssh = Some(SshDoor { door, following });
            }
        }
    }

    /// The browsers' door alone; threads for one that has none yet.
    pub fn change_https(
        &mut self,
        (next, lanes): (NextHttps, Option<Lanes>),
        parts: &Parts,
        tasks: &Tasks<'_>,
    ) {
        let Some((front, bounds)) = next.0 else {
            if let Some(of) = &self.https {
                of.keeping.cancel();
            }
            return;
        };
        let front = match front {
            Next::First(front) => front,
            Next::Renewed(renewed) => renewed.take_over(),
        };
        match (&mut self.https, lanes) {
            (Some(of), _) => of.change(front, bounds, tasks),
            (None, Some(lanes)) => {
                let door = Door::new(front, Protocol::Jupyter, bounds, parts);
                self.https = Some(HttpsDoor::begin(door, lanes, parts.events.clone(), tasks));
            }
            (None, None) => {}
        }
    }

    /// Accepts on these sockets, each for its door, until they are to stop.
    pub fn serve(&self, opened: Vec<Opened>, tasks: &Tasks<'_>) {
        for one in opened {
            match (one.role, &self.ssh, &self.https) {
                (SocketName::Ssh, Some(of), _) => of.door.serve_ssh(one, tasks),
                (SocketName::Https, _, Some(of)) => of.serve(one, tasks),
                (SocketName::Redirect, _, Some(of)) => of.serve_redirects(one, tasks),
                _ => {}
            }
        }
    }

    /// The front that logs in on instances, for errands.
    pub fn shell(&self) -> Shell {
        self.shell.clone()
    }

    /// The certificates that clients are shown.
    pub fn in_use(&self) -> InUse {
        let (ssh, https) = (self.ssh.as_ref(), self.https.as_ref());
        let host_keys = ssh.map(|of| of.door.front.get().host_certificates());
        let tls = https.map(|of| of.door.front.get().certificates_in_use());
        InUse {
            host_keys: host_keys.unwrap_or_default(),
            tls: tls.unwrap_or_default(),
        }
    }

    /// Accepts no more, and leaves certificates and lists to whoever has the place now.
    pub fn retire(&mut self) {
        self.listeners.close();
        if let Some(https) = &self.https {
            https.keeping.cancel();
        }
        if let Some(ssh) = &self.ssh {
            ssh.following.cancel();
        }
    }

    /// Opens what is written line by line anew, for rotation; what cannot be stays as it was.
    pub fn reopen_logs(&self) {
        let https = self.https.as_ref();
        let reopened = https.map(|of| of.door.front.get().reopen_access_log());
        if let Some(Err(error)) = reopened {
            tracing::error!(%error, "the access log could not be opened again; the old file is kept");
        }
    }
}

impl<F: Send + Sync + 'static> Door<F> {
    fn new(front: Arc<F>, protocol: Protocol, bounds: Bounds, parts: &Parts) -> Self {
        Self {
            front: Current::new(front),
            limits: Limits::new(protocol, bounds, parts.metrics.clone()),
        }
    }

    fn change(&self, front: Arc<F>, bounds: Bounds) {
        self.front.set(front);
        self.limits.change(bounds);
    }

    /// Accepts with tasks of this runtime.
    fn accept<C, T>(&self, opened: Opened, runtime: &Handle, tasks: &Tasks<'_>, connect: C)
    where
        C: Fn(TcpStream, SocketAddr, Permit) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let limits = self.limits.clone();
        let until = Shutdown {
            closing: opened.stop,
            ..tasks.shutdown.clone()
        };
        let accepting = async move {
            // Events of a socket come to the thread it is registered with.
            match TcpListener::from_std(opened.socket) {
                Ok(listener) => accept::serve(listener, limits, until, connect).await,
                Err(failed) => {
                    tracing::error!(error = %failed, "a listener was lost between threads")
                }
            }
        };
        tasks.services.spawn_on(accepting, runtime);
    }
}

impl Door<SshFront> {
    fn serve_ssh(&self, opened: Opened, tasks: &Tasks<'_>) {
        let front = self.front.clone();
        let serve = move |stream, peer, permit| front.get().serve(stream, peer, permit);
        self.accept(opened, &Handle::current(), tasks, serve);
    }
}

impl HttpsDoor {
    fn begin(door: Door<https::Front>, lanes: Lanes, events: Events, tasks: &Tasks<'_>) -> Self {
        let sweeping = https::sweep(door.front.clone(), tasks.shutdown.ending.clone());
        tasks.services.spawn(sweeping);
        let keeping = keep_certificates(door.front.get(), events.clone(), tasks);
        Self {
            door,
            lanes: Current::new(Arc::new(lanes)),
            keeping,
            events,
        }
    }

    fn change(&mut self, front: Arc<https::Front>, bounds: Bounds, tasks: &Tasks<'_>) {
        let before = self.lanes.get();
        match before.resized(front.threads(), &tasks.shutdown.ending) {
            Ok(lanes) => {
                before.retire_all_but(&lanes);
                self.lanes.set(Arc::new(lanes));
            }
            Err(error) => tracing::error!(%error, "the threads of https stay as many as they were"),
        }
        let is_kept = !self.keeping.is_cancelled();
        if !is_kept || !front.has_certificates_of(&self.door.front.get()) {
            self.keeping.cancel();
            self.keeping = keep_certificates(front.clone(), self.events.clone(), tasks);
        }
        self.door.change(front, bounds);
    }

    fn serve(&self, opened: Opened, tasks: &Tasks<'_>) {
        let (front, shutdown) = (self.door.front.clone(), tasks.shutdown.clone());
        let lanes = self.lanes.clone();
        let serve = move |stream, peer, permit| {
            let (front, shutdown, lanes) = (front.clone(), shutdown.clone(), lanes.get());
            async move {
                let connections = shutdown.connections.clone();
                let serve = move |stream| async move {
                    // Tunnels outlive the end of accepting; the end of the gate they do not.
                    let closing = shutdown.closing;
                    let serving = https::Front::serve_connection(front, stream, peer, closing);
                    shutdown.ending.run_until_cancelled(serving).await;
                    drop(permit);
                };
                lanes.carry(stream, &connections, serve).await;
            }
        };
        let first = self.lanes.get();
        self.door.accept(opened, first.first(), tasks, serve);
    }

    /// Their connections count among the door's.
    fn serve_redirects(&self, opened: Opened, tasks: &Tasks<'_>) {
        // Whoever is in is answered, which takes a moment.
        let (front, ending) = (self.door.front.clone(), tasks.shutdown.ending.clone());
        let redirect = move |stream, peer, permit| {
            let (front, ending) = (front.get(), ending.clone());
            async move {
                front.serve_redirect(stream, peer, ending).await;
                drop(permit);
            }
        };
        self.door
            .accept(opened, &Handle::current(), tasks, redirect);
    }
}

fn keep_certificates(
    front: Arc<https::Front>,
    events: Events,
    tasks: &Tasks<'_>,
) -> CancellationToken {
    let until = tasks.shutdown.ending.child_token();
    let keeping = front.keep_certificates(events, until.clone());
    tasks.services.spawn(keeping);
    until
}

fn ssh_bounds(ssh: &SshConfig) -> Bounds {
    Bounds {
        connections_max: ssh.max_connections,
        startups_max: ssh.max_startups,
        startups_per_source_max: ssh.max_startups_per_source,
        early_drop: ssh.early_drop.map(|drop| (drop.start, drop.rate_percent)),
        proxies: ssh.proxy_protocol_from.clone(),
    }
}

fn https_bounds(https: &HttpsConfig) -> Bounds {
    Bounds {
        connections_max: https.max_connections,
        startups_max: https.max_connections,
        startups_per_source_max: https.max_connections_per_source,
        early_drop: None,
        proxies: https.proxy_protocol_from.clone(),
    }
}

fn wanted_addresses(config: &Config) -> Vec<(SocketName, SocketAddr)> {
    let of = |role, listed: &[SocketAddr]| -> Vec<_> {
        listed.iter().map(|address| (role, *address)).collect()
    };
    let mut wanted = Vec::new();
    if let Some(ssh) = &config.ssh {
        wanted.extend(of(SocketName::Ssh, &ssh.listen));
    }
    if let Some(https) = &config.https {
        wanted.extend(of(SocketName::Https, &https.listen));
        wanted.extend(of(SocketName::Redirect, &https.redirect.listen));
    }
    wanted.extend(of(SocketName::Admin, config.admin.listen.as_slice()));
    wanted
}
