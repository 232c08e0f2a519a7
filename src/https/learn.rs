//! Who logged in: learned only from the proof, the cookie a person's own server sets at the end of the hub's OAuth.
//!
//! Code of any person runs under `/user/NAME/` and may set any cookie anywhere below this host, and any path can be asked
//! for by anybody. Hence exactly one place counts: the callback of NAME's own server, a cookie of exactly that name, with
//! a value. What remains possible is that NAME's own server vouches for a visitor as NAME, which harms only NAME.

use http::header::SET_COOKIE;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode;

use super::cookies::set_cookie_parts;

const COOKIE_PREFIX: &[u8] = b"jupyterhub-user-";
const MAX_NAME_LEN: usize = 255;

/// The callback of one person's server.
#[derive(Debug, PartialEq, Eq)]
pub struct Callback {
    user: String,
    /// A named server has a segment of its own.
    server: Option<String>,
}

impl Callback {
    /// `path` as the client wrote it: a name is decoded only after the path was taken apart.
    pub fn of(method: &Method, path: &str) -> Option<Self> {
        if method != Method::GET {
            return None;
        }
        let mut parts = path
            .strip_prefix("/user/")?
            .strip_suffix("/oauth_callback")?
            .split('/');
        let user = decode(parts.next()?.as_bytes())?;
        let server = match parts.next() {
            Some(server) => Some(decode(server.as_bytes())?),
            None => None,
        };
        parts.next().is_none().then_some(Self { user, server })
    }

    /// The proved name, if this answer proves it.
    pub fn proved(&self, status: StatusCode, headers: &HeaderMap) -> Option<&str> {
        if !(status.is_success() || status.is_redirection()) {
            return None;
        }
        let expected = match &self.server {
            Some(server) => format!("{}-{server}", self.user),
            None => self.user.clone(),
        };
        let proves = |line: &[u8]| {
            let (name, value) = set_cookie_parts(line);
            let name = name.strip_prefix(COOKIE_PREFIX).and_then(decode);
            name.is_some_and(|name| name == expected) && is_given(value)
        };
        let lines = headers.get_all(SET_COOKIE).iter();
        lines
            .map(|line| line.as_bytes())
            .any(proves)
            .then_some(&*self.user)
    }
}

/// Not an expiry: those carry an empty value.
fn is_given(value: &[u8]) -> bool {
    let value = value
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    !value.is_empty() && value != b"\"\""
}

/// A person's name: not empty, bounded, without separators and control characters.
fn decode(raw: &[u8]) -> Option<String> {
    let name = percent_decode(raw).decode_utf8().ok()?;
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME_LEN
        && !name.chars().any(|c| c == '/' || c.is_control());
    is_name.then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(path: &str, status: u16, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SET_COOKIE, line.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Callback::of(&Method::GET, path)?
            .proved(status, &headers)
            .map(str::to_owned)
    }

    #[test]
    fn the_callback_with_its_cookie_proves_the_name() {
        let alice = "jupyterhub-user-alice=\"2|1:0|x\"; Path=/user/alice/; HttpOnly";
        assert_eq!(
            learn("/user/alice/oauth_callback", 302, &["x=1", alice]).as_deref(),
            Some("alice")
        );
        assert_eq!(
            learn("/user/alice/oauth_callback", 200, &[alice]).as_deref(),
            Some("alice")
        );
        let mail = "jupyterhub-user-a%40b.example=v";
        assert_eq!(
            learn("/user/a@b.example/oauth_callback", 302, &[mail]).as_deref(),
            Some("a@b.example")
        );
        assert_eq!(
            learn("/user/a%40b.example/oauth_callback", 302, &[mail]).as_deref(),
            Some("a@b.example")
        );
        let named = "jupyterhub-user-alice-gpu=v";
        assert_eq!(
            learn("/user/alice/gpu/oauth_callback", 302, &[named]).as_deref(),
            Some("alice")
        );
    }

    #[test]
    fn nothing_else_proves_anything() {
        let alice = "jupyterhub-user-alice=v";
        for path in [
            "/user/mallory/oauth_callback",
            "/user/alice/files/oauth_callback/",
            "/user/alice/oauth_callback/x",
            "/user/alice/lab",
            "/user/mallory/alice/oauth_callback",
            "/user/a/b/c/oauth_callback",
            "/hub/user/alice/oauth_callback",
            "/user//oauth_callback",
            "/user/oauth_callback",
            "/%75ser/alice/oauth_callback",
            "/user/alice%2foauth_callback",
            "/user/x%2f..%2falice/oauth_callback",
        ] {
            assert_eq!(learn(path, 302, &[alice]), None, "{path}");
        }
        for cookie in [
            "jupyterhub-user-alice=",
            "jupyterhub-user-alice=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "jupyterhub-user-alice",
            "jupyterhub-user-bob=v",
            "jupyterhub-user-alice-oauth-state=v",
            "xjupyterhub-user-alice=v",
        ] {
            assert_eq!(
                learn("/user/alice/oauth_callback", 302, &[cookie]),
                None,
                "{cookie}"
            );
        }
        for status in [400, 403, 500, 503] {
            assert_eq!(learn("/user/alice/oauth_callback", status, &[alice]), None);
        }
        assert_eq!(
            Callback::of(&Method::POST, "/user/alice/oauth_callback"),
            None
        );
    }
}
