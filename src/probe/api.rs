//! One question to what answers HTTP on an instance, with a token: bounded in time by the caller, in size here.
//!
//! Straight to the instance and on a connection of its own: nothing of it passes the public side.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::config::secret::Secret;
use crate::net::client_tls::ClientTls;
use crate::net::exchange;

/// Why there is no answer. Says nothing of the token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the token cannot be read: {0}")]
    Token(String),
    #[error("the token lacks the scope {0}")]
    Scope(&'static str),
    #[error("it cannot be reached: {0}")]
    Connect(#[from] std::io::Error),
    #[error("it broke off: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it did not answer in time")]
    Slow,
    #[error("its answer is too long or was cut")]
    Long,
    #[error("its answer is of no known form")]
    Nonsense,
}

#[derive(Clone)]
pub(super) struct Api {
    address: String,
    port: u16,
    tls: Option<ClientTls>,
}

impl Api {
    /// `tls`: how this pool's hubs prove themselves; the token goes to nobody else.
    pub fn new(address: &str, port: u16, tls: Option<ClientTls>) -> Self {
        Self {
            address: address.to_owned(),
            port,
            tls,
        }
    }

    /// The body of a good answer.
    pub async fn ask(
        &self,
        token: &Secret,
        (method, path): (Method, &str),
        accept: &'static str,
        json: Option<Bytes>,
        limit: usize,
    ) -> Result<Bytes, Fault> {
        let mut request = Request::new(Full::new(json.unwrap_or_default()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Fault::Nonsense)?;
        let authority = format!("{}:{}", self.address, self.port);
        let authority = HeaderValue::try_from(authority).map_err(|_| Fault::Nonsense)?;
        let headers = request.headers_mut();
        headers.insert(HOST, authority);
        headers.insert(AUTHORIZATION, bearer(token)?);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("poolgate-probe"));

        let stream = TcpStream::connect((self.address.as_str(), self.port)).await?;
        match &self.tls {
            None => exchange(stream, request, limit).await,
            Some(tls) => exchange(tls.connect(&self.address, stream).await?, request, limit).await,
        }
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Bytes, Fault> {
    let read = async |answer: Response<_>| match answer.status().is_success() {
        true => exchange::whole(answer, limit)
            .await
            .map_err(|_| Fault::Long),
        false => Err(Fault::Status(answer.status())),
    };
    let answer = exchange::ask(stream, request, read).await??;
    Ok(answer.into_body())
}

/// A time as hubs and servers write it; what is no time is none.
pub(super) fn time<'a, D: Deserializer<'a>>(from: D) -> Result<Option<SystemTime>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let time = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    Ok(time.and_then(|time| SystemTime::try_from(time).ok()))
}

fn bearer(token: &Secret) -> Result<HeaderValue, Fault> {
    let line = [b"token ", token.expose()].concat();
    let mut value = HeaderValue::try_from(line)
        .map_err(|_| Fault::Token("it holds bytes that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
