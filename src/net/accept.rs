//! The accept loop of both front doors, and the limits that stand before any byte is read.
//!
//! A connection's place is taken before `accept`, so that an overfull gate leaves new people in the kernel's backlog
//! instead of taking them in and dropping them. Handshakes never run here: one slow client must not delay another's accept.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::proxy_protocol;
use super::shutdown::Shutdown;
use super::source::Source;
use crate::pool::Protocol;
use crate::telemetry::metrics::Metrics;

/// Pause after a failed accept (out of file descriptors): long enough for some to come back, short enough to go unnoticed.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How many connections one front door holds, and how many of them before their login is done. The figures may change while
/// connections are open: those stay counted.
pub struct Limits {
    protocol: Protocol,
    bounds: RwLock<Arc<Bounds>>,
    connections: Arc<Semaphore>,
    /// Connections beyond a bound that was lowered: their places go with them.
    surplus: Mutex<usize>,
    startups: Mutex<Startups>,
    metrics: Metrics,
}

/// The figures of one door.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    pub startups_max: usize,
    pub startups_per_source_max: usize,
    /// From so many startups on, so many in 100 new ones are refused.
    pub early_drop: Option<(usize, u32)>,
    /// Networks whose connections begin with a PROXY header.
    pub proxies: Vec<IpNet>,
}

impl Bounds {
    /// How many in 100 are refused by chance: more, the nearer the door is to being full.
    fn drop_percent(&self, startups: usize) -> u32 {
        let Some((start, rate)) = self.early_drop else {
            return 0;
        };
        let Some(above) = startups.checked_sub(start) else {
            return 0;
        };
        let room = self.startups_max.saturating_sub(start).max(1);
        let share = u32::try_from(above * 100 / room).unwrap_or(100).min(100);
        rate + 100u32.saturating_sub(rate) * share / 100
    }

    fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(&peer))
    }
}

#[derive(Default)]
struct Startups {
    total: usize,
    /// Only sources with a connection in login are in it, so `startups_max` bounds its size.
    by_source: HashMap<Source, usize>,
}

impl Limits {
    pub fn new(protocol: Protocol, bounds: Bounds, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            protocol,
            connections: Arc::new(Semaphore::new(bounds.connections_max)),
            bounds: RwLock::new(Arc::new(bounds)),
            surplus: Mutex::default(),
            startups: Mutex::default(),
            metrics,
        })
    }

    /// From here on these figures hold. Nobody who is in is turned away.
    pub fn change(&self, bounds: Bounds) {
        let mut surplus = self.surplus.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.bounds().connections_max;
        let wanted = bounds.connections_max;
        if let Some(more) = wanted.checked_sub(before) {
            let owed = more.min(*surplus);
            *surplus -= owed;
            self.connections.add_permits(more - owed);
        } else {
            let fewer = before - wanted;
            *surplus += fewer - self.connections.forget_permits(fewer);
        }
        *self.bounds.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(bounds);
    }

    fn bounds(&self) -> Arc<Bounds> {
        let bounds = self.bounds.read().unwrap_or_else(PoisonError::into_inner);
        bounds.clone()
    }

    /// A connection's place is free again, or there are too many places since a bound was lowered.
    fn give_back(&self, place: OwnedSemaphorePermit) {
        let mut surplus = self.surplus.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = surplus.checked_sub(1) {
            *surplus = left;
            place.forget();
        }
    }

    /// Counts a connection that has yet to log in, or says which limit turns it away. `roll` is a random number below 100.
    fn begin_startup(
        self: &Arc<Self>,
        peer: IpAddr,
        roll: impl FnOnce() -> u32,
    ) -> Result<Startup, &'static str> {
        let bounds = self.bounds();
        let mut startups = self.startups();
        if startups.total >= bounds.startups_max {
            return Err(self.named("ssh.max_startups", "https.max_connections"));
        }
        let percent = bounds.drop_percent(startups.total);
        if percent > 0 && roll() < percent {
            return Err(self.named("ssh.early_drop", "https.max_connections"));
        }
        let source = match bounds.is_proxy(peer) {
            true => None,
            false => Some(self.count_source(&mut startups, peer, &bounds)?),
        };
        startups.total += 1;
        Ok(Startup {
            limits: self.clone(),
            source,
        })
    }

    fn count_source(
        &self,
        startups: &mut Startups,
        peer: IpAddr,
        bounds: &Bounds,
    ) -> Result<Source, &'static str> {
        let source = Source::of(peer);
        let of_source = startups.by_source.get(&source).copied().unwrap_or(0);
        if of_source >= bounds.startups_per_source_max {
            return Err(self.named(
                "ssh.max_startups_per_source",
                "https.max_connections_per_source",
            ));
        }
        startups.by_source.insert(source, of_source + 1);
        Ok(source)
    }

    fn turn_away(&self, peer: SocketAddr, limit: &'static str) {
        self.metrics.count_limit(limit);
        tracing::debug!(%peer, limit, "connection turned away");
    }

    fn named(&self, ssh: &'static str, https: &'static str) -> &'static str {
        match self.protocol {
            Protocol::Ssh => ssh,
            Protocol::Jupyter => https,
        }
    }

    fn startups(&self) -> MutexGuard<'_, Startups> {
        self.startups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place at the door; dropping it frees the place.
