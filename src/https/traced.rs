//! What a trace tells of a request: as the browser asked and was answered, and as the instance was.
//!
//! A request's span ends with the last byte of its answer, as that is what a person waits for; a WebSocket is a trace of its own,
//! linked to the request that opened it. Of an address the path is told and never the query, which may let somebody in.

use std::net::IpAddr;

use http::{Method, Request, Response, StatusCode, Version, header};
use hyper::body::Frame;

use super::body::{Body, BodyError, Upload};
use super::forward::{Answered, Failed};
use super::own;
use crate::pool::{Instance, InstanceId};
use crate::telemetry::traces::{self, Span, Traces, works};

/// `None` where no traces are on.
pub fn begin<B>(traces: &Traces, peer: IpAddr, request: &Request<B>) -> Option<Span> {
    let span = traces.begin_request(peer, request.headers())?;
    if span.is_kept() {
        let path = request.uri().path();
        let (method, route) = (method(request.method()), route(path));
        let named = if method == OTHER { "HTTP" } else { method };
        span.rename(format!("{named} {route}"));
        span.tell(works::METHOD, &method);
        span.tell(works::ROUTE, &route);
        span.tell(works::URL_SCHEME, &"https");
        span.tell(works::URL_PATH, &path);
        span.tell(works::CLIENT_ADDRESS, &peer.to_canonical());
        span.tell(works::PROTOCOL_VERSION, &version(request.version()));
        if let Some(host) = host(request) {
            span.tell(works::SERVER_ADDRESS, &host);
        }
    }
    Some(span)
}

/// The answer, whose end is the span's. Whose answer it is stands in its extensions.
pub fn follow(span: Span, response: Response<Body>) -> Response<Body> {
    if !span.is_kept() {
        return response;
    }
    if let Some(id) = response.extensions().get::<InstanceId>() {
        on(&span, id);
    }
    let status = response.status();
    span.count(works::STATUS_CODE, status.as_u16().into());
    if status.is_server_error() {
        span.fail(status.as_str(), &reason(status));
    }
    let followed = Followed { span, bytes: 0 };
    response.map(|body| Body::Traced(Box::new(body), Box::new(followed)))
}

/// An answer on its way to a browser.
pub struct Followed {
    span: Span,
    bytes: u64,
}

impl Followed {
    pub fn count<T>(&mut self, frame: &Option<Result<Frame<T>, BodyError>>)
    where
        T: AsRef<[u8]>,
    {
        match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.as_ref().len());
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                self.bytes = self.bytes.saturating_add(bytes);
            }
            Some(Err(error)) => self.span.fail("body", error),
            None => {}
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.span.count(works::BODY_SIZE, self.bytes);
    }
}

/// A request to an instance.
pub struct Asked {
    span: Span,
    is_answered: bool,
}

impl Asked {
    /// The instance hears whose request this is a part of.
    pub fn begin(instance: &Instance, request: &mut Request<Upload>) -> Self {
        let span = traces::child(&works::INSTANCE_REQUEST);
        span.continue_in(request.headers_mut());
        if span.is_kept() {
            let method = method(request.method());
            let named = if method == OTHER { "HTTP" } else { method };
            span.rename(named.to_owned());
            span.tell(works::METHOD, &method);
            on(&span, &instance.id);
            span.tell(works::SERVER_ADDRESS, &instance.address);
            span.count(
                works::SERVER_PORT,
                instance.jupyter_port.unwrap_or(0).into(),
            );
        }
        Self {
            span,
            is_answered: false,
        }
    }

    pub async fn around<F: Future>(&self, asking: F) -> F::Output {
        self.span.around(asking).await
    }

