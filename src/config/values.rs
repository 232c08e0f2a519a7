//! How single values are written: text, numbers, ports, addresses, paths, words, lists.
//!
//! Each reader takes one raw value and gives the value meant, or a message `what is wrong; what to write`. Readers never
//! look at files, hosts or other keys. Text is accepted for numbers and lists, as variables hold nothing else.

use std::net::{Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ::config::{File, FileFormat, Value, ValueKind};
use tracing_subscriber::EnvFilter;

/// A reader of one value.
pub(super) trait Read<T>: Fn(&Value) -> Result<T, String> {}
impl<T, F: Fn(&Value) -> Result<T, String>> Read<T> for F {}

/// The value as a person would recognise it.
pub(super) fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::Nil => "nothing".to_owned(),
        ValueKind::Boolean(value) => value.to_string(),
        ValueKind::I64(value) => value.to_string(),
        ValueKind::Float(value) => format!("{value:?}"),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    match &value.kind {
        ValueKind::String(text) if text.is_empty() => {
            Err("is empty; write a value or remove the key".to_owned())
        }
        ValueKind::String(text) => Ok(text.clone()),
        ValueKind::Table(_) | ValueKind::Array(_) => Err(format!(
            "is {} where text belongs; write one value in double quotes",
            shown(value)
        )),
        _ => Err(format!(
            "is {} where text belongs; write it in double quotes",
            shown(value)
        )),
    }
}

pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    let meant = match &value.kind {
        ValueKind::Boolean(value) => Some(*value),
        ValueKind::String(text) if value.origin().is_some() => text.trim().parse().ok(),
        _ => None,
    };
    meant.ok_or_else(|| format!("is {}; write true or false", shown(value)))
}

/// A whole number within bounds.
pub(super) fn number<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Read<T> {
    move |value| {
        let meant = match &value.kind {
            ValueKind::I64(value) => Some(*value),
            ValueKind::String(text) if value.origin().is_some() => text.trim().parse().ok(),
            _ => None,
        };
        meant
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                let (from, to) = (range.start(), range.end());
                format!(
                    "is {}; write a whole number from {from} to {to}",
                    shown(value)
                )
            })
    }
}

pub(super) fn port(value: &Value) -> Result<u16, String> {
    number(1..=65535)(value)
}

/// A port, or `"off"` for none.
pub(super) fn port_or_off(value: &Value) -> Result<Option<u16>, String> {
    match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => port(value).map(Some).map_err(|message| {
            message.replace("write a whole number", "write \"off\" or a whole number")
        }),
    }
}

/// How many threads share a work; `None` is "auto".
pub(super) fn threads_or_auto(value: &Value) -> Result<Option<usize>, String> {
    match &value.kind {
        ValueKind::String(text) if text == "auto" => Ok(None),
        _ => number(1..=256)(value).map(Some).map_err(|message| {
            message.replace("write a whole number", "write \"auto\" or a whole number")
        }),
    }
}

/// An address and port to listen on.
pub(super) fn listen_address(value: &Value) -> Result<SocketAddr, String> {
    let write = "write an IP address and a port, such as \"0.0.0.0:22\" or \"[::]:443\"";
    let ValueKind::String(text) = &value.kind else {
        return Err(format!("is {}; {write}", shown(value)));
    };
    let bad = |what: &str| format!("is {text:?}, {what}; {write}");
    let Ok(address) = text.parse::<SocketAddr>() else {
        let port = text.rsplit(':').next().unwrap_or_default();
        return Err(match port.parse::<u64>() {
            _ if text.is_empty() => bad("which names no address"),
            _ if text.parse::<Ipv6Addr>().is_ok() => bad("an IPv6 address without brackets"),
            Ok(port) if port > 65535 => bad("whose port is above 65535"),
            Ok(_) if text.starts_with(':') || port == text => bad("which names no address"),
            Ok(_) => bad("which is no IP address with a port"),
            Err(_) => bad("which names no port"),
        });
    };
    match address.port() {
        0 => Err(bad("whose port is 0")),
        _ => Ok(address),
    }
}

pub(super) fn listen_address_or_off(value: &Value) -> Result<Option<SocketAddr>, String> {
    match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => listen_address(value).map(Some),
    }
}

