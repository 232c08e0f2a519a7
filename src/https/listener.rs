//! One accepted connection: TLS, the protocol it chose, its deadlines, and its end.
//!
//! The protocol is the one agreed by ALPN, never guessed from the first bytes: guessing has no timer. Whoever accepts
//! holds the permit around [`Front::serve_connection`], which returns only when the connection's tunnels have ended too.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::Body;
use super::front::Front;
use super::instance_pool::keep_alive;
use super::pin::LastPin;
use super::stream::Guarded;
use super::traced;
use crate::net::current::Current;
use crate::net::server_tls::ALPN_H2;
use crate::net::server_tls::challenges::ACME_ALPN;
use crate::net::shutdown::parting;
use crate::pool::Protocol;

const MAX_HEAD: u32 = 64 * 1024;
const MAX_STREAMS: u32 = 128;
const PREFACE_LEN: usize = 24;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// For a stream and for the whole connection: enough for a fast upload over a long way, small against a flood.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// What the requests of one connection share.
pub struct Connection {
    /// Who answers: each request is answered by the front of its moment.
    front: Arc<Current<Front>>,
    pub peer: SocketAddr,
    /// The peer's address, as instances are told of it.
    pub peer_text: Option<HeaderValue>,
    pub last_pin: LastPin,
    /// The gate takes nothing new on it.
    pub closing: CancellationToken,
    /// A request on it had two lengths.
    pub has_two_lengths: Arc<AtomicBool>,
    pub tunnels: TaskTracker,
    /// Something was asked on it.
    asked: Notify,
    open: AtomicUsize,
    /// Open requests whose answer is held up by the client alone.
    held_up: AtomicUsize,
    /// Grows whenever a client takes a part of an answer.
    taken: AtomicUsize,
    idle_since: Mutex<Instant>,
}

/// A request whose answer or tunnel has not ended.
pub struct OpenRequest {
    connection: Arc<Connection>,
    is_held_up: bool,
}

