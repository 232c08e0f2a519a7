//! Idle HTTP/1 connections to instances, a few each.
//!
//! Its own, so that the gate decides what is sent a second time and can forget an instance at once. The proxy in front of
//! a hub closes idle connections after 5 s; they are used for 4 s here, which leaves the race to none.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};

use super::body::Upload;
use super::stream::Guarded;
use super::traced;
use crate::net::client_tls::ClientTls;
use crate::pool::{Instance, InstanceId, Protocol};
use crate::telemetry::metrics::Metrics;

const IDLE_LIMIT: Duration = Duration::from_secs(4);
const IDLE_PER_INSTANCE: usize = 128;
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

pub struct InstancePool {
    idle: Mutex<Table>,
    connect_timeout: Duration,
    stall_timeout: Duration,
    /// By pool; those that are not in it are spoken to without TLS.
    tls: BTreeMap<String, ClientTls>,
    metrics: Metrics,
}

/// By the runtime a connection's task is of, and where it leads.
type Table = HashMap<(Option<Id>, InstanceId), Vec<Idle>>;

struct Idle {
    sender: SendRequest<Upload>,
    instance: Arc<Instance>,
    since: Instant,
}

/// A connection in use; dropped without [`Lease::give_back`] it is closed.
pub struct Lease {
    pub sender: SendRequest<Upload>,
    instance: Arc<Instance>,
    /// Where its task runs: asking from there wakes no other thread.
    home: Option<Id>,
    pool: Option<Arc<InstancePool>>,
}

impl InstancePool {
    pub fn new(
        connect_timeout: Duration,
        stall_timeout: Duration,
        tls: BTreeMap<String, ClientTls>,
        metrics: Metrics,
    ) -> Self {
        Self {
            idle: Mutex::default(),
            connect_timeout,
            stall_timeout,
            tls,
            metrics,
        }
    }

    /// Whether connections are made as these settings ask for.
    pub fn fits(
        &self,
        (connect_timeout, stall_timeout): (Duration, Duration),
        tls: &BTreeMap<String, ClientTls>,
    ) -> bool {
        (self.connect_timeout, self.stall_timeout) == (connect_timeout, stall_timeout)
            && self.tls == *tls
    }

    /// An idle connection to this very machine, if there is a fresh one.
    pub fn take_idle(self: &Arc<Self>, instance: &Arc<Instance>) -> Option<Lease> {
        let home = here();
        let mut table = self.table();
        let idle = table.get_mut(&(home, instance.id.clone()))?;
        let now = Instant::now();
        // The last one given back is the least likely to be closed by the other side in this moment.
        let is_usable = |entry: &Idle| is_usable(entry, instance, now) && entry.sender.is_ready();
        let at = idle.iter().rposition(is_usable)?;
        let sender = idle.swap_remove(at).sender;
        Some(Lease {
            sender,
            instance: instance.clone(),
            home,
            pool: Some(self.clone()),
        })
    }

    /// A new connection, which will be kept for others.
    pub async fn dial(self: &Arc<Self>, instance: &Arc<Instance>) -> io::Result<Lease> {
        let mut lease = self.dial_alone(instance).await?;
        lease.pool = Some(self.clone());
        Ok(lease)
    }

    /// A new connection for one exchange only.
    pub async fn dial_alone(&self, instance: &Arc<Instance>) -> io::Result<Lease> {
        let Some(port) = instance.jupyter_port else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the instance runs no hub",
            ));
        };
        let address = instance.address.as_str();
        let began = Instant::now();
        let span = traced::connects(instance, port);
        let connect = async {
            let stream = TcpStream::connect((address, port)).await?;
            stream.set_nodelay(true)?;
            keep_alive(&stream)?;
            match self.tls.get(&*instance.id.pool) {
                Some(tls) => self.speak(tls.connect(address, stream).await?).await,
                None => self.speak(stream).await,
            }
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer to connect");
        let connected = tokio::time::timeout(self.connect_timeout, connect).await;
        let connected = connected.unwrap_or_else(|_| Err(late()));
        let sender = connected.inspect_err(|error| span.fail("connection", error))?;
        self.metrics
            .time_connect(Protocol::Jupyter, began.elapsed());
        Ok(Lease {
            sender,
            instance: instance.clone(),
            home: here(),
            pool: None,
        })
    }

    async fn speak<S>(&self, stream: S) -> io::Result<SendRequest<Upload>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(Guarded::new(stream, self.stall_timeout));
        let (sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(failed) = connection.with_upgrades().await {
                tracing::debug!(error = %failed, "a connection to an instance ended");
            }
        });
        Ok(sender)
    }

    /// Closes connections nobody has used in time, and those to machines that are gone.
    pub fn sweep(&self) {
        let mut table = self.table();
        table.retain(|_, idle| {
            idle.retain(|entry| !entry.sender.is_closed() && entry.since.elapsed() < IDLE_LIMIT);
            !idle.is_empty()
        });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The exchange has ended well: another may use the connection.
    pub fn give_back(self) {
        let Some(pool) = self.pool else { return };
        if self.sender.is_closed() {
            return;
        }
        let mut table = pool.table();
        let idle = table
            .entry((self.home, self.instance.id.clone()))
            .or_default();
        if idle.len() < IDLE_PER_INSTANCE {
            let since = Instant::now();
            idle.push(Idle {
                sender: self.sender,
                instance: self.instance,
                since,
            });
        }
    }
}

fn here() -> Option<Id> {
    Handle::try_current().ok().map(|runtime| runtime.id())
}

/// So that a machine that is gone without a word is noticed on a quiet tunnel.
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let probes = socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE);
    socket2::SockRef::from(stream).set_tcp_keepalive(&probes)
}

fn is_usable(entry: &Idle, instance: &Arc<Instance>, now: Instant) -> bool {
    !entry.sender.is_closed()
        && now.saturating_duration_since(entry.since) < IDLE_LIMIT
        && (Arc::ptr_eq(&entry.instance, instance) || *entry.instance == **instance)
}
