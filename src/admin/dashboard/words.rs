//! How the dashboard says things: names made harmless, times by a pool's clock, ages, counts.
//!
//! Markup is escaped by the templates; here is done what escaping leaves: characters that nobody sees or that turn a line around.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What was said by whoever it may be, as one line that reads as what it holds: control characters and those that change the
/// direction of what follows are written out by number.
pub fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            one if is_unseen(one) => {
                // Writing to a String does not fail.
                let _ = write!(line, "\u{27e8}U+{:04X}\u{27e9}", u32::from(one));
            }
            one => line.push(one),
        }
    }
    line
}

fn is_unseen(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A moment: for machines, for people, and how long ago it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339 with the zone's offset.
    pub machine: String,
    /// The time of day, with the date where it is another one.
    pub clock: String,
    /// Coarse, so that it changes seldom.
    pub ago: String,
}

/// Now, and whose clock it is read from.
#[derive(Clone, Debug)]
pub struct Clock {
    pub now: SystemTime,
    pub zone: TimeZone,
}

impl Clock {
    pub fn moment(&self, at: SystemTime) -> Moment {
        let stamp = Timestamp::try_from(at).unwrap_or_default();
        let now = Timestamp::try_from(self.now).unwrap_or_default();
        let (zoned, today) = (
            stamp.to_zoned_datetime(self.zone.clone()),
            now.to_zoned_datetime(self.zone.clone()),
        );
        let format = match zoned.date() == today.date() {
            true => "%H:%M:%S",
            false if zoned.year() == today.year() => "%-d %b %H:%M",
            false => "%-d %b %Y %H:%M",
        };
        Moment {
            machine: zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            clock: zoned.strftime(format).to_string(),
            ago: match self.now.duration_since(at) {
                Ok(age) => age_of(age),
                Err(ahead) => format!("in {}", age_of(ahead.duration())),
            },
        }
    }

    /// Hours and minutes.
    pub fn short(&self, at: SystemTime) -> String {
        let stamp = Timestamp::try_from(at).unwrap_or_default();
        let zoned = stamp.to_zoned_datetime(self.zone.clone());
        zoned.strftime("%H:%M").to_string()
    }

    /// The zone's name where it has one.
    pub fn zone_name(&self) -> String {
        let name = self.zone.iana_name();
        name.unwrap_or("UTC").to_owned()
    }
}

/// To the minute, hour or day.
pub fn age_of(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => "< 1 min".to_owned(),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A wait, to some seconds.
pub fn wait_of(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{} s", seconds / 5 * 5),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60 / 10 * 10),
        _ => age_of(age),
    }
}

/// `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 machine`, `2 machines`.
pub fn counted(number: u64, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        number => format!("{} {noun}s", count(number)),
    }
}

/// What may stand in a path or a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub fn in_query(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_is_written_out() {
        assert_eq!(plain("alice\u{202e}txt.exe"), "alice⟨U+202E⟩txt.exe");
        assert_eq!(
            plain("a\nb\u{0}c\u{1b}[2J"),
            "a⟨U+000A⟩b⟨U+0000⟩c⟨U+001B⟩[2J"
        );
        assert_eq!(plain("\u{200b}\u{feff}"), "⟨U+200B⟩⟨U+FEFF⟩");
        for shown in ["Zoë", "山田", "عليّ", "<img src=x>"] {
            assert_eq!(plain(shown), shown);
        }
    }

    #[test]
    fn times_are_a_pools_own_and_dates_are_said_where_they_matter() {
        let clock = Clock {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_774_267_200),
            zone: TimeZone::fixed(jiff::tz::offset(9)),
        };
        let before = |seconds| clock.moment(clock.now - Duration::from_secs(seconds));
        let moment = before(125);
        assert_eq!(moment.machine, "2026-03-23T20:57:55+09:00");
        assert_eq!((&*moment.clock, &*moment.ago), ("20:57:55", "2 min"));
        assert_eq!(before(86_400).clock, "22 Mar 21:00");
        assert_eq!(before(86_400 * 365).clock, "23 Mar 2025 21:00");
        assert_eq!(
            clock.moment(clock.now + Duration::from_secs(600)).ago,
            "in 10 min"
        );
    }

    #[test]
    fn figures_are_read_at_a_glance() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), text);
        }
        assert_eq!(counted(1, "machine"), "1 machine");
        assert_eq!(counted(1200, "session"), "1,200 sessions");
        assert_eq!(age_of(Duration::from_secs(59)), "< 1 min");
        assert_eq!(age_of(Duration::from_secs(7300)), "2 h");
        assert_eq!(wait_of(Duration::from_secs(38)), "35 s");
        assert_eq!(wait_of(Duration::from_secs(95)), "1 min 30 s");
        assert_eq!(in_query("a b/c&d"), "a%20b%2Fc%26d");
    }
}