impl OpenRequest {
    pub fn begin(connection: &Arc<Connection>) -> Self {
        connection.open.fetch_add(1, Ordering::Relaxed);
        Self {
            connection: connection.clone(),
            is_held_up: false,
        }
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// There is more of the answer than the client has asked for.
    pub fn hold_up(&mut self) {
        if !std::mem::replace(&mut self.is_held_up, true) {
            self.connection.held_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The client asks for more.
    pub fn go_on(&mut self) {
        self.connection.taken.fetch_add(1, Ordering::Relaxed);
        if std::mem::take(&mut self.is_held_up) {
            self.connection.held_up.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.go_on();
        let connection = &self.connection;
        *connection
            .idle_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
        connection.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    fn new(front: Arc<Current<Front>>, peer: SocketAddr, closing: CancellationToken) -> Self {
        Self {
            front,
            peer,
            peer_text: HeaderValue::try_from(peer.ip().to_canonical().to_string()).ok(),
            last_pin: LastPin::default(),
            closing,
            has_two_lengths: Arc::default(),
            tunnels: TaskTracker::new(),
            asked: Notify::new(),
            open: AtomicUsize::new(0),
            held_up: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
        }
    }

    /// Returns when for so long there was nothing on this connection but answers that the client does not take. Over
    /// HTTP/2 it can keep them waiting while the socket is well; one that lives in other streams is left alone.
    async fn held_up(&self, limit: Duration) {
        let mut taken = self.taken.load(Ordering::Relaxed);
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(limit / 4).await;
            let held_up = self.held_up.load(Ordering::Relaxed);
            let is_all = held_up > 0 && held_up == self.open.load(Ordering::Relaxed);
            let now_taken = self.taken.load(Ordering::Relaxed);
            if !is_all || now_taken != taken {
                (taken, since) = (now_taken, Instant::now());
            } else if since.elapsed() >= limit {
                return;
            }
        }
    }

    /// Returns when nothing was asked for so long.
    async fn idle(&self, limit: Duration) {
        loop {
            let since = *self
                .idle_since
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let is_open = self.open.load(Ordering::Relaxed) > 0;
            let until = if is_open {
                Instant::now() + limit
            } else {
                since + limit
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl Front {
    /// Serves one connection to its end. After `shutdown` what is being answered is finished and nothing new is taken, but
    /// for a first request; tunnels go on until either side closes, so the caller decides how long it waits.
    pub async fn serve_connection(
        current: Arc<Current<Self>>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: CancellationToken,
    ) {
        let front = current.get();
        front.serve(current, stream, peer, shutdown).await;
    }

    async fn serve(
        self: Arc<Self>,
        current: Arc<Current<Self>>,
        stream: TcpStream,
        peer: SocketAddr,
        shutdown: CancellationToken,
    ) {
        let _counted = self.metrics.connection(Protocol::Jupyter);
        if let Err(failed) = stream.set_nodelay(true).and_then(|()| keep_alive(&stream)) {
            tracing::debug!(%peer, error = %failed, "a connection ended before its handshake");
            return;
        }
        let handshake = TlsAcceptor::from(self.tls()).accept(stream);
        let tls = match tokio::time::timeout(self.config.handshake_timeout, handshake).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(failed)) => {
                self.metrics.count_handshake("none", "failed");
                return tracing::debug!(%peer, error = %failed, "a TLS handshake failed");
            }
            Err(_) => return self.metrics.count_limit("https.handshake_timeout"),
        };
        self.note_handshake(tls.get_ref().1);
        let protocol = tls.get_ref().1.alpn_protocol();
        // An authority has seen in the handshake what it came for.
        if protocol == Some(ACME_ALPN) {
            return;
        }
        let is_h2 = protocol == Some(ALPN_H2);
        let connection = Arc::new(Connection::new(current, peer, shutdown.clone()));
        let stream = Guarded::new(tls, self.config.stall_timeout);
        let ended = if is_h2 {
            let is_flood = Arc::new(AtomicBool::new(false));
            let stream = stream
                .expect_first(PREFACE_LEN, self.config.idle_timeout)
                .watch_frames(is_flood.clone());
            let ended = Box::pin(self.serve_h2(stream, &connection, shutdown)).await;
            if is_flood.load(Ordering::Relaxed) {
                self.metrics.count_limit("https.h2_frames");
            }
            ended
        } else {
            let stream = stream
                .expect_first(1, self.config.idle_timeout)
                .watch_framing(connection.has_two_lengths.clone());
            Box::pin(self.serve_h1(stream, &connection, shutdown)).await
        };
        if let Err(failed) = ended {
            tracing::debug!(%peer, error = %failed, "a connection ended");
        }
        connection.tunnels.close();
        connection.tunnels.wait().await;
    }

    fn note_handshake(&self, tls: &rustls::ServerConnection) {
        let version = match tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
            _ => "1.2",
        };
        let outcome = match tls.handshake_kind() {
            Some(rustls::HandshakeKind::Resumed) => "resumed",
            _ => "full",
        };
        self.metrics.count_handshake(version, outcome);
    }

    /// In a box, which a connection holds only while something is asked.
    fn answering(connection: Arc<Connection>, request: Request<Incoming>) -> Answering {
        connection.asked.notify_one();
        let front = connection.front.get();
        match traced::begin(&front.traces, connection.peer.ip(), &request) {
            None => Box::pin(async move { Ok(front.answer(&connection, request).await) }),
            Some(span) => Box::pin(async move {
                let answer = span.around(front.answer(&connection, request)).await;
                Ok(traced::follow(span, answer))
            }),
        }
    }

    async fn serve_h1(
        self: &Arc<Self>,
        stream: Guarded<tokio_rustls::server::TlsStream<TcpStream>>,
        connection: &Arc<Connection>,
        shutdown: CancellationToken,
    ) -> hyper::Result<()> {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.idle_timeout)
            .max_header_size(usize::try_from(MAX_HEAD).unwrap_or(usize::MAX));
        let service = service_fn(|request| Self::answering(connection.clone(), request));
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        let mut serving = Box::pin(serving.with_upgrades());
        tokio::select! {
            ended = &mut serving => return ended,
            () = parting(&shutdown, &connection.asked) => serving.as_mut().graceful_shutdown(),
        }
        serving.await
    }

    async fn serve_h2(
        self: &Arc<Self>,
        stream: Guarded<tokio_rustls::server::TlsStream<TcpStream>>,
        connection: &Arc<Connection>,
        shutdown: CancellationToken,
    ) -> hyper::Result<()> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .enable_connect_protocol();
        let service = service_fn(|request| Self::answering(connection.clone(), request));
        let mut serving = Box::pin(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            ended = &mut serving => return ended,
            () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
            () = connection.idle(self.config.idle_timeout) => serving.as_mut().graceful_shutdown(),
            () = connection.held_up(self.config.stall_timeout) => {
                self.metrics.count_limit("https.stall_timeout");
                return Ok(());
            }
        }
        // A client that does not react to the farewell is left after the time it had for everything else.
        let gone = async {
            loop {
                connection.idle(self.config.idle_timeout).await;
                if connection.open.load(Ordering::Relaxed) == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            ended = &mut serving => ended,
            () = gone => Ok(()),
            () = connection.held_up(self.config.stall_timeout) => {
                self.metrics.count_limit("https.stall_timeout");
                Ok(())
            }
        }
    }
}
