//! Turns away requests that name another host than this machine.
//!
//! A web page may point its own name at 127.0.0.1 and have the visitor's browser read the answers (DNS rebinding). Such
//! a request carries the page's name in Host. The socket needs no such check: browsers cannot open it. Over TLS a name that the
//! certificate is for is ours too.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header, uri::Authority};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::access::Access;
use super::caller::Link;
use super::problem::Problem;
use super::tls::AdminTls;

/// Answers only requests to a loopback name, to the address that was dialled, or to a name of `admin.hosts` or the certificate.
pub(super) fn guard(router: Router, access: Arc<Access>, tls: AdminTls) -> Router {
    router.layer(from_fn_with_state((access, tls), check))
}

type Names = State<(Arc<Access>, AdminTls)>;

async fn check(State((access, tls)): Names, request: Request, next: Next) -> Response {
    let (dialled, is_tls) = match request.extensions().get::<Link>() {
        Some(Link::Tcp { local, is_tls, .. }) => (*local, *is_tls),
        _ => return next.run(request).await,
    };
    let is_named = |name: &str| access.is_host(name) || is_tls && tls.is_for(name);
    let is_ours = |host: &str| is_ours(host, dialled, is_named);
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let ours = host.is_some_and(is_ours) && hosts.next().is_none();
    // An absolute request target would win over Host.
    let target = request.uri().authority();
    if ours && target.is_none_or(|target| is_ours(target.as_str())) {
        return next.run(request).await;
    }
    let problem = Problem {
        status: StatusCode::MISDIRECTED_REQUEST,
        detail: "this address answers only to localhost, its own IP address and the names of its certificate: use one of them in the URL, or write the name of the URL in admin.hosts".to_owned(),
    };
    problem.into_response()
}

fn is_ours(host: &str, dialled: Option<SocketAddr>, is_named: impl Fn(&str) -> bool) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || dialled.is_some_and(|dialled| dialled.ip() == ip),
        Err(_) => name.eq_ignore_ascii_case("localhost") || is_named(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_ours() {
        let dialled = Some("127.0.0.1:9180".parse().unwrap());
        let is_named = |name: &str| name.eq_ignore_ascii_case("admin.pool.example");
        let is_ours = |host: &str| is_ours(host, dialled, is_named);
        for host in [
            "localhost",
            "LocalHost:9180",
            "127.0.0.1:9180",
            "[::1]:9180",
            "127.9.9.9",
            "Admin.pool.example:9180",
        ] {
            assert!(is_ours(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9180",
            "10.0.0.4",
            "localhost.evil.example",
            "pool.example",
            "x.admin.pool.example",
            "",
            "a b",
        ] {
            assert!(!is_ours(host), "{host}");
        }
        let dialled = Some("10.0.0.4:9180".parse().unwrap());
        assert!(super::is_ours("10.0.0.4:80", dialled, is_named));
    }
}
