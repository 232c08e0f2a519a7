//! One HTTP request to a service elsewhere and its whole answer: TLS by the system's authorities or a file's, a time limit, a
//! bound on the body. All that the gate asks of the web goes through here; libraries have small carriers over it.
//!
//! Knows no token and asks no proxy, follows no redirect and retries nothing: a request that failed on the way may have been
//! carried out, and only whoever decides can tell whether to ask again. A connection a request, as there are a few a minute: one
//! that was kept could be closed by the other side just as a request goes out, and nobody could say whether it arrived.

mod own_cloud;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::exchange::{self, BodyFault};
use super::web_tls;

/// Why there is no answer. Never names more of an address than its host: the rest may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebFault {
    #[error("the address is not http:// or https:// with a host")]
    Address,
    #[error(
        "{0} has no address that may be asked: link-local ones and those of a cloud's metadata may not"
    )]
    Forbidden(String),
    #[error("cannot reach {0}: {1}")]
    Connect(String, io::Error),
    #[error("cannot ask {0} by https: {1}")]
    Authorities(String, String),
    #[error("{0} does not answer as HTTP: {1}")]
    Http(String, hyper::Error),
    #[error("the answer of {0} is of no use: {1}")]
    Body(String, BodyFault),
    #[error("{0} has not answered within {1:?}")]
    Late(String, Duration),
}

/// Where requests go, in place of the host that they name: for tests, and in plain HTTP.
pub type Reroute = Arc<dyn Fn(&Uri) -> SocketAddr + Send + Sync>;

/// Cheap to clone.
#[derive(Clone)]
pub struct WebClient {
    route: Route,
    limits: Limits,
}

/// What an exchange may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    pub body_bytes: usize,
}

#[derive(Clone)]
enum Route {
    Hosts { trust: Trust, is_guarded: bool },
    Elsewhere(Reroute),
}

/// By which authorities others prove themselves. Those of the system are read once somebody is asked by https: plain HTTP must not
/// fail for the want of them, and a system that has them installed later needs no new start.
#[derive(Clone)]
struct Trust {
    loaded: Arc<OnceLock<TlsConnector>>,
    load: fn() -> Result<TlsConnector, String>,
}

impl Trust {
    /// # Errors
    /// The file holds no authority.
    fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let trust = Self {
            loaded: Arc::default(),
            load: || web_tls::connector(None),
        };
        if let Some(file) = ca_file {
            let connector = web_tls::connector(Some(file))?;
            trust.loaded.get_or_init(|| connector);
        }
        Ok(trust)
    }

    /// Blocking where they are not read yet.
    fn read(&self) -> Result<TlsConnector, String> {
        if let Some(connector) = self.loaded.get() {
            return Ok(connector.clone());
        }
        let connector = (self.load)()?;
        Ok(self.loaded.get_or_init(|| connector).clone())
    }

    async fn connector(&self) -> Result<TlsConnector, String> {
        if let Some(connector) = self.loaded.get() {
            return Ok(connector.clone());
        }
        let trust = self.clone();
        let reading = tokio::task::spawn_blocking(move || trust.read());
        reading.await.map_err(|error| error.to_string())?
    }
}

enum Dialled {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bare, also of an IPv6 address.
fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    host.trim_matches(['[', ']']).to_owned()
}

impl std::fmt::Debug for WebClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebClient")
    }
}

impl WebClient {
    /// To the hosts that requests name. `ca_file`: authorities in place of the system's.
    ///
    /// # Errors
    /// There is no certificate authority in the file.
    pub fn new(limits: Limits, ca_file: Option<&Path>) -> Result<Self, String> {
        Self::to_hosts(limits, ca_file, false)
    }

    /// The same, but never to an address that only this machine's own cloud answers on, whatever a name resolves to: who may
    /// write a URL must not thereby ask for the machine's credentials.
    ///
    /// # Errors
    /// As for `new`.
    pub fn guarded(limits: Limits, ca_file: Option<&Path>) -> Result<Self, String> {
        Self::to_hosts(limits, ca_file, true)
    }

    fn to_hosts(limits: Limits, ca_file: Option<&Path>, is_guarded: bool) -> Result<Self, String> {
        let trust = Trust::new(ca_file)?;
        let route = Route::Hosts { trust, is_guarded };
        Ok(Self { route, limits })
    }

    /// Reads the authorities at once where this address asks for them, so that who knows it beforehand hears of their absence
    /// before anybody needs them. Blocking.
    ///
    /// # Errors
    /// The address is https, and there is no certificate authority in the system.
    pub fn prepare_for(&self, uri: &Uri) -> Result<(), String> {
        match &self.route {
            Route::Hosts { trust, .. } if uri.scheme_str() == Some("https") => {
                trust.read().map(drop)
            }
            _ => Ok(()),
        }
    }

