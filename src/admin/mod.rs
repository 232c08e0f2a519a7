//! The operators' side: answers over HTTP what the pools look like and takes orders, on a loopback address and on a socket file.
//!
//! It reads published snapshots, passes orders on, and knows neither the front doors nor the fleets. The socket is its owner's
//! and asks for nothing; at the address `access` wants a token or a session, and a browser lured here is turned away by its Host.

mod access;
mod caller;
mod cost;
mod dashboard;
mod explain;
mod headers;
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

use axum::extract::DefaultBodyLimit;
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

pub use access::{Access, NewToken, Role, TokensFault, new_token};
use caller::Link;
pub use cost::{AskCost, CostView};
use dashboard::Dashboard;
pub use explain::{HealthStory, ScalingStory, UserStory};
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
    /// Who may ask at the address.
    pub access: Arc<Access>,
}

impl AdminState {
    /// For a gate whose doors are open, none of whose pools is resized.
    pub fn new(pool: SharedPool, metrics: Metrics, audit: AuditLog) -> Self {
        Self {
            access: Arc::new(Access::closed(audit.clone(), metrics.clone())),
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
    router: Router,
    ending: CancellationToken,
}

impl AdminSide {
    /// Keeps what charts are drawn from and who has logged in, as two of `tasks`, until `ending`.
    pub fn begin(state: AdminState, tasks: &TaskTracker, ending: CancellationToken) -> Self {
        let access = state.access.clone();
        let dashboard = Dashboard::new(state.clone(), ending.clone());
        let router = routes::router(state.clone(), ending.clone())
            .merge(orders::router(state))
            .merge(access::login_router(access.clone()))
            .merge(dashboard::router(dashboard.clone()))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        // Whatever stands above is behind the guard, and out of reach unless the table of roles names it.
        let router = access::guard(router, access.clone());
        let router = headers::harden(host::guard(router, access.clone()));
        tasks.spawn(dashboard::record(dashboard));
        tasks.spawn(access.keep(ending.clone()));
        Self { router, ending }
    }

    /// Answers here until `until`, then ends open connections after their current answer.
    pub async fn serve_tcp(self, listener: TcpListener, until: CancellationToken) {
        serve(listener, self.router, until).await;
    }

    /// The same on the socket.
    pub async fn serve_socket(self, socket: AdminSocket) {
        serve(socket, self.router, self.ending).await;
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

    /// Who is at the other end, as far as the connection tells; `None` where it is gone already.
    fn link(stream: &Self::Stream) -> Option<Link>;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn link(stream: &TcpStream) -> Option<Link> {
        Some(Link::Tcp {
            peer: stream.peer_addr().ok()?,
            local: stream.local_addr().ok(),
            is_tls: false,
        })
    }
}

impl Accept for AdminSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.accept_one().await
    }

    fn link(stream: &UnixStream) -> Option<Link> {
        let uid = stream.peer_cred().ok().map(|account| account.uid());
        Some(Link::Socket { uid })
    }
}

/// A reason and a name; a notice is longer than that, and still far below.
const BODY_BYTES_MAX: usize = 16 * 1024;
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
                let Some(link) = A::link(&stream) else {
                    continue;
                };
                let router = router.clone().layer(Extension(link));
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
