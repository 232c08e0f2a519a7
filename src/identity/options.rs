//! The options in front of a key in `authorized_keys`, as `sshd(8)` documents them and OpenSSH parses them.
//!
//! Parses only: whether an option lets somebody in is decided in `authorized_keys`. An option this file does not know, or
//! a known one written wrongly, is an error, and the line it stands on grants nothing: an old gate must not be more
//! generous than the newer option meant it to be.

use std::time::{Duration, SystemTime};

use super::restrictions::Restrictions;

/// Bounds of one line's options, as in OpenSSH.
const ENVIRONMENT_MAX: usize = 1024;
const TARGETS_MAX: usize = 4096;

/// One line's options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub restrictions: Restrictions,
    /// The pattern list of `from=`, as written.
    pub from: Option<String>,
    /// The key signs people's certificates and is not itself a way in.
    pub is_cert_authority: bool,
    pub principals: Option<Vec<String>>,
    pub tunnel: Option<String>,
    /// Security keys only: somebody must have touched it (the default), and must have been verified by PIN or finger.
    pub is_touch_required: bool,
    pub is_verification_required: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            restrictions: Restrictions::unrestricted(),
            from: None,
            is_cert_authority: false,
            principals: None,
            tunnel: None,
            is_touch_required: true,
            is_verification_required: false,
        }
    }
}

/// Why a line's options grant nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    #[error("unknown option {0:?}: the line is ignored; remove the option or correct it")]
    Unknown(String),
    #[error("option {0} may stand only once on a line")]
    Repeated(&'static str),
    #[error("option {0} needs a value in double quotes, such as {0}=\"...\"")]
    Unquoted(&'static str),
    #[error("option {option}: {value:?} is not {expected}")]
    Value {
        option: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("more than {limit} {option} options on one line")]
    TooMany { option: &'static str, limit: usize },
    #[error("the options end in a comma or are not separated by one")]
    Separator,
}

impl Options {
    /// Parses a line's options, without the white space that ends them.
    pub fn parse(text: &str) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut cursor = Cursor { rest: text };
        if text.is_empty() {
            return Ok(options);
        }
        loop {
            options.read_one(&mut cursor)?;
            if cursor.rest.is_empty() {
                return Ok(options);
            }
            cursor.rest = cursor
                .rest
                .strip_prefix(',')
                .ok_or(OptionError::Separator)?;
            if cursor.rest.is_empty() {
                return Err(OptionError::Separator);
            }
        }
    }

    /// About what they take in memory beyond their own size.
    pub fn bytes(&self) -> usize {
        let limits = &self.restrictions;
        let lists = limits.permit_open.len() + limits.permit_listen.len();
        let names = self.principals.as_ref().map_or(0, Vec::len);
        let command = limits.force_command.as_ref().map_or(0, String::len);
        command + (lists + names + limits.environment.len()) * 64
    }

    fn read_one(&mut self, cursor: &mut Cursor<'_>) -> Result<(), OptionError> {
        let name = cursor.name();
        if let Some(flag) = Flag::parse(name) {
            cursor.skip(name.len());
            flag.apply(self);
            return Ok(());
        }
        let known = VALUED.iter().find(|known| known.eq_ignore_ascii_case(name));
        let Some(option) = known else {
            return Err(OptionError::Unknown(name.chars().take(40).collect()));
        };
        cursor.skip(name.len());
        let value = cursor.quoted(option)?;
        self.set(option, value)
    }

    fn set(&mut self, option: &'static str, value: String) -> Result<(), OptionError> {
        match option {
            "command" => once(option, &mut self.restrictions.force_command, value),
            "from" => once(option, &mut self.from, value),
            "tunnel" => once(option, &mut self.tunnel, tunnel(value)?),
            "principals" => {
                let names = value.split(',').map(str::to_owned).collect();
                once(option, &mut self.principals, names)
            }
            "expiry-time" => {
                let until = expiry_time(&value).ok_or(OptionError::Value {
                    option,
                    value,
                    expected: "a date such as 20260131, 202601311830 or 20260131183000, with Z for UTC",
                })?;
                let earliest = self
                    .restrictions
                    .not_after
                    .map_or(until, |known| known.min(until));
                self.restrictions.not_after = Some(earliest);
                Ok(())
            }
            "environment" => self.add_environment(value),
            "permitopen" => add_target(option, &mut self.restrictions.permit_open, value),
            _ => add_target(option, &mut self.restrictions.permit_listen, value),
        }
    }

    fn add_environment(&mut self, value: String) -> Result<(), OptionError> {
        let option = "environment";
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let Some((name, text)) = value.split_once('=').filter(|(name, _)| is_name(name)) else {
            let expected = "NAME=value";
            return Err(OptionError::Value {
                option,
                value,
                expected,
            });
        };
        let known = &mut self.restrictions.environment;
        if known.len() >= ENVIRONMENT_MAX {
            return Err(OptionError::TooMany {
                option,
                limit: ENVIRONMENT_MAX,
            });
        }
        if !known.iter().any(|(other, _)| other == name) {
            known.push((name.to_owned(), text.to_owned()));
        }
        Ok(())
    }
}

const VALUED: [&str; 8] = [
    "command",
    "from",
    "tunnel",
    "principals",
    "expiry-time",
    "environment",
    "permitopen",
    "permitlisten",
];

/// Options without a value; most have a `no-` form.
#[derive(Clone, Copy)]
enum Flag {
    Restrict,
    CertAuthority,
    Pty(bool),
    Agent(bool),
    X11(bool),
    Port(bool),
    UserRc(bool),
    Touch(bool),
    Verification(bool),
}

impl Flag {
    fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "restrict" => return Some(Self::Restrict),
            "cert-authority" => return Some(Self::CertAuthority),
            _ => {}
        }
        let (on, name) = match name.strip_prefix("no-") {
            Some(rest) => (false, rest),
            None => (true, name.as_str()),
        };
        Some(match name {
            "pty" => Self::Pty(on),
            "agent-forwarding" => Self::Agent(on),
            "x11-forwarding" => Self::X11(on),
            "port-forwarding" => Self::Port(on),
            "user-rc" => Self::UserRc(on),
            "touch-required" => Self::Touch(on),
            "verify-required" => Self::Verification(on),
            _ => return None,
        })
    }

    /// Flags act in the order they stand in: `restrict,pty` allows a terminal, `pty,restrict` does not.
    fn apply(self, options: &mut Options) {
        let limits = &mut options.restrictions;
        match self {
            Self::Restrict => {
                limits.permit_pty = false;
                limits.permit_agent_forwarding = false;
                limits.permit_x11_forwarding = false;
                limits.permit_port_forwarding = false;
                limits.permit_user_rc = false;
            }
            Self::CertAuthority => options.is_cert_authority = true,
            Self::Pty(on) => limits.permit_pty = on,
            Self::Agent(on) => limits.permit_agent_forwarding = on,
            Self::X11(on) => limits.permit_x11_forwarding = on,
            Self::Port(on) => limits.permit_port_forwarding = on,
            Self::UserRc(on) => limits.permit_user_rc = on,
            Self::Touch(on) => options.is_touch_required = on,
            Self::Verification(on) => options.is_verification_required = on,
        }
    }
}