    /// To wherever `reroute` says, in plain HTTP.
    pub fn elsewhere(reroute: Reroute, limits: Limits) -> Self {
        Self {
            route: Route::Elsewhere(reroute),
            limits,
        }
    }

    /// Adds `Host`, and `User-Agent` where there is none.
    ///
    /// # Errors
    /// There is no whole answer. The request may have been carried out all the same.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WebFault> {
        let host = host_of(request.uri());
        let late = || WebFault::Late(host.clone(), self.limits.time);
        tokio::time::timeout(self.limits.time, self.dial_and_ask(request, &host))
            .await
            .map_err(|_| late())?
    }

    /// Connects, has the other side prove itself where it speaks TLS, and asks nothing.
    ///
    /// # Errors
    /// It cannot be reached, or is somebody else.
    pub async fn reach(&self, uri: &Uri) -> Result<(), WebFault> {
        let host = host_of(uri);
        let late = || WebFault::Late(host.clone(), self.limits.time);
        tokio::time::timeout(self.limits.time, self.dial(uri, &host))
            .await
            .map_err(|_| late())?
            .map(drop)
    }

    async fn dial_and_ask(
        &self,
        request: Request<Bytes>,
        host: &str,
    ) -> Result<Response<Bytes>, WebFault> {
        match self.dial(request.uri(), host).await? {
            Dialled::Plain(stream) => self.ask(stream, request, host).await,
            Dialled::Tls(stream) => self.ask(*stream, request, host).await,
        }
    }

    /// `host`: bare, also of an IPv6 address.
    async fn dial(&self, uri: &Uri, host: &str) -> Result<Dialled, WebFault> {
        let is_tls = match uri.scheme_str() {
            _ if host.is_empty() => return Err(WebFault::Address),
            Some("https") => true,
            Some("http") => false,
            _ => return Err(WebFault::Address),
        };
        let no_connection = |error| WebFault::Connect(host.to_owned(), error);
        let tls = match &self.route {
            Route::Hosts { trust, .. } if is_tls => Some(trust.connector().await),
            Route::Hosts { .. } | Route::Elsewhere(_) => None,
        };
        let tls = tls.transpose();
        let tls = tls.map_err(|why| WebFault::Authorities(host.to_owned(), why))?;
        let addresses = self.addresses(uri, host, is_tls).await?;
        let stream = TcpStream::connect(&*addresses).await;
        let stream = stream.map_err(no_connection)?;
        let Some(tls) = tls else {
            return Ok(Dialled::Plain(stream));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| WebFault::Address)?;
        let stream = tls.connect(name, stream).await.map_err(no_connection)?;
        Ok(Dialled::Tls(Box::new(stream)))
    }

    /// Those that may be asked, which are some.
    async fn addresses(
        &self,
        uri: &Uri,
        host: &str,
        is_tls: bool,
    ) -> Result<Vec<SocketAddr>, WebFault> {
        let is_guarded = match &self.route {
            Route::Elsewhere(reroute) => return Ok(vec![reroute(uri)]),
            Route::Hosts { is_guarded, .. } => *is_guarded,
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let found = lookup_host((host, port)).await;
        let found = found.map_err(|error| WebFault::Connect(host.to_owned(), error))?;
        let may_be_asked =
            |address: &SocketAddr| !is_guarded || !own_cloud::may_answer(address.ip());
        let allowed: Vec<_> = found.filter(may_be_asked).collect();
        match allowed.is_empty() {
            true => Err(WebFault::Forbidden(host.to_owned())),
            false => Ok(allowed),
        }
    }

    async fn ask<S>(
        &self,
        stream: S,
        request: Request<Bytes>,
        host: &str,
    ) -> Result<Response<Bytes>, WebFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let read = async |answer| exchange::whole(answer, self.limits.body_bytes).await;
        let answer = exchange::ask(stream, origin_form(request)?, read).await;
        let answer = answer.map_err(|error| WebFault::Http(host.to_owned(), error))?;
        answer.map_err(|fault| WebFault::Body(host.to_owned(), fault))
    }
}

/// The request as an origin server wants it: path alone, host in a header.
fn origin_form(request: Request<Bytes>) -> Result<Request<Full<Bytes>>, WebFault> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().ok_or(WebFault::Address)?.as_str();
    // A name and a password are nothing that `Host` may hold (RFC 9110 7.2).
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let authority = HeaderValue::from_str(authority).map_err(|_| WebFault::Address)?;
    head.headers.insert(header::HOST, authority);
    let agent = head.headers.entry(header::USER_AGENT);
    agent.or_insert(HeaderValue::from_static("poolgate"));
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().map_err(|_| WebFault::Address)?;
    Ok(Request::from_parts(head, Full::new(body)))
}

#[cfg(test)]
mod tests;
