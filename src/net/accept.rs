//! The accept loop of both front doors, and the limits that stand before any byte is read.
//!
//! A connection's place is taken before `accept`, so that an overfull gate leaves new people in the kernel's backlog
//! instead of taking them in and dropping them. Handshakes never run here: one slow client must not delay another's accept.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::shutdown::Shutdown;
use crate::pool::Protocol;
use crate::telemetry::metrics::Metrics;

/// Pause after a failed accept (out of file descriptors): long enough for some to come back, short enough to go unnoticed.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How many connections one front door holds, and how many of them before their login is done.
pub struct Limits {
    protocol: Protocol,
    connections: Arc<Semaphore>,
    startups_max: usize,
    startups_per_source_max: usize,
    startups: Mutex<Startups>,
    metrics: Metrics,
}

#[derive(Default)]
struct Startups {
    total: usize,
    /// Only sources with a connection in login are in it, so `startups_max` bounds its size.
    by_source: HashMap<Source, usize>,
}

/// Whom a limit counts as one: an IPv4 address, or the /64 an IPv6 site hands to one machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl Limits {
    pub fn new(
        protocol: Protocol,
        connections_max: usize,
        startups_max: usize,
        startups_per_source_max: usize,
        metrics: Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            protocol,
            connections: Arc::new(Semaphore::new(connections_max)),
            startups_max,
            startups_per_source_max,
            startups: Mutex::default(),
            metrics,
        })
    }

    /// Counts a connection that has yet to log in, or says which limit turns it away.
    fn begin_startup(self: &Arc<Self>, peer: IpAddr) -> Result<Startup, &'static str> {
        let source = Source::of(peer);
        let mut startups = self.startups.lock().unwrap_or_else(PoisonError::into_inner);
        if startups.total >= self.startups_max {
            return Err("max_startups");
        }
        let of_source = startups.by_source.entry(source).or_insert(0);
        if *of_source >= self.startups_per_source_max {
            return Err("max_startups_per_source");
        }
        *of_source += 1;
        startups.total += 1;
        Ok(Startup {
            limits: self.clone(),
            source,
        })
    }
}

/// A connection's place at the door; dropping it frees the place.
pub struct Permit {
    startup: Option<Startup>,
    _connection: OwnedSemaphorePermit,
}

impl Permit {
    /// The login is done: the connection no longer counts among those in login.
    pub fn admitted(&mut self) {
        self.startup = None;
    }
}

struct Startup {
    limits: Arc<Limits>,
    source: Source,
}

impl Drop for Startup {
    fn drop(&mut self) {
        let mut startups = self
            .limits
            .startups
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        startups.total = startups.total.saturating_sub(1);
        if let Some(count) = startups.by_source.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                startups.by_source.remove(&self.source);
            }
        }
    }
}

/// Accepts until the gate closes; each connection gets a task of its own.
pub async fn serve<F, T>(listener: TcpListener, limits: Arc<Limits>, shutdown: Shutdown, connect: F)
where
    F: Fn(TcpStream, SocketAddr, Permit) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    loop {
        let accepted = tokio::select! {
            () = shutdown.closing.cancelled() => return,
            accepted = accept(&listener, &limits) => accepted,
        };
        match accepted {
            Ok((stream, peer, connection)) => match limits.begin_startup(peer.ip()) {
                Ok(startup) => {
                    let permit = Permit {
                        startup: Some(startup),
                        _connection: connection,
                    };
                    shutdown.connections.spawn(connect(stream, peer, permit));
                }
                Err(limit) => {
                    limits.metrics.count_limit(limit);
                    tracing::debug!(%peer, limit, "connection turned away");
                }
            },
            Err(error) => {
                tracing::warn!(%error, "accept failed; trying again");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    limits: &Limits,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let connection = limits
        .connections
        .clone()
        .acquire_owned()
        .await
        .map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    if limits.connections.available_permits() == 0 {
        limits.metrics.count_limit("max_connections");
        tracing::warn!(protocol = %limits.protocol, "as many connections as max_connections allows; more will wait");
    }
    Ok((stream, canonical(peer), connection))
}

/// An IPv4 client on a dual-stack listener is shown and counted as IPv4.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

impl Source {
    fn of(peer: IpAddr) -> Self {
        Self(match peer.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(network.into())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_site_is_one_source_and_ipv4_addresses_are_many() {
        let source = |text: &str| Source::of(text.parse().unwrap());
        assert!(source("2001:db8::1") == source("2001:db8::ffff:1"));
        assert!(source("2001:db8::1") != source("2001:db8:0:1::1"));
        assert!(source("192.0.2.1") != source("192.0.2.2"));
        assert!(source("::ffff:192.0.2.1") == source("192.0.2.1"));
    }

    #[test]
    fn startups_are_bounded_in_all_and_by_source_and_come_back() {
        let limits = Limits::new(Protocol::Ssh, 10, 3, 2, Metrics::new());
        let first: IpAddr = "192.0.2.1".parse().unwrap();
        let second: IpAddr = "192.0.2.2".parse().unwrap();
        let held = [limits.begin_startup(first), limits.begin_startup(first)];
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(
            limits.begin_startup(first).err(),
            Some("max_startups_per_source")
        );
        let other = limits.begin_startup(second);
        assert_eq!(limits.begin_startup(second).err(), Some("max_startups"));
        drop(held);
        drop(other);
        assert!(limits.startups.lock().unwrap().by_source.is_empty());
        assert!(limits.begin_startup(first).is_ok());
    }
}
