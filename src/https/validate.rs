//! Refuses what the HTTP library lets through and an instance might read differently than the gate does.
//!
//! Everything here is about one reading of a request: one host, one body, one path. The answer is 400 and never counts
//! against an instance. Conflicting lengths are seen by `framing`, before the library drops one of them.

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, Version};
use hyper::ext::Protocol;
use memchr::{memchr, memmem};
use percent_encoding::percent_decode_str;

/// Why a request is refused; the text goes to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("the request names no host")]
    NoHost,
    #[error("the request names more than one host")]
    SeveralHosts,
    #[error("the host name is malformed")]
    MalformedHost,
    #[error("the target and the Host header name different hosts")]
    HostMismatch,
    #[error("this method is not served")]
    Method,
    #[error("CONNECT is served for WebSockets only")]
    Connect,
    #[error("the path has dot segments or empty ones")]
    Path,
    #[error("the request has both a Content-Length and a Transfer-Encoding")]
    TwoLengths,
}

/// What the rest of the gate may rely on.
#[derive(Debug)]
pub struct Target {
    /// Byte for byte as the client wrote it: the hub compares it with `Origin`.
    pub host: HeaderValue,
    /// Percent-decoded once, as the instance's proxy will; for comparing, never for forwarding.
    pub path: String,
    pub is_websocket: bool,
}

pub fn validate(head: &Parts) -> Result<Target, Invalid> {
    let is_websocket = is_websocket(head)?;
    if head.method == Method::TRACE {
        return Err(Invalid::Method);
    }
    Ok(Target {
        host: host(head)?,
        path: path(head)?,
        is_websocket,
    })
}

/// RFC 6455 4.1 over HTTP/1.1, RFC 8441 over HTTP/2. No other protocol is switched to.
fn is_websocket(head: &Parts) -> Result<bool, Invalid> {
    if head.method == Method::CONNECT {
        let is_websocket = head.version == Version::HTTP_2
            && head
                .extensions
                .get::<Protocol>()
                .is_some_and(|name| name.as_str() == "websocket");
        return if is_websocket {
            Ok(true)
        } else {
            Err(Invalid::Connect)
        };
    }
    let asks = |name, token: &str| {
        let values = head.headers.get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    };
    Ok(head.version == Version::HTTP_11
        && head.method == Method::GET
        && asks(UPGRADE, "websocket")
        && asks(CONNECTION, "upgrade"))
}

fn host(head: &Parts) -> Result<HeaderValue, Invalid> {
    let mut named = head.headers.get_all(HOST).iter();
    let header = named.next();
    if named.next().is_some() {
        return Err(Invalid::SeveralHosts);
    }
    let host = match (header, head.uri.authority()) {
        (Some(header), Some(authority)) => {
            if !header
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
            {
                return Err(Invalid::HostMismatch);
            }
            header.clone()
        }
        (Some(header), None) => header.clone(),
        // Only HTTP/2 may name the host in the target alone (RFC 9113 8.3.1).
        (None, Some(authority)) if head.version == Version::HTTP_2 => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| Invalid::MalformedHost)?
        }
        (None, _) => return Err(Invalid::NoHost),
    };
    // Stricter than a URI's: no commas, quotes or user names that one reader may split at and another not.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_well_formed = host.to_str().is_ok_and(|text| {
        text.bytes().all(is_plain)
            && text.parse::<Authority>().is_ok_and(|parsed| {
                let has_port = parsed.port_u16().is_some();
                !parsed.host().is_empty() && (has_port || parsed.host().len() == text.len())
            })
    });
    if is_well_formed {
        Ok(host)
    } else {
        Err(Invalid::MalformedHost)
    }
}

