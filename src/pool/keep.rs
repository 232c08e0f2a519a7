//! Until when somebody wants an instance to stay: what people type, how it is capped and shown, and whose wish stands.
//!
//! Pure: the time and the zone come in. Who may ask, and how the answer reaches them, is the front doors' business.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, ZonedDateTime};

use super::decision::Keep;
use super::{InstanceId, Pool};

/// Nothing anybody means is longer; more of it is not shown either.
const TEXT_MAX: usize = 40;

/// Why a wish cannot be understood, in words for whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepFault {
    #[error("{0:?} is no time of the day and no length of time; write such as 18:00 or 2h")]
    Unreadable(String),
    #[error("{0:?} is no time at all; write such as 18:00 or 2h")]
    Nothing(String),
    #[error("{0:?} is further away than time is counted; write such as 18:00 or 2h")]
    TooFar(String),
}

impl Pool {
    /// Until when somebody wants an instance to stay, be it past or not.
    pub fn kept(&self, id: &InstanceId) -> Option<&Keep> {
        self.rosters.get(&id.pool)?.member(&id.name)?.keep.as_ref()
    }
}

/// `18:00` is that time of today, or of tomorrow where it has passed; `2h`, `90m` or `1h 30m` counts from now.
///
/// # Errors
/// What is wrong with it and what to write.
pub fn parse_until(text: &str, now: SystemTime, zone: &TimeZone) -> Result<SystemTime, KeepFault> {
    let text = text.trim();
    let shown: String = text.chars().take(TEXT_MAX).collect();
    let too_far = || KeepFault::TooFar(shown.clone());
    if text.len() > TEXT_MAX {
        return Err(KeepFault::Unreadable(shown));
    }
    if let Some(time) = time_of_day(text) {
        let now = Timestamp::try_from(now).map_err(|_| too_far())?;
        let until = next(time, &now.to_zoned_datetime(zone.clone())).ok_or_else(too_far)?;
        return SystemTime::try_from(until).map_err(|_| too_far());
    }
    let length = length(text).ok_or_else(|| KeepFault::Unreadable(shown.clone()))?;
    if length.is_zero() {
        return Err(KeepFault::Nothing(shown));
    }
    let until = now.checked_add(length).ok_or_else(too_far)?;
    // What cannot be shown is not kept either.
    match Timestamp::try_from(until) {
        Ok(_) => Ok(until),
        Err(_) => Err(too_far()),
    }
}

/// The wish within what is allowed, and whether it was cut.
pub fn cap(until: SystemTime, now: SystemTime, longest: Duration) -> (SystemTime, bool) {
    let last = now.checked_add(longest).unwrap_or(until);
    match until > last {
        true => (last, true),
        false => (until, false),
    }
}

/// As people read it: the time, the day where it is not today, and the zone.
pub fn show_until(until: SystemTime, now: SystemTime, zone: &TimeZone) -> String {
    let zoned = |time| Timestamp::try_from(time).map(|time| time.to_zoned_datetime(zone.clone()));
    let (Ok(until), Ok(now)) = (zoned(until), zoned(now)) else {
        return "a time nobody can write".to_owned();
    };
    let tomorrow = now.date().tomorrow().ok();
    let format = match until.date() {
        day if day == now.date() => "%H:%M %Z",
        day if Some(day) == tomorrow => "tomorrow %H:%M %Z",
        _ => "%A %Y-%m-%d %H:%M %Z",
    };
    until.strftime(format).to_string()
}

/// What stands after `wish`: one's own may be put forward and back, somebody else's only be outlasted.
pub fn join(current: Option<&Keep>, wish: Keep) -> Keep {
    match current {
        Some(other) if other.by != wish.by && other.until > wish.until => other.clone(),
        _ => wish,
    }
}

/// What stands when `by` wants nothing any more.
pub fn give_up(current: Option<&Keep>, by: &Arc<str>, now: SystemTime) -> Option<Keep> {
    let others = current.filter(|keep| keep.by != *by && keep.until > now);
    others.cloned()
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_plain =
            (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        is_plain.then(|| digits.parse().ok()).flatten()
    };
    let minute = Some(minute).filter(|digits| digits.len() == 2);
    Time::new(number(hour)?, number(minute?)?, 0, 0).ok()
}

/// The next moment a clock shows this: in the hour it skips, right after; in the one it repeats, the first that is to come.
fn next(time: Time, now: &ZonedDateTime) -> Option<ZonedDateTime> {
    let on = |day: jiff::civil::Date| {
        let ambiguous = now
            .time_zone()
            .to_ambiguous_zoned_datetime(day.to_datetime(time));
        let moments = [ambiguous.clone().compatible(), ambiguous.later()];
        let to_come = moments.into_iter().flatten().filter(|at| at > now);
        to_come.min()
    };
    on(now.date()).or_else(|| on(now.date().checked_add(1.day()).ok()?))
}

