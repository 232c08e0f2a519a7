//! Rewrites headers on their way in and out; whatever is not named here passes unchanged, in its order.
//!
//! `X-Scheme` is what tornado reads first: with it alone do a hub's cookies become `Secure` behind its own proxy.
//! `Host`, `Origin`, `Referer` and `Location` are left alone.

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::cookies;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const SCHEME: HeaderName = HeaderName::from_static("x-scheme");

/// Rewrites a request's headers for an instance. `host` replaces whatever was there, `peer` is its address.
pub fn toward_instance(headers: &mut HeaderMap, host: &HeaderValue, peer: Option<&HeaderValue>) {
    // The gate answers 100 itself, as soon as the instance wants the body.
    strip(headers, |name| {
        *name == header::EXPECT || is_spoofable(name)
    });
    cookies::strip_own_and_join(headers);
    headers.insert(header::HOST, host.clone());
    headers.insert(FORWARDED_HOST, host.clone());
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.insert(SCHEME, HeaderValue::from_static("https"));
    if let Some(peer) = peer {
        headers.insert(FORWARDED_FOR, peer.clone());
        headers.insert(REAL_IP, peer.clone());
    }
}

/// Rewrites an answer's headers for a person. `keep_logins`: see [`cookies::strip_set_cookies`].
pub fn toward_client(headers: &mut HeaderMap, keep_logins: bool) {
    // Code on a person's server must not send other people's browsers to another address, nor say for how long this name
    // is for https alone, which is the gate's to say.
    let is_ours =
        |name: &HeaderName| *name == header::ALT_SVC || *name == header::STRICT_TRANSPORT_SECURITY;
    strip(headers, is_ours);
    cookies::strip_set_cookies(headers, keep_logins);
}

/// Takes out what ends at this hop, and what else is not to pass.
fn strip(headers: &mut HeaderMap, is_refused: impl Fn(&HeaderName) -> bool) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // `Connection: host` must not take away what the gate vouches for or what frames the body.
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
        .collect();
    let is_doomed = |name: &&HeaderName| is_hop_by_hop(name) || is_refused(name);
    let named = headers.keys().filter(is_doomed).cloned();
    let doomed: Vec<HeaderName> = named.chain(listed).collect();
    for name in doomed {
        headers.remove(name);
    }
}

/// RFC 9110 7.6.1, and those in practice treated the same.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authorization"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What only a proxy may say, in any spelling that some gateway folds into it.
fn is_spoofable(name: &HeaderName) -> bool {
    let name = name.as_str();
    let starts = |prefix: &str| {
        name.len() >= prefix.len()
            && name
                .bytes()
                .zip(prefix.bytes())
                .all(|(got, want)| fold(got) == want)
    };
    let is = |whole: &str| name.len() == whole.len() && starts(whole);
    if starts("x-forwarded") || is("forwarded") || is("x-real-ip") || is("x-scheme") {
        return true;
    }
    name.as_bytes().contains(&b'_') && (is("content-length") || is("transfer-encoding"))
}

fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn sent(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = map(lines);
        let host = HeaderValue::from_static("pool:8443");
        let peer = HeaderValue::from_static("192.0.2.7");
        toward_instance(&mut headers, &host, Some(&peer));
        headers
    }

    #[test]
    fn what_only_a_proxy_may_say_is_replaced() {
        let headers = sent(&[
            ("host", "pool:8443"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded_proto", "http"),
            ("x-forwarded-prefix", "/evil"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x_real_ip", "6.6.6.6"),
            ("x-scheme", "http"),
            ("content_length", "5"),
            ("x-real-ipsum", "kept"),
            ("origin", "https://pool:8443"),
        ]);
        let mut seen: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        seen.sort();
        let expected = [
            "host=pool:8443",
            "origin=https://pool:8443",
            "x-forwarded-for=192.0.2.7",
            "x-forwarded-host=pool:8443",
            "x-forwarded-proto=https",
            "x-real-ip=192.0.2.7",
            "x-real-ipsum=kept",
            "x-scheme=https",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn hop_by_hop_and_listed_headers_end_here() {
        let headers = sent(&[
            ("connection", "close, X-Private, host, content-length"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("content-length", "3"),
            ("expect", "100-continue"),
            ("authorization", "token kept"),
        ]);
        for gone in [
            "connection",
            "x-private",
            "keep-alive",
            "te",
            "upgrade",
            "expect",
        ] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        assert_eq!(headers["content-length"], "3");
        assert_eq!(headers["authorization"], "token kept");
        assert_eq!(headers["host"], "pool:8443");
    }

    #[test]
    fn answers_lose_what_concerns_this_hop() {
        let mut headers = map(&[
            ("connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("alt-svc", "h3=\":443\""),
            ("set-cookie", "a=1"),
            ("set-cookie", "__Host-poolgate=forged"),
            ("location", "/user/alice/lab"),
        ]);
        toward_client(&mut headers, true);
        let mut seen: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        seen.sort_unstable();
        assert_eq!(seen, ["location", "set-cookie"]);
        assert_eq!(headers["set-cookie"], "a=1");
    }
}
