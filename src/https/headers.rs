//! Rewrites headers on their way in and out; whatever is not named here passes unchanged, in its order.
//!
//! `X-Scheme` is what tornado reads first: with it alone do a hub's cookies become `Secure` behind its own proxy.
//! `Host`, `Origin`, `Referer` and `Location` are left alone.

use std::net::IpAddr;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::cookies;

/// RFC 9110 7.6.1, and those in practice treated the same.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Rewrites a request's headers for an instance. `host` replaces whatever was there.
pub fn toward_instance(headers: &mut HeaderMap, host: &HeaderValue, peer: IpAddr) {
    strip_hop_by_hop(headers);
    // The gate answers 100 itself, as soon as the instance wants the body.
    headers.remove(header::EXPECT);
    let spoofed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_spoofable(name))
        .cloned()
        .collect();
    for name in spoofed {
        headers.remove(name);
    }
    cookies::strip_own_and_join(headers);
    headers.insert(header::HOST, host.clone());
    headers.insert("x-forwarded-host", host.clone());
    headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    headers.insert("x-scheme", HeaderValue::from_static("https"));
    if let Ok(peer) = HeaderValue::try_from(peer.to_canonical().to_string()) {
        headers.insert("x-forwarded-for", peer.clone());
        headers.insert("x-real-ip", peer);
    }
}

/// Rewrites an answer's headers for a person. `keep_logins`: see [`cookies::strip_set_cookies`].
pub fn toward_client(headers: &mut HeaderMap, keep_logins: bool) {
    strip_hop_by_hop(headers);
    // Code on a person's server must not send other people's browsers to another address.
    headers.remove(header::ALT_SVC);
    // Nor say for how long this name is for https alone, which is the gate's to say.
    headers.remove(header::STRICT_TRANSPORT_SECURITY);
    cookies::strip_set_cookies(headers, keep_logins);
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // `Connection: host` must not take away what the gate vouches for or what frames the body.
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH)
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
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
    name.contains('_') && (is("content-length") || is("transfer-encoding"))
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
        toward_instance(&mut headers, &host, IpAddr::from([192, 0, 2, 7]));
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
