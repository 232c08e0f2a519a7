//! The operators' side: answers over HTTP what the pools look like, on a loopback address and on a socket file.
//!
//! It reads published snapshots, passes notices on, and knows neither the front doors nor the fleets. It asks for no password: the
//! socket is its owner's alone, the address is this machine's alone, and a browser lured here is turned away by its Host.

mod host;
mod idle;
mod notices;
mod problem;
mod readiness;
mod routes;
mod socket;

#[cfg(test)]
mod tests;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pool::InstanceId;
use crate::pool::idle::Idle;
use crate::shared_pool::SharedPool;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::metrics::Metrics;

pub use notices::{Given, Notice};
pub use readiness::Readiness;
pub use routes::Status;
pub use socket::{AdminSocket, bind_socket};

/// What the admin side may see.
#[derive(Clone)]
pub struct AdminState {
    pub pool: SharedPool,
    pub metrics: Metrics,
    pub audit: AuditLog,
    pub readiness: Readiness,
    pub ask_idle: AskIdle,
}

/// Finds out whether an instance is idle; `None` if there is no such instance.
pub type AskIdle =
    Arc<dyn Fn(InstanceId) -> Pin<Box<dyn Future<Output = Option<Idle>> + Send>> + Send + Sync>;

impl AdminState {
    /// For a gate whose doors are open.
    pub fn new(pool: SharedPool, metrics: Metrics, audit: AuditLog) -> Self {
        Self {
            pool,
            metrics,
            audit,
            readiness: Readiness::new(false),
            ask_idle: Arc::new(|_| Box::pin(std::future::ready(None))),
        }
    }
}

/// Answers on both listeners until `shutdown`, then ends open connections after their current answer.
pub async fn serve(
    state: AdminState,
    tcp: Option<TcpListener>,
    socket: Option<AdminSocket>,
    shutdown: CancellationToken,
) {
    let for_owner = notices::router(state.pool.clone());
    let router = routes::router(state);
    let tasks = TaskTracker::new();
    if let Some(listener) = tcp {
        let router = host::guard(router.clone(), listener.local_addr().ok());
        tasks.spawn(accept_all(
            listener,
            router,
            tasks.clone(),
            shutdown.clone(),
        ));
    }
    if let Some(socket) = socket {
        let router = router.merge(for_owner);
        tasks.spawn(accept_all(socket, router, tasks.clone(), shutdown));
    }
    tasks.close();
    tasks.wait().await;
}

/// Where connections come from.
trait Accept: Send + Sync + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Accept for AdminSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.accept_one().await
    }
}

/// Operators and their scrapers are few; more than this is a mistake somewhere.
const CONNECTIONS_MAX: usize = 64;
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept failed for want of descriptors, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept_all(
    listener: impl Accept,
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
                let answering = answer(stream, router.clone(), shutdown.clone());
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
