//! Values with a unit: lengths of time and sizes, read and written.
//!
//! A bare number is refused: nobody can tell from `timeout = 30` whether it means seconds.

use std::ops::RangeInclusive;
use std::time::Duration;

use ::config::ValueKind;

use super::values::{Read, shown};

/// A length of time such as `"2h 30m"`, within bounds.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Read<Duration> {
    move |value| {
        let example = "write a number with its unit (ms s m h d), such as \"30s\" or \"2h 30m\"";
        let text = match &value.kind {
            ValueKind::I64(number) => {
                return Err(format!(
                    "is the bare number {number}, which has no unit; write \"{number}s\" for seconds"
                ));
            }
            ValueKind::String(text) => text,
            _ => return Err(format!("is {}; {example}", shown(value))),
        };
        if let Ok(number) = text.trim().parse::<u64>() {
            return Err(format!(
                "is {text:?}, which has no unit; write \"{number}s\" for seconds"
            ));
        }
        let Some(length) = parse_duration(text) else {
            return Err(format!(
                "is {text:?}, which is no length of time; {example}"
            ));
        };
        if range.contains(&length) {
            return Ok(length);
        }
        let (from, to) = (show_duration(*range.start()), show_duration(*range.end()));
        Err(format!(
            "is {text:?}; write between \"{from}\" and \"{to}\""
        ))
    }
}

/// A length of time, or `"off"` for none.
pub(super) fn duration_or_off(range: RangeInclusive<Duration>) -> impl Read<Option<Duration>> {
    move |value| match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => duration(range.clone())(value)
            .map(Some)
            .map_err(|message| message.replace("; write ", "; write \"off\" or ")),
    }
}

/// Reads `"2h 30m"`; `None` where it is no length of time.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut length = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, after) = after.split_at_checked(end.unwrap_or(after.len()))?;
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        length = length.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = after.trim_start();
    }
    Some(length)
}

/// The digits a text begins with, and what follows them and blanks.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest.trim_start()))
}

/// As config writes it: `"2h 30m"`.
pub fn show_duration(length: Duration) -> String {
    let mut rest = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (unit, unit_ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ] {
        if rest >= unit_ms {
            parts.push(format!("{}{unit}", rest / unit_ms));
            rest %= unit_ms;
        }
    }
    match parts.is_empty() {
        true => "0s".to_owned(),
        false => parts.join(" "),
    }
}

const SIZES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A size such as `"1 GiB"`, within bounds.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Read<u64> {
    move |value| {
        let example = "write a number with its unit (B KiB MiB GiB), such as \"1 GiB\"";
        let ValueKind::String(text) = &value.kind else {
            return Err(format!("is {}, which has no unit; {example}", shown(value)));
        };
        let bytes = leading_number(text.trim()).and_then(|(number, unit)| {
            let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(*bytes)
        });
        let Some(bytes) = bytes else {
            return Err(format!("is {text:?}, which is no size; {example}"));
        };
        if range.contains(&bytes) {
            return Ok(bytes);
        }
        let (from, to) = (show_size(*range.start()), show_size(*range.end()));
        Err(format!(
            "is {text:?}; write between \"{from}\" and \"{to}\""
        ))
    }
}

/// As config writes it: `"1 GiB"`.
pub fn show_size(bytes: u64) -> String {
    let unit = SIZES
        .iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    let (name, unit) = unit.copied().unwrap_or(("B", 1));
    format!("{} {name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::config::Value;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn durations_are_read_and_written_alike() {
        for (text, length) in [
            ("30s", seconds(30)),
            ("2h 30m", seconds(9000)),
            ("12h", seconds(43200)),
            ("1d", seconds(86400)),
            ("250ms", Duration::from_millis(250)),
        ] {
            assert_eq!(parse_duration(text), Some(length), "{text}");
            assert_eq!(show_duration(length), text);
        }
        assert_eq!(parse_duration("2 h30m"), Some(seconds(9000)));
        for bad in [
            "",
            "s",
            "5",
            "5x",
            "-5s",
            "1.5h",
            "5s 3",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_read_and_written_alike() {
        let read = size(0..=u64::MAX);
        for (text, bytes) in [("1 GiB", 1 << 30), ("64 MiB", 64 << 20), ("1500 B", 1500)] {
            assert_eq!(read(&Value::new(None, text)), Ok(bytes));
            assert_eq!(show_size(bytes), text);
        }
        assert!(read(&Value::new(None, "1 GB")).is_err());
    }
}
