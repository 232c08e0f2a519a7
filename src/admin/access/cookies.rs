//! The session's cookie, that of a login that has begun, and whether a request that carries it was meant by its person (CSRF): the pure part.
//!
//! A page elsewhere can have a browser send a request here. SameSite=Strict keeps the cookie out of it; what browsers say
//! of a request's origin, and a text that only our pages know, are the second and third bolt.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

use super::sessions::LIFE;

/// Taken by browsers only with Secure, for this very host and all of its paths.
const SECURE_NAME: &str = "__Host-poolgate_admin";
const PLAIN_NAME: &str = "poolgate_admin";
const SECURE_LOGIN: &str = "__Host-poolgate_login";
const PLAIN_LOGIN: &str = "poolgate_login";
/// Cookies of one name that are looked at: a page on a neighbouring port can set some beside ours.
const CANDIDATES_MAX: usize = 4;

/// A cookie of ours for as long as a session lives.
pub fn session_cookie(value: &str, is_tls: bool) -> Option<HeaderValue> {
    set(
        session_name(is_tls),
        value,
        LIFE.as_secs(),
        "Strict",
        is_tls,
    )
}

/// Makes the browser forget the session's.
pub fn no_session_cookie(is_tls: bool) -> Option<HeaderValue> {
    set(session_name(is_tls), "", 0, "Strict", is_tls)
}

/// Binds a login at a provider to the browser that began it. Lax: it comes back from a page elsewhere.
pub fn login_cookie(value: &str, life: Duration, is_tls: bool) -> Option<HeaderValue> {
    set(login_name(is_tls), value, life.as_secs(), "Lax", is_tls)
}

fn set(name: &str, value: &str, age_s: u64, same_site: &str, is_tls: bool) -> Option<HeaderValue> {
    let secure = if is_tls { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path=/; Max-Age={age_s}; HttpOnly; SameSite={same_site}{secure}");
    HeaderValue::from_str(&text).ok()
}

/// The values of the session's cookie, if there are any.
pub fn session_values(headers: &HeaderMap, is_tls: bool) -> impl Iterator<Item = &str> {
    values(headers, session_name(is_tls))
}

/// The values of the cookie of a login, if there are any.
pub fn login_values(headers: &HeaderMap, is_tls: bool) -> impl Iterator<Item = &str> {
    values(headers, login_name(is_tls))
}

fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(move |(one, _)| *one == name)
        .map(|(_, value)| value)
        .take(CANDIDATES_MAX)
}

const fn session_name(is_tls: bool) -> &'static str {
    match is_tls {
        true => SECURE_NAME,
        false => PLAIN_NAME,
    }
}

const fn login_name(is_tls: bool) -> &'static str {
    match is_tls {
        true => SECURE_LOGIN,
        false => PLAIN_LOGIN,
    }
}

/// Whether a request may come of our own page, as far as the browser tells. Programs that are no browsers tell nothing, and
/// nobody can make them send a cookie.
pub fn is_from_here(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site");
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    match text("origin") {
        None => true,
        // What browsers say of a form on a page without referrer; then the word above must vouch for it.
        Some("null") => site.is_some(),
        Some(origin) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            let host = text("host");
            authority.is_some_and(|authority| {
                host.is_some_and(|host| authority.eq_ignore_ascii_case(host))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    #[test]
    fn the_cookie_is_out_of_reach_of_scripts_other_sites_and_plain_http() {
        let text = |value: Option<HeaderValue>| value.unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            text(session_cookie("abc", true)),
            "__Host-poolgate_admin=abc; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            text(session_cookie("abc", false)),
            "poolgate_admin=abc; Path=/; Max-Age=28800; HttpOnly; SameSite=Strict"
        );
        assert!(text(no_session_cookie(true)).contains("=; Path=/; Max-Age=0; "));
        assert!(session_cookie("a\nb", true).is_none());
    }

    #[test]
    fn only_the_cookie_of_its_own_name_counts() {
        let sent = headers(&[
            (
                "cookie",
                "a=b; poolgate_admin=one; xpoolgate_admin=no; poolgate_admin",
            ),
            (
                "cookie",
                "poolgate_admin=two;poolgate_admin=3;poolgate_admin=4; poolgate_admin=5",
            ),
        ]);
        let found: Vec<_> = session_values(&sent, false).collect();
        assert_eq!(found, ["one", "two", "3", "4"]);
        assert_eq!(session_values(&sent, true).count(), 0);
    }

    #[test]
    fn other_sites_and_neighbouring_ports_are_not_here() {
        let host = ("host", "localhost:9180");
        let is_here = |list: &[_]| is_from_here(&headers(&[&[host], list].concat()));
        assert!(is_here(&[]));
        assert!(is_here(&[("origin", "http://LocalHost:9180")]));
        assert!(is_here(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "null")
        ]));
        assert!(is_here(&[("sec-fetch-site", "none")]));
        for site in ["cross-site", "same-site", ""] {
            assert!(!is_here(&[("sec-fetch-site", site)]), "{site}");
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost",
            "http://localhost:9181",
            "http://localhost:9180.evil.example",
            "localhost:9180",
        ] {
            assert!(!is_here(&[("origin", origin)]), "{origin}");
            let vouched = [("origin", origin), ("sec-fetch-site", "same-origin")];
            assert_eq!(is_here(&vouched), origin == "null", "{origin}");
        }
    }
}
