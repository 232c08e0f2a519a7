//! Accepts for the operators' side, on its address and its socket: few connections, fewer of one source, TLS first where the
//! address has it. Each request learns over which link it came.
//!
//! An address that others can reach is never answered without TLS, whatever the config says at that moment of its change.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::Link;
use super::socket::AdminSocket;
use super::tls::{AdminTls, Greeting};
use crate::net::shutdown::parting;
use crate::net::source::Source;

/// Operators and their scrapers are few; more than this is a mistake somewhere.
const CONNECTIONS_MAX: usize = 256;
/// A browser opens six, and one more for each page that is watched. This machine is not bounded: a proxy brings everybody.
const CONNECTIONS_PER_SOURCE_MAX: usize = 32;
/// For a TLS handshake, and then for the head of each request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept failed for want of descriptors, trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers here until `until`, then ends open connections after their current answer.
pub(super) async fn serve<A: Accept>(listener: A, answerer: Answerer) {
    let tasks = TaskTracker::new();
    accept_all(listener, answerer, tasks.clone()).await;
    tasks.close();
    tasks.wait().await;
}

/// What connections are answered by, and for how long.
#[derive(Clone)]
pub(super) struct Answerer {
    pub router: Router,
    pub tls: AdminTls,
    pub until: CancellationToken,
}

/// Where connections come from.
pub(super) trait Accept: Send + Sync + 'static {
    type Stream: Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Whose connections are counted together; `None` where they are not counted.
    fn source(stream: &Self::Stream) -> Option<Source>;

    fn serve(stream: Self::Stream, answerer: Answerer) -> impl Future<Output = ()> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }

    fn source(stream: &TcpStream) -> Option<Source> {
        let ip = stream.peer_addr().ok()?.ip();
        (!is_this_machine(ip)).then(|| Source::of(ip))
    }

    async fn serve(stream: TcpStream, answerer: Answerer) {
        let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else {
            return;
        };
        let link = |is_tls| Link::Tcp {
            peer,
            local: Some(local),
            is_tls,
        };
        let tls = answerer.tls.get();
        let Some(tls) = tls.as_ref() else {
            if is_this_machine(local.ip()) {
                answerer.answer(stream, link(false)).await;
            }
            return;
        };
        match tokio::time::timeout(HEADER_TIMEOUT, tls.greet(stream)).await {
            Ok(Ok(Greeting::Tls(stream))) => answerer.answer(stream, link(true)).await,
            Ok(Ok(Greeting::Plain(stream))) => answerer.refuse_plain(stream, link(false)).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, %peer, "a TLS handshake on the admin side failed");
            }
            Err(_) => tracing::debug!(%peer, "a TLS handshake on the admin side took too long"),
        }
    }
}

impl Accept for AdminSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<UnixStream> {
        self.accept_one().await
    }

    fn source(_: &UnixStream) -> Option<Source> {
        None
    }

    async fn serve(stream: UnixStream, answerer: Answerer) {
        let uid = stream.peer_cred().ok().map(|account| account.uid());
        answerer.answer(stream, Link::Socket { uid }).await;
    }
}

fn is_this_machine(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

async fn accept_all<A: Accept>(listener: A, answerer: Answerer, tasks: TaskTracker) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let sources = Sources::default();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let Some((accepted, permit)) = answerer.until.run_until_cancelled(next).await else {
            return;
        };
        match accepted {
            Ok(stream) => {
                let Some(counted) = sources.count(A::source(&stream)) else {
                    continue;
                };
                let serving = A::serve(stream, answerer.clone());
                tasks.spawn(async move {
                    serving.await;
                    drop((permit, counted));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin side cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Answerer {
    async fn answer<S>(self, stream: S, link: Link)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let asked = Notify::new();
        let router = TowerToHyperService::new(self.router.layer(Extension(link)));
        let service = service_fn(|request| {
            asked.notify_one();
            router.call(request)
        });
        let mut builder = http1::Builder::new();
        let builder = builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = parting(&self.until, &asked) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "an admin connection ended badly");
        }
    }

    /// Says what to write in place of `http://`: nothing else is answered without TLS, and nothing of the request is looked at.
    async fn refuse_plain(mut self, stream: TcpStream, link: Link) {
        self.router = Router::new().fallback(async || {
            let text = "this address speaks https: write https:// at the beginning of the URL\n";
            let close = [(header::CONNECTION, "close")];
            (StatusCode::BAD_REQUEST, close, text)
        });
        self.answer(stream, link).await;
    }
}

/// How many connections each source has open.
#[derive(Clone, Default)]
struct Sources(Arc<Mutex<HashMap<Source, usize>>>);

/// One of a source's connections; dropping it forgets it.
struct Counted {
    source: Option<Source>,
    all: Sources,
}

impl Sources {
    /// `None` where the source has too many already.
    fn count(&self, source: Option<Source>) -> Option<Counted> {
        if let Some(source) = source {
            let mut open = self.open();
            let count = open.entry(source).or_default();
            if *count >= CONNECTIONS_PER_SOURCE_MAX {
                return None;
            }
            *count += 1;
        }
        let all = self.clone();
        Some(Counted { source, all })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some(source) = self.source else {
            return;
        };
        let mut open = self.all.open();
        let left = open.get(&source).map_or(0, |count| count.saturating_sub(1));
        match left {
            0 => drop(open.remove(&source)),
            left => drop(open.insert(source, left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_connections_and_its_neighbours_theirs() {
        let sources = Sources::default();
        let one = || Some(Source::of("192.0.2.1".parse().unwrap()));
        let open: Vec<_> = (0..CONNECTIONS_PER_SOURCE_MAX)
            .map(|_| sources.count(one()).unwrap())
            .collect();
        assert!(sources.count(one()).is_none());
        let other = Some(Source::of("192.0.2.2".parse().unwrap()));
        assert!(sources.count(other).is_some());
        assert!(sources.count(None).is_some());
        drop(open);
        assert!(sources.open().is_empty());
        assert!(sources.count(one()).is_some());
    }
}
