//! The operators' side: answers over HTTP what the pools look like, on a loopback address and on a socket file.
//!
//! It reads published snapshots, passes orders on, and knows neither the front doors nor the fleets. It asks for no password: the
//! socket, where alone orders are taken, is its owner's; the address is this machine's; and a browser lured here is turned away
//! by its Host.

mod caller;
mod cost;
mod dashboard;
mod explain;
mod host;
mod idle;
mod moves;
mod named;
mod notices;
mod orders;
mod problem;
mod readiness;
mod reload;
mod routes;
mod scale;
mod socket;
mod story;
mod verbs;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::diff::Written;
use crate::net::current::Current;
use crate::shared_pool::{AskIdle, SharedPool};
use crate::telemetry::audit::AuditLog;
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;

use caller::Caller;
pub use cost::{AskCost, CostView};
use dashboard::Dashboard;
pub use explain::UserStory;
pub use moves::{MoveOrder, Moved};
pub use notices::{Given, Notice};
pub use readiness::Readiness;
pub use reload::{AskReload, ConfigState, RefusedReload, Reloaded};
pub use routes::Status;
pub use scale::{AskScale, ScaleAnswer, ScaleRequest, ScaleWish};
pub use socket::{AdminSocket, bind_socket, inherit_socket};
pub use story::RUN_HEADER;
pub use verbs::{CordonOrder, Done, DrainOrder, EvictOrder, KeepOrder, UncordonOrder};

/// What the admin side may see.
#[derive(Clone)]
pub struct AdminState {
    pub pool: SharedPool,
    pub metrics: Metrics,
    pub audit: AuditLog,
    pub readiness: Readiness,
    pub events: Events,
    pub ask_idle: AskIdle,
    pub ask_scale: AskScale,
    pub ask_cost: AskCost,
    /// Whose clocks the times of a pool's people are, by pool; UTC where one is not named.
    pub zones: Arc<Current<BTreeMap<String, TimeZone>>>,
    /// Where what the charts are drawn from outlives the process.
    pub history_file: Option<PathBuf>,
    pub config: Arc<Current<ConfigState>>,
    pub ask_reload: AskReload,
    pub started: Timestamp,
}

impl AdminState {
    /// For a gate whose doors are open, none of whose pools is resized.
    pub fn new(pool: SharedPool, metrics: Metrics, audit: AuditLog) -> Self {
        Self {
            pool,
            metrics,
            events: Events::new(audit.clone()),
            audit,
            readiness: Readiness::default(),
            ask_idle: Arc::new(|_| Box::pin(std::future::ready(None))),
            ask_scale: scale::none_resized(),
            ask_cost: cost::none_asked(),
            zones: Current::new(Arc::default()),
            history_file: None,
            config: Current::new(Arc::new(ConfigState::loaded(
                &Written::default(),
                SystemTime::now(),
            ))),
            ask_reload: reload::nothing_to_reload(),
            started: Timestamp::now(),
        }
    }
}

/// The operators' side at work: what it answers is made once, wherever it is asked.
#[derive(Clone)]
pub struct AdminSide {
    /// What only looks.
    router: Router,
    orders: Router,
    ending: CancellationToken,
}

impl AdminSide {
    /// Keeps what charts are drawn from, as one of `tasks`, until `ending`.
    pub fn begin(state: AdminState, tasks: &TaskTracker, ending: CancellationToken) -> Self {
        let orders = orders::router(state.clone());
        let dashboard = Dashboard::new(state.clone(), ending.clone());
        let router = routes::router(state, ending.clone());
        let router = router.merge(dashboard::router(dashboard.clone()));
        tasks.spawn(dashboard::record(dashboard));
        Self {
            router,
            orders,
            ending,
        }
    }

    /// Answers here until `until`, then ends open connections after their current answer.
    pub async fn serve_tcp(self, listener: TcpListener, until: CancellationToken) {
        let router = host::guard(self.router, listener.local_addr().ok());
        serve(listener, router, until).await;
    }

    /// The same on the socket, where orders are taken too.
    pub async fn serve_socket(self, socket: AdminSocket) {
        serve(socket, self.router.merge(self.orders), self.ending).await;
    }
}

/// Answers on both until `shutdown`.
#[cfg(test)]
pub async fn serve_both(
    state: AdminState,
    tcp: Option<TcpListener>,
    socket: Option<AdminSocket>,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let side = AdminSide::begin(state, &tasks, shutdown.clone());
    if let Some(tcp) = tcp {
        tasks.spawn(side.clone().serve_tcp(tcp, shutdown));
    }
    if let Some(socket) = socket {
        tasks.spawn(side.serve_socket(socket));
    }
    tasks.close();
    tasks.wait().await;
}

async fn serve<A: Accept>(listener: A, router: Router, until: CancellationToken) {
    let tasks = TaskTracker::new();
    accept_all(listener, router, tasks.clone(), until).await;
    tasks.close();
    tasks.wait().await;
}

/// Where connections come from.
trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Who is at the other end.
    fn caller(stream: &Self::Stream) -> Caller;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn caller(_: &TcpStream) -> Caller {
        Caller::default()
    }
}

impl Accept for AdminSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.accept_one().await
    }

    fn caller(stream: &UnixStream) -> Caller {
        let uid = stream.peer_cred().ok().map(|account| account.uid());
        Caller { uid }
    }
}

/// Operators and their scrapers are few; more than this is a mistake somewhere.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept failed for want of descriptors, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept_all<A: Accept>(
    listener: A,
    router: Router,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let Some((accepted, permit)) = shutdown.run_until_cancelled(next).await else {
            return;
        };
        match accepted {
            Ok(stream) => {
                let router = router.clone().layer(Extension(A::caller(&stream)));
                let answering = answer(stream, router, shutdown.clone());
                tasks.spawn(async move {
                    answering.await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin side cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    shutdown: CancellationToken,
) {
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    let builder = builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended badly");
    }
}
