//! A hub's login form as a browser sends it: the name in it, its token, and the same form with another token.
//!
//! Only `application/x-www-form-urlencoded`, and only where each of the two fields is there once: a form that could be
//! read in two ways is not read at all. Every other byte stays as it was; passwords are not looked at.

use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

/// A form has a name, a password, a token and perhaps a second factor; more is not looked into.
pub const MAX_LEN: usize = 4 * 1024;
const MAX_NAME_LEN: usize = 255;

pub struct LoginForm {
    body: Bytes,
    /// As the hub will know the person.
    pub user: String,
    /// As the page of the hub gave it.
    pub token: String,
    token_at: Range<usize>,
}

impl LoginForm {
    /// Whether the body that follows may be one.
    pub fn is_announced_by(headers: &HeaderMap) -> bool {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/x-www-form-urlencoded"))
            && !headers.contains_key(CONTENT_ENCODING)
    }

    pub fn read(body: Bytes) -> Option<Self> {
        let user = hub_name(&decoded(body.get(value_of(&body, "username")?)?)?)?;
        let token_at = value_of(&body, "_xsrf")?;
        let token = decoded(body.get(token_at.clone())?)?;
        let is_whole = !token.is_empty();
        is_whole.then_some(Self {
            body,
            user,
            token,
            token_at,
        })
    }

    pub fn with_token(&self, token: &str) -> Option<Bytes> {
        let (before, after) = (
            self.body.get(..self.token_at.start)?,
            self.body.get(self.token_at.end..)?,
        );
        let token = utf8_percent_encode(token, NON_ALPHANUMERIC).to_string();
        Some([before, token.as_bytes(), after].concat().into())
    }
}

/// The name a hub makes of what was typed (`Authenticator.normalize_username`): without white space around it, in lower
/// case. A hub that maps names further is not known here, and its people are not found.
fn hub_name(typed: &str) -> Option<String> {
    let name = typed.trim().to_lowercase();
    let is_name = !name.is_empty()
        && name.len() <= MAX_NAME_LEN
        && !name.chars().any(|c| c == '/' || c.is_control());
    is_name.then_some(name)
}

/// Where the value of the only field of this name is.
fn value_of(form: &[u8], name: &str) -> Option<Range<usize>> {
    let mut found = None;
    let mut start = 0_usize;
    for pair in form.split(|byte| *byte == b'&') {
        let end = start.saturating_add(pair.len());
        let key_len = pair.iter().position(|byte| *byte == b'=');
        let key = pair.get(..key_len.unwrap_or(pair.len()))?;
        if decoded(key).as_deref() == Some(name) {
            let value = start.saturating_add(key_len?).saturating_add(1);
            if found.replace(value..end).is_some() {
                return None;
            }
        }
        start = end.saturating_add(1);
    }
    found
}

fn decoded(raw: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = raw
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    let text = percent_decode(&spaced).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn read(text: &'static str) -> Option<LoginForm> {
        LoginForm::read(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn the_name_is_read_as_the_hub_reads_it_and_only_the_token_changes() {
        let form = read("_xsrf=Mnwx%7C0&username=+Alice%20&password=a%26b+%C3%A4&otp=").unwrap();
        assert_eq!(form.user, "alice");
        assert_eq!(form.token, "Mnwx|0");
        let other = form.with_token("2|a=b&c").unwrap();
        assert_eq!(
            other,
            "_xsrf=2%7Ca%3Db%26c&username=+Alice%20&password=a%26b+%C3%A4&otp="
        );
        assert_eq!(LoginForm::read(other).unwrap().token, "2|a=b&c");
        let last = read("username=a%40b.example&_xsrf=t").unwrap();
        assert_eq!(last.user, "a@b.example");
        assert_eq!(
            last.with_token("u").unwrap(),
            "username=a%40b.example&_xsrf=u"
        );
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for text in [
            "",
            "username=alice",
            "_xsrf=t",
            "username=alice&_xsrf=",
            "username=&_xsrf=t",
            "username=%20+&_xsrf=t",
            "username&_xsrf=t",
            "username=alice&_xsrf",
            "username=alice&username=bob&_xsrf=t",
            "username=alice&user%6eame=bob&_xsrf=t",
            "username=alice&_xsrf=t&_xsrf=t",
            "username=a%2fb&_xsrf=t",
            "username=a%00b&_xsrf=t",
            "username=%ff&_xsrf=t",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        let long = format!("username={}&_xsrf=t", "a".repeat(256));
        assert!(LoginForm::read(long.into()).is_none());
    }

    #[test]
    fn other_bodies_are_left_alone() {
        let announced = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            LoginForm::is_announced_by(&headers)
        };
        assert!(announced("application/x-www-form-urlencoded"));
        assert!(announced(
            "Application/X-WWW-Form-Urlencoded; charset=utf-8"
        ));
        assert!(!announced("multipart/form-data; boundary=x"));
        assert!(!announced("application/json"));
        assert!(!LoginForm::is_announced_by(&HeaderMap::new()));
    }
}
