//! Messages for a syslog daemon: as RFC 5424 has them, or as programs of this host send them to its own daemon. Pure but for
//! the names of host and process.
//!
//! There are no structured data: they need a number of the sender's own, and what is told is in the message, in the form of
//! `log.format`. Deliberately absent: TCP and TLS, which the daemon of this host does better than a gate could.

use std::fmt::Write;
use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::lines::{Kind, LineLog};
use crate::config::SyslogPlace;

/// Who speaks, in syslog's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Facility {
    Daemon = 3,
    /// Who logs in and who does not: files that only administrators read.
    AuthPriv = 10,
}

/// What RFC 5426 leaves of a datagram of IPv4, less what we do not count.
const MESSAGE_BYTES_MAX: usize = 60_000;

/// A way to a daemon, and the form that it understands.
pub struct Syslog {
    lines: LineLog,
    form: Form,
}

enum Form {
    /// `<30>Nov 29 08:24:18 poolgate[7]: TEXT`, which each daemon takes on /dev/log.
    Local,
    /// `<30>1 2026-11-29T08:24:18.123456Z HOST poolgate 7 log - TEXT`
    Rfc5424 { host: String },
}

impl Syslog {
    /// # Errors
    /// When there can be no socket, or no thread.
    pub fn open(place: &SyslogPlace, kind: &'static Kind) -> io::Result<Self> {
        let form = match place {
            SyslogPlace::Local(_) => Form::Local,
            SyslogPlace::Unix(_) | SyslogPlace::Udp(_) => Form::Rfc5424 { host: host_name() },
        };
        let lines = match place {
            SyslogPlace::Local(path) | SyslogPlace::Unix(path) => LineLog::to_unix(path, kind)?,
            SyslogPlace::Udp(address) => LineLog::to_udp(*address, kind)?,
        };
        Ok(Self { lines, form })
    }

    pub fn lines(&self) -> &LineLog {
        &self.lines
    }

    /// `severity` as syslog counts, `id` what kind of message it is, in one word.
    pub fn send(&self, facility: Facility, severity: u8, id: &str, time: Timestamp, text: &str) {
        let head = (facility, severity);
        self.lines.put(self.form.message(head, id, time, text));
    }
}

impl Form {
    fn message(
        &self,
        (facility, severity): (Facility, u8),
        id: &str,
        time: Timestamp,
        text: &str,
    ) -> Vec<u8> {
        let priority = facility as u8 * 8 + severity.min(7);
        let process = std::process::id();
        let mut message = String::with_capacity(text.len() + 80);
        let _ = match self {
            Self::Local => {
                let local = time.to_zoned_datetime(TimeZone::system());
                let time = local.strftime("%b %e %H:%M:%S");
                write!(message, "<{priority}>{time} poolgate[{process}]: ")
            }
            Self::Rfc5424 { host } => write!(
                message,
                "<{priority}>1 {time:.6} {host} poolgate {process} {id} - "
            ),
        };
        let kept = text.get(..text.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push_str(kept.unwrap_or_default());
        message.into_bytes()
    }
}

/// In printable ASCII, as the RFC wants it; `-` if nobody knows.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let kept: String = name
        .chars()
        .filter(char::is_ascii_graphic)
        .take(255)
        .collect();
    match kept.is_empty() {
        true => "-".to_owned(),
        false => kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(form: &Form, text: &str) -> String {
        let time = "2026-11-09T08:24:18.123456Z".parse().unwrap();
        let made = form.message((Facility::AuthPriv, 5), "audit", time, text);
        String::from_utf8(made).unwrap()
    }

    #[test]
    fn messages_are_as_the_rfc_has_them() {
        let form = Form::Rfc5424 {
            host: "gate1".to_owned(),
        };
        let process = std::process::id();
        assert_eq!(
            message(&form, "{}"),
            format!("<85>1 2026-11-09T08:24:18.123456Z gate1 poolgate {process} audit - {{}}")
        );
        let long = message(&form, &"é".repeat(MESSAGE_BYTES_MAX));
        assert!(long.len() < MESSAGE_BYTES_MAX + 80 && long.ends_with('é'));
    }

    #[test]
    fn the_daemon_of_this_host_is_told_as_it_is_used_to() {
        let told = message(&Form::Local, "text");
        let process = std::process::id();
        let (time, rest) = told.split_at("<85>Nov  9 08:24:18".len());
        assert!(time.starts_with("<85>Nov  "), "{told}");
        assert_eq!(rest, format!(" poolgate[{process}]: text"));
    }
}
