//! One HTTP request to a service elsewhere and its whole answer: TLS by the system's authorities or a file's, a time limit, a
//! bound on the body.
//!
//! Knows no token, follows no redirect and retries nothing: a request that failed on the way may have been carried out, and
//! only whoever decides can tell whether to ask again. A connection a request, as there are a few a minute. Tests dial
//! elsewhere by `Route`.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::web_tls;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WebFault {
    #[error("{0} names no host that can be asked")]
    Uri(String),
    #[error("cannot reach {0}: {1}")]
    Connect(String, io::Error),
    #[error("{0} does not answer as HTTP: {1}")]
    Http(String, hyper::Error),
    #[error("the answer of {0} ends early or is no HTTP: {1}")]
    Body(String, String),
    #[error("the answer of {0} is larger than {1} bytes")]
    TooLarge(String, usize),
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
    Hosts(TlsConnector),
    Elsewhere(Reroute),
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
        Ok(Self {
            route: Route::Hosts(web_tls::connector(ca_file)?),
            limits,
        })
    }

    /// To wherever `reroute` says, in plain HTTP.
    pub fn elsewhere(reroute: Reroute, limits: Limits) -> Self {
        Self {
            route: Route::Elsewhere(reroute),
            limits,
        }
    }

    /// # Errors
    /// There is no whole answer. The request may have been carried out all the same.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, WebFault> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let late = WebFault::Late(host.clone(), self.limits.time);
        let exchange = self.exchange(request, host);
        tokio::time::timeout(self.limits.time, exchange)
            .await
            .map_err(|_| late)?
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        host: String,
    ) -> Result<Response<Bytes>, WebFault> {
        let body_bytes_max = self.limits.body_bytes;
        let uri = request.uri();
        let is_tls = uri.scheme_str() == Some("https");
        if host.is_empty() {
            return Err(WebFault::Uri(uri.to_string()));
        }
        let no_connection = |error| WebFault::Connect(host.clone(), error);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = match &self.route {
            Route::Hosts(_) => TcpStream::connect((host.as_str(), port)).await,
            Route::Elsewhere(reroute) => TcpStream::connect(reroute(uri)).await,
        };
        let stream = stream.map_err(no_connection)?;
        match &self.route {
            Route::Hosts(tls) if is_tls => {
                let name = ServerName::try_from(host.clone());
                let name = name.map_err(|_| WebFault::Uri(host.clone()))?;
                let stream = tls.connect(name, stream).await.map_err(no_connection)?;
                ask(stream, request, host, body_bytes_max).await
            }
            _ => ask(stream, request, host, body_bytes_max).await,
        }
    }
}

async fn ask<S>(
    stream: S,
    request: Request<Bytes>,
    host: String,
    body_bytes_max: usize,
) -> Result<Response<Bytes>, WebFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error| WebFault::Http(host.clone(), error);
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(256 * 1024)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let exchange = async {
        let answer = sender.send_request(origin_form(request, &host)?).await;
        let (head, body) = answer.map_err(failed)?.into_parts();
        let whole = Limited::new(body, body_bytes_max).collect().await;
        let whole = whole.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
            Some(_) => WebFault::TooLarge(host.clone(), body_bytes_max),
            None => WebFault::Body(host.clone(), error.to_string()),
        })?;
        Ok(Response::from_parts(head, whole.to_bytes()))
    };
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => done,
        ended = connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(failed(error)),
        },
    }
}

/// The request as an origin server wants it: path alone, host in a header.
fn origin_form(request: Request<Bytes>, host: &str) -> Result<Request<Full<Bytes>>, WebFault> {
    let (mut head, body) = request.into_parts();
    let bad = || WebFault::Uri(host.to_owned());
    let authority = head.uri.authority().ok_or_else(bad)?;
    let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| bad())?;
    head.headers.insert(header::HOST, authority);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().map_err(|_| bad())?;
    Ok(Request::from_parts(head, Full::new(body)))
}
