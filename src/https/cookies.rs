//! Cookies, leniently read and never written anew: the gate's own are taken out, everything else passes byte for byte.
//!
//! Browsers over HTTP/2 send a cookie header in crumbs, which tornado does not join: they are joined here with "; "
//! (RFC 9113 8.2.3).

use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use memchr::memchr_iter;

/// The hub's own login cookie; a hub that cannot read it clears it.
pub const HUB_LOGIN: &str = "jupyterhub-hub-login";
/// How the names of all cookies of the gate's own begin.
const OWN_PREFIX: &[u8] = b"__Host-poolgate";

/// Values of the cookie of this name, over all `Cookie` headers, in order.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| pairs(value.as_bytes()))
        .filter_map(move |pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// What an instance may see: one `Cookie` header, without the gate's own cookies.
pub fn strip_own_and_join(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    let Some(first) = lines.next() else { return };
    if lines.next().is_none() && !pairs(first.as_bytes()).any(is_own) {
        return;
    }
    let lines = headers.get_all(COOKIE).iter();
    let mut joined = Vec::with_capacity(lines.map(|line| line.len().saturating_add(2)).sum());
    for line in headers.get_all(COOKIE) {
        for pair in pairs(line.as_bytes()).filter(|pair| !pair.is_empty() && !is_own(pair)) {
            if !joined.is_empty() {
                joined.extend_from_slice(b"; ");
            }
            joined.extend_from_slice(pair);
        }
    }
    headers.remove(COOKIE);
    if !joined.is_empty()
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(joined))
    {
        headers.insert(COOKIE, value);
    }
}

/// Takes out cookies of these names, and adds one.
pub fn replace(headers: &mut HeaderMap, names: &[&str], with: Option<(&str, &str)>) {
    let is_kept = |pair: &&[u8]| {
        let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        !pair.is_empty() && !names.iter().any(|name| name.as_bytes() == key)
    };
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let kept = lines.flat_map(pairs).filter(is_kept).map(<[u8]>::to_vec);
    let added = with.map(|(name, value)| format!("{name}={value}").into_bytes());
    let all: Vec<Vec<u8>> = kept.chain(added).collect();
    headers.remove(COOKIE);
    if !all.is_empty()
        && let Ok(value) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
    {
        headers.insert(COOKIE, value);
    }
}

/// Takes out `Set-Cookie` lines an instance must not send: any cookie of the gate's own, and everything a hub and people's
/// servers know a browser by where `keep_logins` is false (the instance is not the one the browser is pinned to, and would
/// log it out of the right one, or spoil the form it has open there).
pub fn strip_set_cookies(headers: &mut HeaderMap, keep_logins: bool) {
    let is_refused = |value: &HeaderValue| {
        let (name, _) = set_cookie_parts(value.as_bytes());
        let is_own_like = is_own(name)
            // A nameless cookie is sent back as its bare value, which may look like another cookie's line.
            || (name.is_empty() && contains_own(value.as_bytes()));
        let is_login_like = name == b"_xsrf" || name.starts_with(b"jupyterhub-");
        is_own_like || (!keep_logins && is_login_like)
    };
    if !headers.get_all(SET_COOKIE).iter().any(is_refused) {
        return;
    }
    let kept: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter(|value| !is_refused(value))
        .cloned()
        .collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// The value an answer gives a cookie in the end: not an expiry.
pub fn given<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut lines = headers.get_all(SET_COOKIE).iter().rev();
    let value = lines.find_map(|line| {
        let (key, rest) = set_cookie_parts(line.as_bytes());
        let value = rest.split(|byte| *byte == b';').next()?.trim_ascii();
        (key == name.as_bytes()).then_some(value)
    })?;
    let value = std::str::from_utf8(value).ok()?;
    (!value.is_empty() && value != "\"\"").then_some(value)
}

/// Name, and the rest after `=`, of a `Set-Cookie` line; an empty name if there is no `=`.
pub fn set_cookie_parts(line: &[u8]) -> (&[u8], &[u8]) {
    let end = line
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(line.len());
    let pair = line.get(..end).unwrap_or_default();
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (
            pair.get(..at).unwrap_or_default().trim_ascii(),
            line.get(at.saturating_add(1)..).unwrap_or_default(),
        ),
        None => (b"", line),
    }
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(b';', line).chain([line.len()]);
    let pair = move |start: &mut usize, end: usize| {
        let pair = line.get(*start..end).unwrap_or_default();
        *start = end.saturating_add(1);
        Some(pair.trim_ascii())
    };
    ends.scan(0, pair)
}

