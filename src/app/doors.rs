//! The front doors: what each is built of, where it listens, under which limits, and the loop that accepts for it.
//!
//! A door listens before the first fleet is started and accepts after the last part is: an address that is taken is
//! found while nothing has begun, and who connects early waits in the kernel's backlog.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use super::{App, state_dir};
use crate::config::{Config, HttpsConfig, SshConfig};
use crate::https;
use crate::net::accept::{self, Bounds, Limits, Permit};
use crate::net::bind as sockets;
use crate::net::inherited::{Inherited, SocketName};
use crate::net::lanes::Lanes;
use crate::pool::Protocol;
use crate::ssh::front::SshFront;

/// A front that listens and has yet to accept.
pub(super) struct Door<F> {
    front: Arc<F>,
    listeners: Vec<TcpListener>,
    /// Without TLS: they only say where to go. Their connections count among the door's.
    redirects: Vec<TcpListener>,
    limits: Arc<Limits>,
    /// `None` is one for each core; of https alone.
    threads: Option<usize>,
}

impl App {
    pub(super) fn build_ssh(&mut self, ssh: &SshConfig, config: &Config) -> Result<Door<SshFront>> {
        let parts = &self.parts;
        let front = SshFront::build(
            ssh,
            &config.pools,
            &config.state_dir,
            parts.pool.clone(),
            (parts.audit.clone(), parts.events.clone()),
            parts.metrics.clone(),
            self.shutdown.clone(),
        )?;
        let bounds = Bounds {
            connections_max: ssh.max_connections,
            startups_max: ssh.max_startups,
            startups_per_source_max: ssh.max_startups_per_source,
            early_drop: ssh.early_drop.map(|drop| (drop.start, drop.rate_percent)),
            proxies: ssh.proxy_protocol_from.clone(),
        };
        let limits = Limits::new(Protocol::Ssh, bounds, parts.metrics.clone());
        let listeners = listen(&self.inherited, SocketName::Ssh, &ssh.listen)?;
        self.addresses.ssh = addresses_of(&listeners)?;
        self.ssh = Some(front.clone());
        Ok(Door {
            front,
            listeners,
            redirects: Vec::new(),
            limits,
            threads: None,
        })
    }

    pub(super) fn build_https(
        &mut self,
        https: &HttpsConfig,
        config: &Config,
    ) -> Result<Door<https::Front>> {
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
        let bounds = Bounds {
            connections_max: https.max_connections,
            startups_max: https.max_connections,
            startups_per_source_max: https.max_connections_per_source,
            early_drop: None,
            proxies: https.proxy_protocol_from.clone(),
        };
        let limits = Limits::new(Protocol::Jupyter, bounds, parts.metrics.clone());
        let listeners = listen(&self.inherited, SocketName::Https, &https.listen)?;
        self.addresses.https = addresses_of(&listeners)?;
        let redirects = listen(
            &self.inherited,
            SocketName::Redirect,
            &https.redirect.listen,
        )?;
        Ok(Door {
            front,
            listeners,
            redirects,
            limits,
            threads: https.threads,
        })
    }

    pub(super) fn serve_ssh(&self, door: Door<SshFront>) {
        let front = door.front;
        let serve = move |stream, peer, permit| front.clone().serve(stream, peer, permit);
        self.accept(door.listeners, &door.limits, &Handle::current(), serve);
    }

    pub(super) fn serve_https(&mut self, door: Door<https::Front>) -> Result<()> {
        let (front, shutdown) = (door.front, self.shutdown.clone());
        let lanes = Lanes::start(door.threads, &shutdown.ending);
        let lanes = lanes.context("cannot start the threads of https")?;
        self.https = Some(front.clone());
        let sweeping = front.clone().sweep(shutdown.ending.clone());
        self.services.spawn(sweeping);
        let keeping = front.clone().keep_certificates(shutdown.ending.clone());
        self.services.spawn(keeping);
        let (of_redirects, closing) = (front.clone(), shutdown.closing.clone());
        let (on_lanes, accepting) = (lanes.clone(), lanes.first());
        let serve = move |stream, peer, permit| {
            let (front, shutdown, lanes) = (front.clone(), shutdown.clone(), on_lanes.clone());
            async move {
                let connections = shutdown.connections.clone();
                let serve = move |stream| async move {
                    // Tunnels outlive the end of accepting; the end of the gate they do not.
                    let serving = front.serve_connection(stream, peer, shutdown.closing);
                    shutdown.ending.run_until_cancelled(serving).await;
                    drop(permit);
                };
                lanes.carry(stream, &connections, serve).await;
            }
        };
        self.accept(door.listeners, &door.limits, accepting, serve);
        let redirect = move |stream, peer, permit| {
            let (front, closing) = (of_redirects.clone(), closing.clone());
            async move {
                front.serve_redirect(stream, peer, closing).await;
                drop(permit);
            }
        };
        self.accept(door.redirects, &door.limits, &Handle::current(), redirect);
        Ok(())
    }

    /// Accepts on each of these until the gate closes, with tasks of this runtime.
    fn accept<F, T>(
        &self,
        listeners: Vec<TcpListener>,
        limits: &Arc<Limits>,
        runtime: &Handle,
        connect: F,
    ) where
        F: Fn(TcpStream, SocketAddr, Permit) -> T + Clone + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        for listener in listeners {
            let (limits, shutdown) = (limits.clone(), self.shutdown.clone());
            let (connect, moved) = (connect.clone(), listener.into_std());
            let accepting = async move {
                // Events of a socket come to the thread it is registered with.
                match moved.and_then(TcpListener::from_std) {
                    Ok(listener) => accept::serve(listener, limits, shutdown, connect).await,
                    Err(failed) => tracing::error!(%failed, "a listener was lost between threads"),
                }
            };
            self.services.spawn_on(accepting, runtime);
        }
    }
}

/// Sockets that were opened for the gate, and else its own.
pub(super) fn listen(
    inherited: &Inherited,
    name: SocketName,
    addresses: &[SocketAddr],
) -> Result<Vec<TcpListener>> {
    let key = name.key();
    let taken = inherited.take(name, addresses);
    let (taken, left) = taken.with_context(|| format!("{key}: a socket that was passed on"))?;
    let mut listeners = Vec::new();
    for listener in taken {
        listeners.push(TcpListener::from_std(listener)?);
    }
    for address in left {
        listeners.push(sockets::listen(address).with_context(|| {
            format!("{key}: cannot listen on {address}: is another program on that port, and may this user take it?")
        })?);
    }
    Ok(listeners)
}

fn addresses_of(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>> {
    Ok(listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?)
}
