//! One line for every answer, for operators who count: as Apache and nginx write it, or as JSON. Off unless configured.
//!
//! Written when the answer has ended, so that bytes and time are true; a person's name stands in it only where a hub has
//! proved it. What lets somebody in never does: the values of tokens and codes in an address are left out.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Response, Uri, Version};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};

use super::body::Body;
use super::pin::Pin;
use crate::config::{AccessLogConfig, AccessLogFormat};
use crate::pool::InstanceId;
use crate::telemetry::lines::{Kind, LineLog};
use crate::telemetry::traces;

const KIND: Kind = Kind {
    key: "https.access_log.file",
    thread: "access-log",
    complaint: "lines of the access log are lost: free the disk, raise its speed, or log less",
};
/// Of anything a client writes into a line.
const MAX_TEXT_LEN: usize = 2000;
/// Of a line, with the name of a browser in it.
const USUAL_LEN: usize = 320;
/// Names in a query whose values let somebody in.
const SECRET: [&str; 10] = [
    "token",
    "access_token",
    "id_token",
    "code",
    "state",
    "ticket",
    "password",
    "api_key",
    "_xsrf",
    "samlresponse",
];

#[derive(Clone)]
pub struct AccessLog {
    lines: LineLog,
    format: AccessLogFormat,
}

/// A request whose answer has not ended, as it came: most of what a line says is put into words only once it has.
pub struct Entry {
    log: AccessLog,
    began: Instant,
    at: Timestamp,
    peer: IpAddr,
    /// As proved; `None` for everybody else.
    user: Option<Arc<str>>,
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    status: u16,
    bytes: u64,
    /// `None` where the gate itself has answered.
    instance: Option<InstanceId>,
    /// Of a request whose trace is kept.
    trace_id: Option<String>,
}

#[derive(Serialize)]
struct Line<'a> {
    /// RFC 3339, UTC; when the request came.
    #[serde(serialize_with = "to_milliseconds")]
    time: Timestamp,
    peer: IpAddr,
    user: Option<&'a str>,
    method: &'a str,
    host: Cow<'a, str>,
    target: Cow<'a, str>,
    protocol: &'static str,
    status: u16,
    bytes: u64,
    duration_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    instance: Option<&'a str>,
    referer: Option<Cow<'a, str>>,
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl AccessLog {
    /// # Errors
    /// When the file cannot be opened or the writer cannot start.
    pub fn open(config: Option<&AccessLogConfig>) -> io::Result<Option<Self>> {
        let Some(config) = config else {
            return Ok(None);
        };
        Ok(Some(Self {
            lines: LineLog::open(Some(&config.file), &KIND)?,
            format: config.format,
        }))
    }

    /// As `open`, but a file that is open already goes on.
    ///
    /// # Errors
    /// As `open`.
    pub fn renew(
        config: Option<&AccessLogConfig>,
        before: Option<(&Self, &AccessLogConfig)>,
    ) -> io::Result<Option<Self>> {
        match (config, before) {
            (Some(config), Some((log, old))) if old.file == config.file => Ok(Some(Self {
                lines: log.lines.clone(),
                format: config.format,
            })),
            _ => Self::open(config),
        }
    }

    /// # Errors
    /// When the file cannot be opened; the old one stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        self.lines.reopen()
    }

    pub fn lost(&self) -> u64 {
        self.lines.lost()
    }

    #[cfg(test)]
    pub fn flush(&self) {
        assert!(self.lines.flush(Duration::from_secs(10)));
    }

    pub fn begin(&self, head: &Parts, peer: IpAddr) -> Entry {
        let named = |name| head.headers.get(name).cloned();
        Entry {
            log: self.clone(),
            began: Instant::now(),
            at: Timestamp::now(),
            peer: peer.to_canonical(),
            user: None,
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            host: named(HOST),
            referer: named(REFERER),
            user_agent: named(USER_AGENT),
            status: 0,
            bytes: 0,
            instance: None,
            trace_id: traces::trace_id(),
        }
    }
}

impl Entry {
    /// Whose request it is, as the gate has signed it.
    pub fn of(&mut self, pin: Option<&Pin>) {
        self.user = pin.and_then(|pin| pin.user.clone());
    }

    /// The answer, which is counted as it goes out. Whose answer it is stands in its extensions.
    pub fn follow(mut self, response: Response<Body>) -> Response<Body> {
        self.status = response.status().as_u16();
        self.instance = response.extensions().get::<InstanceId>().cloned();
        response.map(|body| Body::Logged(Box::new(body), Box::new(self)))
    }

    pub fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn line(&self) -> Line<'_> {
        let uri = &self.uri;
        let target = uri.path_and_query().map_or("*", |path| path.as_str());
        let authority = uri.authority().map(|host| Cow::Borrowed(host.as_str()));
        let place = self.instance.as_ref();
        Line {
            time: self.at,
            peer: self.peer,
            user: self.user.as_deref(),
            method: cut(self.method.as_str()),
            host: text(self.host.as_ref()).or(authority).unwrap_or_default(),
            target: cut_cow(redacted(target)),
            protocol: protocol(self.version),
            status: self.status,
            bytes: self.bytes,
            duration_s: round(self.began.elapsed()),
            pool: place.map(|id| &*id.pool),
            instance: place.map(|id| &*id.name),
            referer: text(self.referer.as_ref()).map(|from| match from {
                Cow::Borrowed(from) => redacted(from),
                Cow::Owned(from) => Cow::Owned(redacted(&from).into_owned()),
            }),
            user_agent: text(self.user_agent.as_ref()),
            trace_id: self.trace_id.as_deref(),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let line = self.line();
        self.log.lines.write(match self.log.format {
            AccessLogFormat::Json => serde_json::to_string(&line).map(|line| line + "\n"),
            AccessLogFormat::Combined => Ok(combined(&line)),
        });
    }
}