pub struct Permit {
    startup: Option<Startup>,
    connection: Option<OwnedSemaphorePermit>,
    limits: Arc<Limits>,
}

impl Permit {
    /// The login is done: the connection no longer counts among those in login.
    pub fn admitted(&mut self) {
        self.startup = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(place) = self.connection.take() {
            self.limits.give_back(place);
        }
    }
}

struct Startup {
    limits: Arc<Limits>,
    /// `None` while a proxy has yet to say whose the connection is.
    source: Option<Source>,
}

impl Startup {
    fn count_for(&mut self, peer: IpAddr) -> Result<(), &'static str> {
        let limits = self.limits.clone();
        let bounds = limits.bounds();
        let source = limits.count_source(&mut limits.startups(), peer, &bounds)?;
        self.source = Some(source);
        Ok(())
    }
}

impl Drop for Startup {
    fn drop(&mut self) {
        let mut startups = self.limits.startups();
        startups.total = startups.total.saturating_sub(1);
        let Some(source) = self.source else {
            return;
        };
        if let Some(count) = startups.by_source.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                startups.by_source.remove(&source);
            }
        }
    }
}

/// Connections taken after the end of accepting, at most: as many as may have waited in the kernel.
const LAST_ONES_MAX: usize = 4096;

/// Accepts until `shutdown.closing`, and takes those who were connected by then; each connection gets a task of its own.
pub async fn serve<F, T>(listener: TcpListener, limits: Arc<Limits>, shutdown: Shutdown, connect: F)
where
    F: Fn(TcpStream, SocketAddr, Permit) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let connect = Arc::new(connect);
    let mut last_ones = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = accept(&listener, &limits),
                if last_ones < LAST_ONES_MAX && !shutdown.handed_over.is_cancelled() => accepted,
            () = shutdown.closing.cancelled() => return,
        };
        if shutdown.closing.is_cancelled() {
            last_ones += 1;
        }
        let (stream, peer, connection) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept failed; trying again");
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let startup = match limits.begin_startup(peer.ip(), roll) {
            Ok(startup) => startup,
            Err(limit) => {
                limits.turn_away(peer, limit);
                continue;
            }
        };
        let is_proxied = startup.source.is_none();
        let permit = Permit {
            startup: Some(startup),
            connection: Some(connection),
            limits: limits.clone(),
        };
        if is_proxied {
            let (limits, connect) = (limits.clone(), connect.clone());
            shutdown.connections.spawn(async move {
                let mut stream = stream;
                let named = name_client(&mut stream, peer, permit, &limits).await;
                if let Some((client, permit)) = named {
                    connect(stream, client, permit).await;
                }
            });
        } else {
            shutdown.connections.spawn(connect(stream, peer, permit));
        }
    }
}

/// Who is behind a proxy's connection, counted as themselves from here on.
async fn name_client(
    stream: &mut TcpStream,
    proxy: SocketAddr,
    mut permit: Permit,
    limits: &Limits,
) -> Option<(SocketAddr, Permit)> {
    let client = match proxy_protocol::read(stream).await {
        Ok(client) => canonical(client.unwrap_or(proxy)),
        Err(error) => {
            let refused = limits.named("ssh.proxy_protocol_from", "https.proxy_protocol_from");
            limits.metrics.count_limit(refused);
            tracing::warn!(%proxy, %error, "a proxy's connection was refused");
            return None;
        }
    };
    match permit.startup.as_mut()?.count_for(client.ip()) {
        Ok(()) => Some((client, permit)),
        Err(limit) => {
            limits.turn_away(client, limit);
            None
        }
    }
}