fn path(head: &Parts) -> Result<String, Invalid> {
    let raw = head.uri.path();
    if !raw.starts_with('/') {
        return Err(Invalid::Path);
    }
    let path = match memchr(b'%', raw.as_bytes()) {
        Some(_) => percent_decode_str(raw).decode_utf8_lossy().into_owned(),
        None => raw.to_owned(),
    };
    // Every path that is refused has one of these.
    if memmem::find(path.as_bytes(), b"//").is_none()
        && memmem::find(path.as_bytes(), b"/.").is_none()
    {
        return Ok(path);
    }
    // Empty segments are allowed only inside a person's own server, whose paths nobody but it reads.
    let own_from = if path.starts_with("/user/") {
        3
    } else {
        usize::MAX
    };
    let segments = || path.split('/').enumerate().skip(1);
    let last = segments().count();
    let is_refused = |(at, segment): (usize, &str)| {
        segment == "." || segment == ".." || (segment.is_empty() && at < last && at < own_from)
    };
    if segments().any(is_refused) {
        Err(Invalid::Path)
    } else {
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn check(request: http::request::Builder) -> Result<Target, Invalid> {
        validate(&request.body(()).unwrap().into_parts().0)
    }

    fn get(path: &str) -> Result<Target, Invalid> {
        check(Request::get(path).header("host", "pool.example:8443"))
    }

    #[test]
    fn one_host_is_needed_and_kept_byte_for_byte() {
        assert_eq!(get("/").unwrap().host, "pool.example:8443");
        assert_eq!(check(Request::get("/")).unwrap_err(), Invalid::NoHost);
        let twice = Request::get("/").header("host", "a").header("host", "a");
        assert_eq!(check(twice).unwrap_err(), Invalid::SeveralHosts);
        let h2 = Request::get("https://Pool.Example:8443/").version(Version::HTTP_2);
        assert_eq!(check(h2).unwrap().host, "Pool.Example:8443");
        for bad in ["", "a b", "a/b", "u@a", "a,b", "a:x", "a:", ":80", "[::1"] {
            let request = Request::get("/").header("host", bad);
            assert_eq!(check(request).unwrap_err(), Invalid::MalformedHost, "{bad}");
        }
        for good in ["a", "10.0.0.1:8000", "[::1]:8443", "xn--a.example"] {
            assert!(
                check(Request::get("/").header("host", good)).is_ok(),
                "{good}"
            );
        }
    }

    #[test]
    fn an_absolute_target_must_agree_with_host() {
        let agree = Request::get("https://POOL/x").header("host", "pool");
        assert_eq!(check(agree).unwrap().host, "pool");
        let differ = Request::get("https://evil/x").header("host", "pool");
        assert_eq!(check(differ).unwrap_err(), Invalid::HostMismatch);
        let differ = Request::get("https://evil/")
            .version(Version::HTTP_2)
            .header("host", "pool");
        assert_eq!(check(differ).unwrap_err(), Invalid::HostMismatch);
        assert_eq!(
            check(Request::get("https://pool/")).unwrap_err(),
            Invalid::NoHost
        );
    }

    #[test]
    fn trace_and_plain_connect_are_refused() {
        let trace = Request::builder()
            .method("TRACE")
            .uri("/")
            .header("host", "a");
        assert_eq!(check(trace).unwrap_err(), Invalid::Method);
        let connect = Request::builder()
            .method("CONNECT")
            .uri("a:1")
            .header("host", "a:1");
        assert_eq!(check(connect).unwrap_err(), Invalid::Connect);
        let other = Request::builder()
            .method("CONNECT")
            .uri("https://a/")
            .version(Version::HTTP_2)
            .extension(Protocol::from_static("connect-udp"));
        assert_eq!(check(other).unwrap_err(), Invalid::Connect);
    }

    #[test]
    fn websockets_are_seen_in_both_protocols() {
        let h1 = Request::get("/")
            .header("host", "a")
            .header("upgrade", "WebSocket");
        assert!(
            check(h1.header("connection", "keep-alive, Upgrade"))
                .unwrap()
                .is_websocket
        );
        let h2c = Request::get("/")
            .header("host", "a")
            .header("upgrade", "h2c");
        assert!(
            !check(h2c.header("connection", "Upgrade"))
                .unwrap()
                .is_websocket
        );
        let h2 = Request::builder()
            .method("CONNECT")
            .uri("https://a/ws")
            .version(Version::HTTP_2);
        let h2 = h2.extension(Protocol::from_static("websocket"));
        assert!(check(h2).unwrap().is_websocket);
    }

    #[test]
    fn dot_segments_and_empty_segments_are_refused() {
        for bad in [
            "/user/alice/../bob/",
            "/user/alice/%2e%2e/bob/",
            "/user/alice/.%2E/bob",
            "/user/alice/..%2fbob",
            "/./hub",
            "/hub/..",
            "//user/x",
            "/hub//login",
            "/user//alice",
            "/%2fuser/x",
        ] {
            assert_eq!(get(bad).unwrap_err(), Invalid::Path, "{bad}");
        }
        for good in [
            "/",
            "/hub/",
            "/user/alice/lab/tree/a..b",
            "/user/alice/...",
            "/a?x=/../y",
        ] {
            assert!(get(good).is_ok(), "{good}");
        }
        assert!(get("/user/alice/proxy/8050//assets").is_ok());
        assert_eq!(get("/%68ub/metrics").unwrap().path, "/hub/metrics");
    }

    #[test]
    fn a_star_target_is_refused() {
        let star = Request::builder()
            .method("OPTIONS")
            .uri("*")
            .header("host", "a");
        assert_eq!(check(star).unwrap_err(), Invalid::Path);
    }
}