    pub fn end(mut self, sent: &Result<Answered, Failed>) {
        self.is_answered = true;
        let span = &self.span;
        match sent {
            _ if !span.is_kept() => {}
            Ok((response, _)) => {
                let status = response.status();
                span.count(works::STATUS_CODE, status.as_u16().into());
                if status.is_client_error() || status.is_server_error() {
                    span.fail(status.as_str(), &reason(status));
                }
            }
            Err(Failed::Connect { cause, .. }) => span.fail("connection", cause),
            Err(Failed::Client(cause)) => span.fail("client", cause),
            Err(Failed::Instance(cause)) => span.fail("instance", cause),
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_answered {
            self.span
                .fail("cancelled", &"nobody waits for its answer any longer");
        }
    }
}

/// A new connection to an instance's hub.
pub fn connects(instance: &Instance, port: u16) -> Span {
    let span = traces::child(&works::CONNECT);
    if span.is_kept() {
        on(&span, &instance.id);
        span.tell(works::PROTOCOL_NAME, &"http");
        span.tell(works::SERVER_ADDRESS, &instance.address);
        span.count(works::SERVER_PORT, port.into());
    }
    span
}

/// A tunnel that begins with the request at work, and outlives it.
pub fn tunnel(traces: &Traces, instance: &InstanceId) -> Span {
    let span = traces.follow(&works::WEBSOCKET);
    on(&span, instance);
    span
}

pub fn tunnel_ended(span: &Span, inward: u64, outward: u64) {
    span.count(works::BYTES_IN, inward);
    span.count(works::BYTES_OUT, outward);
}

fn on(span: &Span, id: &InstanceId) {
    span.tell(works::POOL, &id.pool);
    span.tell(works::INSTANCE, &id.name);
}

const OTHER: &str = "_OTHER";

/// Of a bounded number: a client may make up methods of its own.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => OTHER,
    }
}

/// Paths of one kind under one name: their number has no bound.
fn route(path: &str) -> &'static str {
    if own::is_own(path) {
        return "/.poolgate/*";
    }
    let mut parts = path.trim_start_matches('/').splitn(4, '/');
    match (parts.next().unwrap_or_default(), parts.next(), parts.next()) {
        ("", None, _) => "/",
        ("hub", Some("login"), None) => "/hub/login",
        ("hub", Some("logout"), None) => "/hub/logout",
        ("hub", Some("home"), None) => "/hub/home",
        ("hub", Some("spawn"), _) => "/hub/spawn",
        ("hub", Some("api"), _) => "/hub/api/*",
        ("hub", ..) => "/hub/*",
        ("user", Some(_), Some("api")) => "/user/{user}/api/*",
        ("user", Some(_), Some("static")) => "/user/{user}/static/*",
        ("user", Some(_), _) => "/user/{user}/*",
        ("services", ..) => "/services/*",
        _ => "/*",
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// Without its port.
fn host<B>(request: &Request<B>) -> Option<String> {
    let written = || request.headers().get(header::HOST)?.to_str().ok();
    let host = match request.uri().host() {
        Some(host) => host,
        None => written()?,
    };
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    Some(bare.to_owned())
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("no known status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_a_few_routes_however_many_paths() {
        for (path, named) in [
            ("/", "/"),
            ("", "/"),
            ("/hub/login", "/hub/login"),
            ("/hub/login/", "/hub/*"),
            ("/hub/spawn/alice", "/hub/spawn"),
            ("/hub/api/users/alice", "/hub/api/*"),
            ("/user/alice/api/kernels/1/channels", "/user/{user}/api/*"),
            ("/user/alice", "/user/{user}/*"),
            ("/user/alice/lab/tree/secret.ipynb", "/user/{user}/*"),
            ("/services/announce/x", "/services/*"),
            ("/wp-login.php", "/*"),
            ("//user/alice", "/user/{user}/*"),
        ] {
            assert_eq!(route(path), named, "{path}");
        }
        assert_eq!(method(&Method::from_bytes(b"BREW").unwrap()), OTHER);
    }

    #[test]
    fn a_host_is_told_without_its_port() {
        let of = |uri: &str, written: &str| {
            let request = Request::builder().uri(uri).header(header::HOST, written);
            host(&request.body(()).unwrap()).unwrap()
        };
        assert_eq!(of("/", "pool.example:8443"), "pool.example");
        assert_eq!(of("/", "[::1]:8443"), "[::1]");
        assert_eq!(of("/", "[::1]"), "[::1]");
        assert_eq!(of("https://other.example/", "x"), "other.example");
    }
}