/// A number below 100 that nobody can foresee. Without random bytes nothing is refused by chance.
fn roll() -> u32 {
    let mut bytes = [0; 4];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u32::from_ne_bytes(bytes) % 100,
        Err(_) => 100,
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
        limits
            .metrics
            .count_limit(limits.named("ssh.max_connections", "https.max_connections"));
        tracing::warn!(protocol = %limits.protocol, "as many connections as max_connections allows; more will wait");
    }
    Ok((stream, canonical(peer), connection))
}

/// An IPv4 client on a dual-stack listener is shown and counted as IPv4.
fn canonical(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(
        startups_max: usize,
        per_source: usize,
        early_drop: Option<(usize, u32)>,
    ) -> Arc<Limits> {
        let bounds = Bounds {
            connections_max: 10,
            startups_max,
            startups_per_source_max: per_source,
            early_drop,
            proxies: vec!["198.51.100.0/24".parse().unwrap()],
        };
        Limits::new(Protocol::Ssh, bounds, Metrics::new())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn startups_are_bounded_in_all_and_by_source_and_come_back() {
        let limits = limits(3, 2, None);
        let begin = |peer: &str| limits.begin_startup(ip(peer), || 0);
        let held = [begin("192.0.2.1"), begin("192.0.2.1")];
        assert!(held.iter().all(Result::is_ok));
        let third = begin("192.0.2.1");
        assert_eq!(third.err(), Some("ssh.max_startups_per_source"));
        let other = begin("192.0.2.2");
        assert_eq!(begin("192.0.2.2").err(), Some("ssh.max_startups"));
        drop(held);
        drop(other);
        assert!(limits.startups().by_source.is_empty());
        assert_eq!(limits.startups().total, 0);
        assert!(begin("192.0.2.1").is_ok());
    }

    #[test]
    fn early_drops_begin_at_the_start_and_grow_to_all() {
        let limits = limits(1000, 1000, Some((500, 30)));
        let percents =
            [0, 499, 500, 750, 999, 1000].map(|startups| limits.bounds().drop_percent(startups));
        assert_eq!(percents, [0, 0, 30, 65, 99, 100]);
        limits.startups().total = 500;
        let dropped = limits.begin_startup(ip("192.0.2.1"), || 29);
        assert_eq!(dropped.err(), Some("ssh.early_drop"));
        assert!(limits.begin_startup(ip("192.0.2.1"), || 30).is_ok());
    }

    #[tokio::test]
    async fn figures_change_while_connections_are_open() {
        let limits = limits(1000, 1000, None);
        let free = || limits.connections.available_permits();
        let change = |connections_max| {
            let bounds = Bounds {
                connections_max,
                startups_max: 1,
                ..(*limits.bounds()).clone()
            };
            limits.change(bounds);
        };
        let take = || Permit {
            startup: None,
            connection: Some(limits.connections.clone().try_acquire_owned().unwrap()),
            limits: limits.clone(),
        };
        let mut held: Vec<_> = (0..6).map(|_| take()).collect();
        change(4);
        assert_eq!((free(), *limits.surplus.lock().unwrap()), (0, 2));
        held.truncate(3);
        assert_eq!((free(), *limits.surplus.lock().unwrap()), (1, 0));
        change(2);
        change(20);
        assert_eq!(free(), 17);
        drop(held);
        assert_eq!(free(), 20);
        let first = limits.begin_startup(ip("192.0.2.1"), || 0);
        let second = limits.begin_startup(ip("192.0.2.2"), || 0);
        assert_eq!(
            (first.is_ok(), second.err()),
            (true, Some("ssh.max_startups"))
        );
    }

    #[test]
    fn behind_a_proxy_each_client_counts_as_itself() {
        let limits = limits(10, 2, None);
        let begin = || limits.begin_startup(ip("198.51.100.1"), || 0).unwrap();
        let mut held: Vec<Startup> = (0..4).map(|_| begin()).collect();
        assert_eq!(held[0].count_for(ip("192.0.2.1")), Ok(()));
        assert_eq!(held[1].count_for(ip("192.0.2.1")), Ok(()));
        assert!(held[2].count_for(ip("192.0.2.1")).is_err());
        assert_eq!(held[3].count_for(ip("192.0.2.2")), Ok(()));
        assert_eq!(limits.startups().total, 4);
        drop(held);
        assert_eq!(limits.startups().total, 0);
        assert!(limits.startups().by_source.is_empty());
    }
}