fn is_own(pair: &[u8]) -> bool {
    pair.get(..OWN_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
}

fn contains_own(line: &[u8]) -> bool {
    line.windows(OWN_PREFIX.len())
        .any(|part| part.eq_ignore_ascii_case(OWN_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, line.parse().unwrap());
        }
        headers
    }

    fn stripped(lines: &[&str]) -> Vec<String> {
        let mut headers = cookies(lines);
        strip_own_and_join(&mut headers);
        headers
            .get_all(COOKIE)
            .iter()
            .map(|v| v.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn crumbs_are_joined_and_the_pin_is_taken_out() {
        assert_eq!(
            stripped(&["a=1", "b=2; c=\"x y\"", "d"]),
            ["a=1; b=2; c=\"x y\"; d"]
        );
        assert_eq!(stripped(&["a=1; __Host-poolgate=zzz; b=2"]), ["a=1; b=2"]);
        assert_eq!(stripped(&["__Host-poolgate=zzz"]), Vec::<String>::new());
        assert_eq!(stripped(&["a=1", "__Host-poolgate=x", "b=2"]), ["a=1; b=2"]);
        assert_eq!(
            stripped(&["odd=1;;  weird"]),
            ["odd=1;;  weird"],
            "untouched without need"
        );
        let all = "__Host-poolgate-wait=w; a=1; __Host-poolgate-seen=s";
        assert_eq!(stripped(&[all]), ["a=1"]);
        assert_eq!(stripped(&["x__Host-poolgate=1"]), ["x__Host-poolgate=1"]);
    }

    #[test]
    fn cookies_are_replaced_and_all_others_stay() {
        let mut headers = cookies(&["_xsrf=1; a=_xsrf=2; _xsrf=3", "b; hub=x"]);
        replace(&mut headers, &["_xsrf", "hub"], Some(("_xsrf", "new")));
        assert_eq!(headers["cookie"], "a=_xsrf=2; b; _xsrf=new");
        replace(&mut headers, &["a", "b", "_xsrf"], None);
        assert!(!headers.contains_key("cookie"));
    }

    #[test]
    fn the_last_value_given_counts_and_an_expiry_is_none() {
        let mut headers = HeaderMap::new();
        for line in [
            "a=1; Path=/",
            "b=2",
            "a=\"x|y\"; Path=/",
            "b=; Max-Age=0",
            "c=\"\"",
        ] {
            headers.append(SET_COOKIE, line.parse().unwrap());
        }
        assert_eq!(given(&headers, "a"), Some("\"x|y\""));
        for name in ["b", "c", "d"] {
            assert_eq!(given(&headers, name), None, "{name}");
        }
    }

    #[test]
    fn values_are_found_by_exact_name() {
        let headers = cookies(&["xa=0; a=1; a=2", "a=x=y"]);
        let found: Vec<&[u8]> = values(&headers, "a").collect();
        assert_eq!(found, [&b"1"[..], b"2", b"x=y"]);
    }

    #[test]
    fn set_cookies_that_would_forge_a_pin_are_dropped() {
        let mut headers = HeaderMap::new();
        for line in [
            "a=1; Path=/",
            "__Host-poolgate=forged; Path=/; Secure",
            " __host-POOLGATE =forged",
            "=__Host-poolgate=forged",
            "__Host-poolgate",
            "__Host-poolgate=",
            "__Host-poolgate-wait=forged; Path=/; Secure",
            "jupyterhub-hub-login=; expires=Thu, 01 Jan 1970",
            "jupyterhub-session-id=x; Path=/",
            "_xsrf=x; Path=/hub/",
        ] {
            headers.append(SET_COOKIE, line.parse().unwrap());
        }
        strip_set_cookies(&mut headers, true);
        let kept: Vec<&[u8]> = headers
            .get_all(SET_COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        assert_eq!(kept.len(), 4, "{kept:?}");
        strip_set_cookies(&mut headers, false);
        let lines = headers.get_all(SET_COOKIE).iter();
        let kept: Vec<&[u8]> = lines.map(HeaderValue::as_bytes).collect();
        assert_eq!(kept, [&b"a=1; Path=/"[..]]);
    }
}