/// What is left of the options' text.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// The option's name: up to `=`, `,` or the end.
    fn name(&self) -> &'a str {
        self.rest.split(['=', ',']).next().unwrap_or_default()
    }

    fn skip(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
    }

    /// `="..."`, where `\"` stands for a quote and every other backslash for itself.
    fn quoted(&mut self, option: &'static str) -> Result<String, OptionError> {
        let body = self
            .rest
            .strip_prefix("=\"")
            .ok_or(OptionError::Unquoted(option))?;
        let mut value = String::new();
        let mut chars = body.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' if chars.peek().is_some_and(|(_, next)| *next == '"') => {
                    chars.next();
                    value.push('"');
                }
                '"' => {
                    self.rest = body.get(at + 1..).unwrap_or_default();
                    return Ok(value);
                }
                // A lossily decoded or cut-off value must not be passed on as if it were what was written.
                '\0' | '\u{FFFD}' => {
                    let expected = "plain UTF-8 text";
                    return Err(OptionError::Value {
                        option,
                        value,
                        expected,
                    });
                }
                _ => value.push(c),
            }
        }
        Err(OptionError::Unquoted(option))
    }
}

fn once<T>(option: &'static str, slot: &mut Option<T>, value: T) -> Result<(), OptionError> {
    if slot.replace(value).is_some() {
        return Err(OptionError::Repeated(option));
    }
    Ok(())
}

/// A tun device: a number below 2^31 or `any`.
fn tunnel(value: String) -> Result<String, OptionError> {
    let is_device =
        value.eq_ignore_ascii_case("any") || value.parse().is_ok_and(|n: u32| n <= 0x7FFF_FFFD);
    if is_device {
        return Ok(value);
    }
    Err(OptionError::Value {
        option: "tunnel",
        value,
        expected: "a device number or \"any\"",
    })
}

/// `HOST:PORT` or `[HOST:]PORT` (`permitlisten`); the port may be `*`, an IPv6 host stands in brackets.
fn add_target(
    option: &'static str,
    list: &mut Vec<String>,
    value: String,
) -> Result<(), OptionError> {
    if list.len() >= TARGETS_MAX {
        return Err(OptionError::TooMany {
            option,
            limit: TARGETS_MAX,
        });
    }
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, value.as_str()),
    };
    let is_host = match host {
        Some(host) if host.starts_with('[') => host.len() > 2 && host.ends_with(']'),
        Some(host) => !host.is_empty() && !host.contains([':', ' ']),
        None => option == "permitlisten",
    };
    let is_port = port == "*"
        || port
            .parse::<u16>()
            .is_ok_and(|port| port > 0 || option == "permitlisten");
    if is_host && is_port {
        list.push(value);
        return Ok(());
    }
    let expected = if option == "permitopen" {
        "HOST:PORT"
    } else {
        "[HOST:]PORT"
    };
    Err(OptionError::Value {
        option,
        value,
        expected,
    })
}

/// `YYYYMMDD[HHMM[SS]]`, in the gate's time zone or, with a final `Z`, in UTC.
fn expiry_time(value: &str) -> Option<SystemTime> {
    let (digits, zone) = match value.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, jiff::tz::TimeZone::UTC),
        None => (value, jiff::tz::TimeZone::system()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || ![8, 12, 14].contains(&digits.len()) {
        return None;
    }
    let field = |from: usize, len: usize| match digits.get(from..from + len) {
        Some(text) => text.parse::<i8>().ok(),
        None => Some(0),
    };
    let year = digits.get(..4)?.parse().ok()?;
    let civil = jiff::civil::DateTime::new(
        year,
        field(4, 2)?,
        field(6, 2)?,
        field(8, 2)?,
        field(10, 2)?,
        field(12, 2)?,
        0,
    )
    .ok()?;
    let seconds = zone.to_timestamp(civil).ok()?.as_second();
    // The epoch and before would mean "never valid"; OpenSSH refuses them as well.
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;