fn combined(line: &Line<'_>) -> String {
    let mut text = String::with_capacity(USUAL_LEN);
    let user = line.user.filter(|name| !name.is_empty()).unwrap_or("-");
    // Writing to a String does not fail.
    let _ = write!(text, "{} - ", line.peer);
    push_escaped(&mut text, user, b" ");
    text.push_str(" [");
    push_time(&mut text, line.time);
    text.push_str("] \"");
    push_escaped(&mut text, line.method, b"");
    text.push(' ');
    push_escaped(&mut text, &line.target, b"");
    let _ = write!(text, " {}\" {} {}", line.protocol, line.status, line.bytes);
    for field in [&line.referer, &line.user_agent] {
        let field = field.as_deref().filter(|text| !text.is_empty());
        text.push_str(" \"");
        push_escaped(&mut text, field.unwrap_or("-"), b"");
        text.push('"');
    }
    text.push('\n');
    text
}

/// To the second, and so put into words once a second.
fn push_time(out: &mut String, time: Timestamp) {
    thread_local! {
        static LAST: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    LAST.with_borrow_mut(|(second, words)| {
        if *second != time.as_second() {
            *second = time.as_second();
            *words = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        }
        out.push_str(words);
    });
}

/// Nothing a client writes can end a field or a line; `also` is escaped too.
fn push_escaped(out: &mut String, text: &str, also: &[u8]) {
    let is_plain = |byte: &u8| {
        (b' '..0x7f).contains(byte) && *byte != b'"' && *byte != b'\\' && !also.contains(byte)
    };
    if text.as_bytes().iter().all(is_plain) {
        return out.push_str(text);
    }
    for byte in text.bytes() {
        match is_plain(&byte) {
            true => out.push(char::from(byte)),
            false => drop(write!(out, "\\x{byte:02X}")),
        }
    }
}

fn to_milliseconds<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{time:.3}"))
}

/// The address without the values that let somebody in; parts of it are matched as a server reads them.
fn redacted(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else {
        return Cow::Borrowed(target);
    };
    let part = |pair: &str| {
        let Some((name, _)) = pair.split_once('=') else {
            return pair.to_owned();
        };
        let plain = percent_decode_str(name)
            .decode_utf8_lossy()
            .to_ascii_lowercase();
        match SECRET.contains(&&*plain) {
            true => format!("{name}=REDACTED"),
            false => pair.to_owned(),
        }
    };
    // Some servers take a semicolon for `&`.
    let parts: Vec<String> = query.split(['&', ';']).map(part).collect();
    Cow::Owned(format!("{path}?{}", parts.join("&")))
}

fn text(value: Option<&HeaderValue>) -> Option<Cow<'_, str>> {
    Some(cut_cow(String::from_utf8_lossy(value?.as_bytes())))
}

fn cut_cow(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(cut(text)),
        Cow::Owned(text) => Cow::Owned(cut(&text).to_owned()),
    }
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(MAX_TEXT_LEN);
    text.get(..end).unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn round(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lets_somebody_in_is_left_out() {
        for (target, logged) in [
            ("/hub/home", "/hub/home"),
            ("/user/a/lab?token=s3", "/user/a/lab?token=REDACTED"),
            (
                "/c?a=1&code=s&STATE=t&b",
                "/c?a=1&code=REDACTED&STATE=REDACTED&b",
            ),
            ("/c?%74oken=s&x=token=y", "/c?%74oken=REDACTED&x=token=y"),
            ("/c?a;code=s?t&x=", "/c?a&code=REDACTED&x="),
        ] {
            assert_eq!(redacted(target), logged);
        }
    }

    #[test]
    fn nothing_a_client_writes_ends_a_field_or_a_line() {
        let mut text = String::new();
        push_escaped(&mut text, "a\"b\\c\nd\u{7f}é ", b"");
        assert_eq!(text, "a\\x22b\\x5Cc\\x0Ad\\x7F\\xC3\\xA9 ");
        assert_eq!(cut(&"é".repeat(3000)).len(), MAX_TEXT_LEN);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn lines_are_as_apache_and_nginx_write_them() {
        let line = Line {
            time: "2026-11-23T18:05:09Z".parse().unwrap(),
            peer: IpAddr::from([192, 0, 2, 7]),
            user: Some("al ice"),
            method: "GET",
            host: "pool.example".into(),
            target: "/hub/home".into(),
            protocol: "HTTP/2.0",
            status: 200,
            bytes: 512,
            duration_s: 0.1,
            pool: None,
            instance: None,
            referer: None,
            user_agent: Some("Mozilla/5.0 \"x\"".into()),
            trace_id: None,
        };
        let expected = "192.0.2.7 - al\\x20ice [23/Nov/2026:18:05:09 +0000] \"GET /hub/home HTTP/2.0\" 200 512 \"-\" \"Mozilla/5.0 \\x22x\\x22\"\n";
        assert_eq!(combined(&line), expected);
    }
}
