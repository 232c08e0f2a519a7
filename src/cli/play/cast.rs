//! Reads asciicast v2, line by line, and says of a broken file which line is at fault and why.
//!
//! Times that run backwards are a fault: no player could tell what was meant. Events of unknown kinds are passed over, as
//! the format asks.

use std::io::{BufRead, Read};
use std::time::Duration;

use serde::Deserialize;

/// Bytes of one line: an event of the gate's own recordings has at most some hundred KiB.
const LINE_MAX: u64 = 16 << 20;
/// Longer than any session; what is above it is no time.
const SECONDS_MAX: f64 = 1e9;

/// A line's number and what is wrong with it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {what}")]
pub(super) struct Fault {
    pub line: u64,
    pub what: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// No pause should be longer.
    pub idle_max: Option<Duration>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub at: Duration,
    pub kind: Kind,
    pub data: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Output,
    /// Input, sizes, marks, and what later versions add: not shown.
    Other,
}

pub(super) struct Reader<R> {
    from: R,
    line: u64,
    last: Duration,
}

impl<R: BufRead> Reader<R> {
    pub fn new(from: R) -> Self {
        Self {
            from,
            line: 0,
            last: Duration::ZERO,
        }
    }

    /// To be called first.
    pub fn header(&mut self) -> Result<Header, Fault> {
        let Some(line) = self.line()? else {
            return Err(self.fault("the file is empty"));
        };
        let version = match serde_json::from_str(&line) {
            Ok(Version { version }) => version,
            Err(error) => {
                return Err(self.fault(&format!("is no header of an asciicast: {}", plain(&error))));
            }
        };
        if version != 2 {
            return Err(self.fault(&format!(
                "is an asciicast of version {version}; only version 2 is played"
            )));
        }
        let fields: Fields = match serde_json::from_str(&line) {
            Ok(fields) => fields,
            Err(error) => {
                return Err(self.fault(&format!("the header is broken: {}", plain(&error))));
            }
        };
        if fields.width == 0 || fields.height == 0 {
            return Err(self.fault("the header names a terminal without width or height"));
        }
        let idle_max = fields
            .idle_time_limit
            .map(|limit| self.time(limit))
            .transpose()?;
        Ok(Header { idle_max })
    }

    /// `None` at the end.
    pub fn event(&mut self) -> Result<Option<Event>, Fault> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let (seconds, code, data): (f64, String, String) = match serde_json::from_str(&line) {
            Ok(event) => event,
            Err(error) => {
                return Err(self.fault(&format!(
                    "is no event ([seconds, \"o\", \"text\"]): {}",
                    plain(&error)
                )));
            }
        };
        let at = self.time(seconds)?;
        if at < self.last {
            return Err(self.fault("happens before the line above it"));
        }
        self.last = at;
        let kind = match code.as_str() {
            "o" => Kind::Output,
            _ => Kind::Other,
        };
        Ok(Some(Event { at, kind, data }))
    }

    fn line(&mut self) -> Result<Option<String>, Fault> {
        self.line += 1;
        let mut bytes = Vec::new();
        let read = self
            .from
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut bytes);
        if let Err(error) = read {
            return Err(self.fault(&format!("cannot be read: {error}")));
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.pop() != Some(b'\n') {
            let what = match bytes.len() as u64 + 1 == LINE_MAX {
                true => "is longer than 16 MiB, so this is no recording",
                false => {
                    "ends in the middle: the recording was cut short, or is still being written"
                }
            };
            return Err(self.fault(what));
        }
        match String::from_utf8(bytes) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(self.fault("is no UTF-8 text")),
        }
    }

    fn time(&self, seconds: f64) -> Result<Duration, Fault> {
        let time = Duration::try_from_secs_f64(seconds).ok();
        let time = time.filter(|_| seconds <= SECONDS_MAX);
        time.ok_or_else(|| self.fault(&format!("{seconds} is no time in seconds")))
    }

    fn fault(&self, what: &str) -> Fault {
        Fault {
            line: self.line,
            what: what.to_owned(),
        }
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

#[derive(Deserialize)]
struct Fields {
    width: u64,
    height: u64,
    #[serde(default)]
    idle_time_limit: Option<f64>,
}

/// Every line is a document of its own: serde's "at line 1" would point to the wrong one.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let column = error.column();
    match text.split_once(" at line ") {
        Some((what, _)) => format!("{what} at column {column}"),
        None => text,
    }
}
