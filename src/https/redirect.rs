//! The listener without TLS: sends people to the one with it, and answers an authority's challenges.
//!
//! One request a connection, and never a body: nothing that could be read in two ways is looked at. The host is the
//! request's own, checked as the front door checks it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::front::Front;
use super::validate::validate;

const HEAD_MAX: usize = 16 * 1024;
/// Where an authority asks (RFC 8555 8.3).
const CHALLENGES: &str = "/.well-known/acme-challenge/";

impl Front {
    /// Serves one connection without TLS to its end, which is its first answer.
    pub async fn serve_redirect(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        ending: CancellationToken,
    ) {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.config.handshake_timeout)
            .max_header_size(HEAD_MAX)
            .keep_alive(false);
        let service = service_fn(|request: Request<Incoming>| {
            let answer = self.redirect(&request.into_parts().0);
            async move { Ok::<_, Infallible>(answer) }
        });
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        // The head has its own deadline; an answer of a few bytes needs no more time than that again.
        let limit = self.config.handshake_timeout.saturating_mul(2);
        let serving = ending.run_until_cancelled(tokio::time::timeout(limit, serving));
        if let Some(Ok(Err(failed))) = serving.await {
            tracing::debug!(%peer, error = %failed, "a connection without TLS ended");
        }
    }

    fn redirect(&self, head: &Parts) -> Response<Full<Bytes>> {
        let target = match validate(head) {
            Ok(target) => target,
            Err(invalid) => return answer(StatusCode::BAD_REQUEST, format!("{invalid}\n")),
        };
        if let Some(token) = target.path.strip_prefix(CHALLENGES) {
            return match self.certificates.challenges.text(token) {
                Some(text) => answer(StatusCode::OK, text),
                None => answer(StatusCode::NOT_FOUND, "not found\n".to_owned()),
            };
        }
        let location = self.location(head, &target.host);
        let mut response = answer(StatusCode::PERMANENT_REDIRECT, String::new());
        match location {
            Some(location) => drop(response.headers_mut().insert(LOCATION, location)),
            None => *response.status_mut() = StatusCode::BAD_REQUEST,
        }
        response
    }

    fn location(&self, head: &Parts, host: &HeaderValue) -> Option<HeaderValue> {
        let authority = host.to_str().ok()?.parse::<Authority>().ok()?;
        let name = authority.host();
        let path = head.uri.path_and_query()?.as_str();
        let location = match self.config.redirect.to_port {
            443 => format!("https://{name}{path}"),
            port => format!("https://{name}:{port}{path}"),
        };
        HeaderValue::try_from(location).ok()
    }
}

fn answer(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
