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
use std::sync::Arc;
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
    Hosts { tls: TlsConnector, is_guarded: bool },
    Elsewhere(Reroute),
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
    /// There is no certificate authority, neither in the file nor in the system.
    pub fn new(limits: Limits, ca_file: Option<&Path>) -> Result<Self, String> {
        let tls = web_tls::connector(ca_file)?;
        let route = Route::Hosts {
            tls,
            is_guarded: false,
        };
        Ok(Self { route, limits })
    }

    /// The same, but never to an address that only this machine's own cloud answers on, whatever a name resolves to: who may
    /// write a URL must not thereby ask for the machine's credentials.
    ///
    /// # Errors
    /// As for `new`.
    pub fn guarded(limits: Limits, ca_file: Option<&Path>) -> Result<Self, String> {
        let tls = web_tls::connector(ca_file)?;
        let route = Route::Hosts {
            tls,
            is_guarded: true,
        };
        Ok(Self { route, limits })
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
        let addresses = self.addresses(uri, host, is_tls).await?;
        let stream = TcpStream::connect(&*addresses).await;
        let stream = stream.map_err(no_connection)?;
        match &self.route {
            Route::Hosts { tls, .. } if is_tls => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| WebFault::Address)?;
                let stream = tls.connect(name, stream).await.map_err(no_connection)?;
                Ok(Dialled::Tls(Box::new(stream)))
            }
            _ => Ok(Dialled::Plain(stream)),
        }
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
