//! Does a hub take logins? `GET /hub/health`, where only 200 means yes.
//!
//! A hub that hangs or errs while its port still answers is `no-logins`, not `down`: people who are already on it go on
//! working, because their notebooks are served past the hub.

use http::response::Parts;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::net::exchange;
use crate::pool::{Answer, Health};

/// Asks a connected server; the caller bounds the time. The body is not read.
pub(super) async fn ask<S>(stream: S, authority: &str) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match head(stream, authority).await.map(|answer| answer.status) {
        Ok(StatusCode::OK) => Answer::new(Health::Up, "/hub/health says 200"),
        Ok(status) => Answer::new(Health::NoLogins, format!("/hub/health says {status}")),
        // A port that is accepted and then closed or reset has nothing behind it.
        Err(error) => Answer::new(Health::Down, format!("no answer to /hub/health: {error}")),
    }
}

/// The head of the answer.
pub(super) async fn head<S>(stream: S, authority: &str) -> Result<Parts, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Request::new(Full::default());
    *request.uri_mut() = http::Uri::from_static("/hub/health");
    if let Ok(host) = header::HeaderValue::from_str(authority) {
        request.headers_mut().insert(header::HOST, host);
    }
    request.headers_mut().insert(
        header::USER_AGENT,
        header::HeaderValue::from_static("poolgate-probe"),
    );
    exchange::ask(stream, request, async |answer| answer.into_parts().0).await
}
