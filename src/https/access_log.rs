//! One line for every answer, for operators who count: as Apache and nginx write it, or as JSON. Off unless configured.
//!
//! Written when the answer has ended, so that bytes and time are true; a person's name stands in it only where a hub has
//! proved it. What lets somebody in never does: the values of tokens and codes in an address are left out.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, Response, Version};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::body::Body;
use super::pin::Pin;
use crate::config::{AccessLogConfig, AccessLogFormat};
use crate::pool::InstanceId;
use crate::telemetry::lines::{Kind, LineLog};

const KIND: Kind = Kind {
    key: "https.access_log.file",
    thread: "access-log",
    complaint: "lines of the access log are lost: free the disk, raise its speed, or log less",
};
/// Of anything a client writes into a line.
const MAX_TEXT_LEN: usize = 2000;
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

/// A request whose answer has not ended.
pub struct Entry {
    log: AccessLog,
    began: Instant,
    line: Line,
}

#[derive(Serialize)]
struct Line {
    /// RFC 3339, UTC; when the request came.
    time: String,
    #[serde(skip)]
    at: Timestamp,
    peer: IpAddr,
    /// As proved; `None` for everybody else.
    user: Option<Arc<str>>,
    method: String,
    host: String,
    target: String,
    protocol: &'static str,
    status: u16,
    bytes: u64,
    duration_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<Arc<str>>,
    /// `None` where the gate itself has answered.
    instance: Option<Arc<str>>,
    referer: Option<String>,
    user_agent: Option<String>,
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
        let at = Timestamp::now();
        let text = |name| header(&head.headers, name);
        let target = head.uri.path_and_query().map_or("*", |path| path.as_str());
        let named = head.uri.authority().map(|host| host.as_str().to_owned());
        let line = Line {
            time: format!("{at:.3}"),
            at,
            peer: peer.to_canonical(),
            user: None,
            method: cut(head.method.as_str()).to_owned(),
            host: text("host").or(named).unwrap_or_default(),
            target: cut(&redacted(target)).to_owned(),
            protocol: protocol(head.version),
            status: 0,
            bytes: 0,
            duration_s: 0.0,
            pool: None,
            instance: None,
            referer: text(REFERER.as_str()).map(|from| redacted(&from).into_owned()),
            user_agent: text(USER_AGENT.as_str()),
        };
        Entry {
            log: self.clone(),
            began: Instant::now(),
            line,
        }
    }
}

impl Entry {
    /// Whose request it is, as the gate has signed it.
    pub fn of(&mut self, pin: Option<&Pin>) {
        self.line.user = pin.and_then(|pin| pin.user.clone());
    }

    /// The answer, which is counted as it goes out. Whose answer it is stands in its extensions.
    pub fn follow(mut self, response: Response<Body>) -> Response<Body> {
        self.line.status = response.status().as_u16();
        if let Some(id) = response.extensions().get::<InstanceId>() {
            self.line.pool = Some(id.pool.clone());
            self.line.instance = Some(id.name.clone());
        }
        response.map(|body| Body::Logged(Box::new(body), Box::new(self)))
    }

    pub fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.line.bytes = self.line.bytes.saturating_add(bytes);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.line.duration_s = round(self.began.elapsed());
        self.log.lines.write(match self.log.format {
            AccessLogFormat::Json => serde_json::to_string(&self.line).map(|line| line + "\n"),
            AccessLogFormat::Combined => Ok(combined(&self.line)),
        });
    }
}

fn combined(line: &Line) -> String {
    let dash = |text: Option<&str>| escaped(text.filter(|text| !text.is_empty()).unwrap_or("-"));
    let user = dash(line.user.as_deref()).replace(' ', "\\x20");
    format!(
        "{} - {user} [{}] \"{} {} {}\" {} {} \"{}\" \"{}\"\n",
        line.peer,
        line.at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        escaped(&line.method),
        escaped(&line.target),
        line.protocol,
        line.status,
        line.bytes,
        dash(line.referer.as_deref()),
        dash(line.user_agent.as_deref()),
    )
}

/// Nothing a client writes can end a field or a line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | 0..=0x1f | 0x7f.. => {
                // Writing to a String does not fail.
                let _ = write!(escaped, "\\x{byte:02X}");
            }
            byte => escaped.push(char::from(byte)),
        }
    }
    escaped
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

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(cut(&String::from_utf8_lossy(value.as_bytes())).to_owned())
}

fn cut(text: &str) -> &str {
    let end = text
        .char_indices()
        .map(|(at, _)| at)
        .chain([text.len()])
        .take_while(|at| *at <= MAX_TEXT_LEN)
        .last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
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
        assert_eq!(
            escaped("a\"b\\c\nd\u{7f}é "),
            "a\\x22b\\x5Cc\\x0Ad\\x7F\\xC3\\xA9 "
        );
        assert_eq!(cut(&"é".repeat(3000)).len(), MAX_TEXT_LEN);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn lines_are_as_apache_and_nginx_write_them() {
        let line = Line {
            time: String::new(),
            at: "2026-11-23T18:05:09Z".parse().unwrap(),
            peer: IpAddr::from([192, 0, 2, 7]),
            user: Some("al ice".into()),
            method: "GET".into(),
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
        };
        let expected = "192.0.2.7 - al\\x20ice [23/Nov/2026:18:05:09 +0000] \"GET /hub/home HTTP/2.0\" 200 512 \"-\" \"Mozilla/5.0 \\x22x\\x22\"\n";
        assert_eq!(combined(&line), expected);
    }
}