/// `2h`, `90m`, `1h 30m`: days have 24 hours.
fn length(text: &str) -> Option<Duration> {
    // `18:00:00` would be read as a length.
    if !text.starts_with(|c: char| c.is_ascii_digit()) || text.contains(':') {
        return None;
    }
    let span: jiff::Span = text.parse().ok()?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let length: SignedDuration = span.to_duration(days).ok()?;
    Duration::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().try_into().unwrap()
    }

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    /// From a moment in Berlin's winter, 16:30 on the clock there.
    fn until(text: &str) -> Result<String, KeepFault> {
        let found = parse_until(text, at("2026-11-24T15:30:00Z"), &berlin())?;
        Ok(Timestamp::try_from(found).unwrap().to_string())
    }

    #[test]
    fn a_time_of_the_day_is_the_next_one_and_a_length_counts_from_now() {
        for (text, expected) in [
            ("18:00", "2026-11-24T17:00:00Z"),
            ("9:05", "2026-11-25T08:05:00Z"),
            ("16:30", "2026-11-25T15:30:00Z"),
            (" 00:00 ", "2026-11-24T23:00:00Z"),
            ("2h", "2026-11-24T17:30:00Z"),
            ("90m", "2026-11-24T17:00:00Z"),
            ("1h 30m", "2026-11-24T17:00:00Z"),
            ("1h30m", "2026-11-24T17:00:00Z"),
            ("1d", "2026-11-25T15:30:00Z"),
            ("45s", "2026-11-24T15:30:45Z"),
        ] {
            assert_eq!(until(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_nobody_means_is_refused_with_what_to_write() {
        for text in [
            "",
            "2",
            "soon",
            "24:00",
            "12:60",
            "18:0",
            "018:00",
            "+1:00",
            "-2h",
            "2h ago",
            "1mo",
            "1y",
            "18:00:00",
            "2x",
            "１８:00",
            "\u{1b}[2J",
            "P1D",
            &"9".repeat(50),
        ] {
            let fault = until(text).unwrap_err();
            assert!(matches!(fault, KeepFault::Unreadable(_)), "{text}: {fault}");
        }
        assert!(matches!(until("0m"), Err(KeepFault::Nothing(_))));
        assert!(matches!(
            until("170000000h"),
            Err(KeepFault::TooFar(_) | KeepFault::Unreadable(_))
        ));
        let told = until("\u{1b}[2J").unwrap_err().to_string();
        assert!(!told.contains('\u{1b}'), "{told}");
    }

    #[test]
    fn clocks_that_are_set_forward_or_back_are_no_obstacle() {
        let zone = berlin();
        // 2026-03-29 has no 02:30, 2026-10-25 has two.
        let spring = parse_until("02:30", at("2026-03-29T00:00:00Z"), &zone).unwrap();
        assert_eq!(
            show_until(spring, at("2026-03-29T00:00:00Z"), &zone),
            "03:30 CEST"
        );
        let autumn = |now| parse_until("02:30", at(now), &zone).unwrap();
        assert_eq!(autumn("2026-10-25T00:00:00Z"), at("2026-10-25T00:30:00Z"));
        assert_eq!(autumn("2026-10-25T01:00:00Z"), at("2026-10-25T01:30:00Z"));
        assert_eq!(autumn("2026-10-25T02:00:00Z"), at("2026-10-26T01:30:00Z"));
    }

    #[test]
    fn times_are_shown_as_people_say_them() {
        let now = at("2026-11-24T15:30:00Z");
        let show = |time| show_until(at(time), now, &berlin());
        assert_eq!(show("2026-11-24T17:00:00Z"), "18:00 CET");
        assert_eq!(show("2026-11-25T08:05:00Z"), "tomorrow 09:05 CET");
        assert_eq!(show("2026-11-27T08:05:00Z"), "Friday 2026-11-27 09:05 CET");
        assert_eq!(show_until(now, now, &TimeZone::UTC), "15:30 UTC");
    }

    #[test]
    fn nobody_is_kept_longer_than_is_allowed() {
        let (now, hour) = (at("2026-11-24T15:30:00Z"), Duration::from_secs(3600));
        assert_eq!(cap(now + hour, now, hour), (now + hour, false));
        assert_eq!(cap(now + 3 * hour, now, hour), (now + hour, true));
        assert_eq!(cap(now + hour, now, Duration::MAX), (now + hour, false));
    }

    #[test]
    fn nobody_cuts_short_what_somebody_else_asked_for() {
        let (now, hour) = (at("2026-11-24T15:30:00Z"), Duration::from_secs(3600));
        let keep = |by: &str, hours: u32| Keep {
            by: by.into(),
            until: now + hour * hours,
        };
        let bob = keep("bob", 3);
        assert_eq!(join(None, keep("alice", 1)), keep("alice", 1));
        assert_eq!(join(Some(&bob), keep("alice", 1)), bob);
        assert_eq!(join(Some(&bob), keep("alice", 4)), keep("alice", 4));
        assert_eq!(join(Some(&bob), keep("bob", 1)), keep("bob", 1));
        assert_eq!(give_up(Some(&bob), &"alice".into(), now), Some(bob.clone()));
        assert_eq!(give_up(Some(&bob), &"bob".into(), now), None);
        assert_eq!(give_up(Some(&bob), &"alice".into(), bob.until), None);
        assert_eq!(give_up(None, &"alice".into(), now), None);
    }
}
