//! From `[log]` and `[audit]` to their configs: what is told, in which form, where it goes, and when a file of it is put aside.
//!
//! Without a size and an age nothing is put aside, which leaves it to logrotate and its like.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::config::{Value, ValueKind};

use super::raw::Section;
use super::units::{duration_or_off, size};
use super::validate::seconds;
use super::values::{log_filter, number, path, path_or_off, shown, word};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const DAY_S: u64 = 24 * 3600;
const JOURNALD: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `tracing` filter, such as `info` or `poolgate=debug`.
    pub filter: String,
    pub format: LogFormat,
    pub to: Vec<LogPlace>,
    pub file: LogFile,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::Text,
            to: vec![LogPlace::Stderr],
            file: LogFile::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Logfmt,
    Json,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditConfig {
    pub file: LogFile,
    /// Beside the file.
    pub to: Vec<LogPlace>,
}

/// Where lines go that go to no file.
#[derive(Clone, Debug, PartialEq)]
pub enum LogPlace {
    Stderr,
    /// Its socket.
    Journald(PathBuf),
    Syslog(SyslogPlace),
}

#[derive(Clone, Debug, PartialEq)]
pub enum SyslogPlace {
    /// The socket of this host's daemon, which takes what programs of this host are used to send.
    Local(PathBuf),
    /// A socket, or an address, whose daemon takes RFC 5424.
    Unix(PathBuf),
    Udp(SocketAddr),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFile {
    /// `None` keeps no file.
    pub path: Option<PathBuf>,
    /// Bytes and age at which the file is put aside; without both nobody does it here.
    pub rotate_size: Option<u64>,
    pub rotate_age: Option<Duration>,
    /// Files put aside that are kept, and for how long.
    pub keep: usize,
    pub keep_age: Option<Duration>,
}

pub(super) fn audit(mut section: Section<'_>) -> AuditConfig {
    let config = AuditConfig {
        file: file(&mut section),
        to: places(&mut section, false).unwrap_or_default(),
    };
    section.finish();
    config
}

pub(super) fn log(mut section: Section<'_>) -> LogConfig {
    let formats = &[
        ("text", LogFormat::Text),
        ("logfmt", LogFormat::Logfmt),
        ("json", LogFormat::Json),
    ];
    let default = LogConfig::default();
    let config = LogConfig {
        filter: section.get_or("filter", default.filter, log_filter),
        format: section.get_or("format", default.format, word(formats)),
        to: places(&mut section, true).unwrap_or(default.to),
        file: file(&mut section),
    };
    section.finish();
    config
}

fn file(section: &mut Section<'_>) -> LogFile {
    let ages = || seconds(3600)..=seconds(3650 * DAY_S);
    let file = LogFile {
        path: section.get_or("file", None, path_or_off(section.folder())),
        rotate_size: section.get_or("rotate_size", None, size_or_off),
        rotate_age: section.get_or("rotate_age", None, duration_or_off(ages())),
        keep: section.get_or("keep", 30, number(1..=10_000)),
        keep_age: section.get_or("keep_age", None, duration_or_off(ages())),
    };
    let is_rotated = file.rotate_size.is_some() || file.rotate_age.is_some();
    let may_be = section.is_at_fault("rotate_size") || section.is_at_fault("rotate_age");
    if file.keep_age.is_some() && !is_rotated && !may_be {
        section.fault(
            "keep_age",
            "counts for files that were put aside, and none are; write rotate_age = \"1d\" or rotate_size = \"100 MiB\" beside it",
        );
    }
    file
}

fn places(section: &mut Section<'_>, has_stderr: bool) -> Option<Vec<LogPlace>> {
    let folder = section.folder().to_path_buf();
    let places = section.list("to", |value: &Value| place(value, has_stderr, &folder))?;
    let is_twice = |(at, place): (usize, &LogPlace)| places.iter().take(at).any(|it| it == place);
    if places.iter().enumerate().any(is_twice) {
        section.fault("to", "names a place twice; write each once");
    }
    Some(places)
}

fn place(value: &Value, has_stderr: bool, folder: &Path) -> Result<LogPlace, String> {
    let stderr = if has_stderr { "\"stderr\", " } else { "" };
    let refusal = || {
        format!(
            "is {}; write {stderr}\"journald\", \"syslog\", \"syslog:/path/of/socket\" or \"syslog:udp://192.0.2.1:514\"",
            shown(value)
        )
    };
    let ValueKind::String(text) = &value.kind else {
        return Err(refusal());
    };
    let socket = |text: &str| path(folder)(&Value::new(None, text));
    match text.split_once(':').unwrap_or((text, "")) {
        ("stderr", "") if has_stderr => Ok(LogPlace::Stderr),
        ("journald", "") => Ok(LogPlace::Journald(JOURNALD.into())),
        ("journald", text) => socket(text).map(LogPlace::Journald),
        ("syslog", "") => Ok(LogPlace::Syslog(SyslogPlace::Local(SYSLOG.into()))),
        ("syslog", text) => match text.strip_prefix("udp://") {
            Some(address) => {
                let address: SocketAddr = address.parse().map_err(|_| refusal())?;
                match address.port() {
                    0 => Err(refusal()),
                    _ => Ok(LogPlace::Syslog(SyslogPlace::Udp(address))),
                }
            }
            None => socket(text).map(|path| LogPlace::Syslog(SyslogPlace::Unix(path))),
        },
        _ => Err(refusal()),
    }
}

fn size_or_off(value: &Value) -> Result<Option<u64>, String> {
    match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => size(MIB..=TIB)(value)
            .map(Some)
            .map_err(|message| message.replace("; write ", "; write \"off\" or ")),
    }
}