/// Where an instance answers: a host name or an IP address, without a port.
pub(super) fn host(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let write = "write a host name or an IP address, such as \"10.0.0.4\"";
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(text);
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.contains('/') {
        return Err(format!("is {text:?}, which is no host; {write}"));
    }
    if text.contains(':') || text.starts_with('[') {
        return Err(format!(
            "is {text:?}, which holds a port or brackets; {write}, and the port as ssh_port or jupyter_port"
        ));
    }
    let digits_only = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if digits_only || text.len() > 253 || !text.trim_end_matches('.').split('.').all(label) {
        return Err(format!("is {text:?}, which is no host; {write}"));
    }
    Ok(text)
}

/// A path; a relative one starts at the folder of the configuration file.
pub(super) fn path(folder: &Path) -> impl Read<PathBuf> {
    move |value| {
        let text = text(value)?;
        if text.contains(char::is_control) {
            return Err(format!(
                "is {text:?}, which no file is called; write a path without control characters"
            ));
        }
        match text.strip_prefix("~") {
            Some(_) => Err(format!(
                "is {text:?}, but ~ has no meaning here; write the whole path"
            )),
            None => Ok(folder.join(text)),
        }
    }
}

pub(super) fn path_or_off(folder: &Path) -> impl Read<Option<PathBuf>> {
    move |value| match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => path(folder)(value).map(Some),
    }
}

/// Which log lines are written, in the words of `tracing`.
pub(super) fn log_filter(value: &Value) -> Result<String, String> {
    let filter = text(value)?;
    match EnvFilter::builder().parse(&filter) {
        Ok(_) => Ok(filter),
        Err(_) => Err(format!(
            "is {filter:?}, which is no filter; write error, warn, info, debug or trace, or such as \"info,poolgate::ssh=debug\""
        )),
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(words: &'static [(&'static str, T)]) -> impl Read<T> {
    move |value| {
        let found = match &value.kind {
            ValueKind::String(text) => words.iter().find(|(word, _)| word == text),
            _ => None,
        };
        found.map(|(_, meant)| *meant).ok_or_else(|| {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("is {}; write {}", shown(value), either(&names))
        })
    }
}

/// `"a", "b" or "c"`.
pub(super) fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A list; text counts as a list written in TOML or with commas, and any other value as a list of itself.
pub(super) fn items(value: Value) -> Result<Vec<Value>, String> {
    let ValueKind::String(text) = &value.kind else {
        return match value.kind {
            ValueKind::Array(items) => Ok(items),
            ValueKind::Table(_) => {
                Err("is a table where a list belongs; write [ and ] around it".to_owned())
            }
            _ => Err(format!(
                "is {} where a list belongs; write [\"...\"]",
                shown(&value)
            )),
        };
    };
    let origin = value.origin().map(str::to_owned);
    if origin.is_some() && is_toml_list(text.trim()) {
        let parsed = ::config::Config::builder()
            .add_source(File::from_str(&format!("list = {text}"), FileFormat::Toml))
            .build();
        let list = parsed.and_then(|parsed| parsed.get::<Vec<Value>>("list"));
        let no_list = |_| format!("is {text:?}, which is no list; write A,B or [\"A\", \"B\"]");
        return list.map_err(no_list);
    }
    let part = |part: &str| Value::new(origin.as_ref(), part.trim());
    match origin {
        Some(_) if text.trim().is_empty() => Ok(Vec::new()),
        Some(_) => Ok(text.split(',').map(part).collect()),
        None => Err(format!(
            "is {text:?} where a list belongs; write [{text:?}]"
        )),
    }
}

/// Whether text means to be a list as TOML writes it: `[::]:22` also begins with a bracket.
fn is_toml_list(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('[') else {
        return false;
    };
    inner.ends_with(']') || inner.trim_start().starts_with(['"', '\'', '{', '['])
}

/// The known key that was probably meant.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let by_distance = known
        .iter()
        .map(|name| (distance(key, name), *name))
        .min()?;
    let (distance, name) = by_distance;
    (distance <= 1 + name.len() / 4).then_some(name)
}

/// Levenshtein's: insertions, deletions and replacements.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            *cell = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_key() {
        let known = ["listen", "login_grace", "host_keys"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("host_key", &known), Some("host_keys"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
