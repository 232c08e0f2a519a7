//! `[pools.NAME.scaling]`: how a pool is resized. What follows from it is decided in `scaling`; here are bounds, times and
//! the week's plan, as they are written.

use std::time::Duration;

use ::config::{Value, ValueKind};
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use super::raw::Section;
use super::units::{duration, duration_or_off};
use super::validate::seconds;
use super::values::{number, shown, text, word};
use super::{Headroom, Placement};

#[derive(Clone, Debug, PartialEq)]
pub struct ScalingConfig {
    /// Whether there is such a section: without one the pool is as large as it is.
    pub is_written: bool,
    pub min: u32,
    pub max: u32,
    pub headroom: Headroom,
    pub idle: Duration,
    pub stabilise: Duration,
    pub cool_down: Duration,
    pub learned_seats_max: u32,
    pub boot_estimate: Duration,
    pub boot_timeout: Duration,
    pub grow_max: u32,
    pub grow_hourly_max: u32,
    pub drain_max: u32,
    /// `None`: any number.
    pub monthly_hours: Option<u32>,
    pub stale_after: Duration,
    /// How long after a drain began people are made to leave; `None`: never.
    pub evict_after: Option<Duration>,
    /// How long before that they are told once more.
    pub evict_notice: Duration,
    pub evict_text: String,
    /// How long people may have an instance kept; `None`: they may not.
    pub keep_max: Option<Duration>,
    /// How long ago a name may have logged in for whom a password wakes a machine; `None`: no password does.
    pub wake_by_password: Option<Duration>,
    /// Of a machine's hour.
    pub price: f64,
    pub spot_price: f64,
    pub time_zone: TimeZone,
    pub phases: Vec<PhaseConfig>,
    pub exceptions: Vec<ExceptionConfig>,
    pub reservations: Vec<ReservationConfig>,
}

/// What is not written is as the pool has it.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseConfig {
    pub name: String,
    pub days: Vec<Weekday>,
    pub at: Time,
    pub min: u32,
    pub max: u32,
    pub headroom: Headroom,
    pub placement: Option<Placement>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExceptionConfig {
    pub first: Date,
    pub last: Date,
    pub like: Weekday,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ReservationConfig {
    pub seats: u32,
    pub at: ReservedAt,
    pub length: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReservedAt {
    Weekly(Vec<Weekday>, Time),
    Once(DateTime),
}

impl Default for ScalingConfig {
    fn default() -> Self {
        Self {
            is_written: false,
            min: 0,
            max: 20,
            headroom: Headroom::Seats(2),
            idle: seconds(900),
            stabilise: seconds(600),
            cool_down: seconds(600),
            learned_seats_max: 16,
            boot_estimate: seconds(300),
            boot_timeout: seconds(900),
            grow_max: 10,
            grow_hourly_max: 60,
            drain_max: 10,
            monthly_hours: None,
            stale_after: seconds(180),
            evict_after: None,
            evict_notice: seconds(900),
            evict_text: EVICT_TEXT.to_owned(),
            keep_max: Some(seconds(12 * 3600)),
            wake_by_password: Some(seconds(90 * 24 * 3600)),
            price: 0.0,
            spot_price: 0.0,
            time_zone: TimeZone::UTC,
            phases: Vec::new(),
            exceptions: Vec::new(),
            reservations: Vec::new(),
        }
    }
}

const EVICT_TEXT: &str =
    "this machine is being taken out of service: save your work and log out, please";
const EVICT_TEXT_MAX: usize = 500;

const DAYS: &[(&str, Weekday)] = &[
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

pub(super) fn scaling(mut section: Section<'_>) -> ScalingConfig {
    let base = ScalingConfig::default();
    let hours = |count: u64| seconds(count * 3600);
    let machines = || number(1..=10_000);
    let mut config = ScalingConfig {
        is_written: section.is_present(),
        min: section.get_or("min", base.min, number(0..=10_000)),
        max: section.get_or("max", base.max, machines()),
        headroom: section.get_or("headroom", base.headroom, headroom),
        idle: section.get_or("idle", base.idle, duration(seconds(1)..=hours(7 * 24))),
        stabilise: section.get_or(
            "stabilise",
            base.stabilise,
            duration(seconds(0)..=seconds(3600)),
        ),
        cool_down: section.get_or(
            "cool_down",
            base.cool_down,
            duration(seconds(0)..=hours(24)),
        ),
        learned_seats_max: section.get_or(
            "learned_seats_max",
            base.learned_seats_max,
            number(0..=1_000_000),
        ),
        boot_estimate: section.get_or(
            "boot_estimate",
            base.boot_estimate,
            duration(seconds(1)..=hours(1)),
        ),
        boot_timeout: section.get_or(
            "boot_timeout",
            base.boot_timeout,
            duration(seconds(5)..=hours(4)),
        ),
        grow_max: section.get_or("grow_max", base.grow_max, machines()),
        grow_hourly_max: section.get_or("grow_hourly_max", base.grow_hourly_max, machines()),
        drain_max: section.get_or("drain_max", base.drain_max, machines()),
        monthly_hours: section.get_or("monthly_hours", None, number_or_off),
        stale_after: section.get_or(
            "stale_after",
            base.stale_after,
            duration(seconds(30)..=hours(1)),
        ),
        price: section.get_or("price", base.price, price),
        spot_price: section.get_or("spot_price", base.spot_price, price),
        time_zone: section.get_or("time_zone", base.time_zone.clone(), time_zone),
        ..base
    };
    check_bounds(&section, config.min, config.max);
    read_courtesies(&mut section, &mut config);
    let phases = section.sections("phases").unwrap_or_default();
    let phases = phases
        .into_iter()
        .filter_map(|phase| read_phase(phase, &config));
    config.phases = phases.collect();
    let exceptions = section.sections("exceptions").unwrap_or_default();
    config.exceptions = exceptions.into_iter().filter_map(read_exception).collect();
    let reservations = section.sections("reservations").unwrap_or_default();
    config.reservations = reservations
        .into_iter()
        .filter_map(read_reservation)
        .collect();
    section.finish();
    config
}

/// How people on machines that are to go are treated.
fn read_courtesies(section: &mut Section<'_>, config: &mut ScalingConfig) {
    let hours = |count: u64| seconds(count * 3600);
    config.evict_after = section.get_or(
        "evict_after",
        config.evict_after,
        duration_or_off(seconds(1)..=hours(7 * 24)),
    );
    config.evict_notice = section.get_or(
        "evict_notice",
        config.evict_notice,
        duration(seconds(0)..=hours(24)),
    );
    config.evict_text = section.get_or("evict_text", config.evict_text.clone(), notice_text);
    config.keep_max = section.get_or(
        "keep_max",
        config.keep_max,
        duration_or_off(seconds(60)..=hours(30 * 24)),
    );
    config.wake_by_password = section.get_or(
        "wake_by_password",
        config.wake_by_password,
        duration_or_off(hours(1)..=hours(3650 * 24)),
    );
}

fn check_bounds(section: &Section<'_>, min: u32, max: u32) {
    if min > max {
        section.fault(
            "min",
            format!("is {min}, above max ({max}); write at most {max}, or raise max"),
        );
    }
}

fn read_phase(mut section: Section<'_>, base: &ScalingConfig) -> Option<PhaseConfig> {
    let placements = &[
        ("spread", Placement::Spread),
        ("pack", Placement::Pack),
        ("auto", Placement::Auto),
    ];
    let name = section.required("name", "what people call it, such as \"ramp-up\"", text);
    let every_day = DAYS.iter().map(|(_, day)| *day).collect();
    let days = section.get_or("days", every_day, days);
    let at = section.required("at", "the time it begins, such as \"07:00\"", time);
    let min = section.get_or("min", base.min, number(0..=10_000));
    let max = section.get_or("max", base.max, number(0..=10_000));
    let headroom = section.get_or("headroom", base.headroom, headroom);
    let placement = section.get("placement", word(placements));
    check_bounds(&section, min, max);
    section.finish();
    Some(PhaseConfig {
        name: name?,
        days,
        at: at?,
        min,
        max,
        headroom,
        placement,
    })
}

fn read_exception(mut section: Section<'_>) -> Option<ExceptionConfig> {
    let dates = section.required(
        "dates",
        "a date or two, such as \"2026-12-24\" or \"2026-12-24..2027-01-06\"",
        dates,
    );
    let like = section.required(
        "like",
        "the day whose plan holds, such as \"sun\"",
        word(DAYS),
    );
    section.finish();
    let (first, last) = dates?;
    Some(ExceptionConfig {
        first,
        last,
        like: like?,
    })
}

fn read_reservation(mut section: Section<'_>) -> Option<ReservationConfig> {
    let seats = section.required("seats", "how many", number(1..=1_000_000));
    let write = "when it begins, such as \"tue,thu 13:00\" or \"2026-11-24 13:00\"";
    let at = section.required("at", write, reserved_at);
    let bounds = seconds(300)..=seconds(24 * 3600);
    let length = section.get_or("length", seconds(3600), duration(bounds));
    section.finish();
    Some(ReservationConfig {
        seats: seats?,
        at: at?,
        length,
    })
}

/// `"2 seats"` or `"20%"`.
fn headroom(value: &Value) -> Result<Headroom, String> {
    let text = match &value.kind {
        ValueKind::String(text) => text.trim(),
        _ => "",
    };
    let seats = text
        .strip_suffix("seats")
        .or_else(|| text.strip_suffix("seat"));
    let seats = seats.and_then(|number| number.trim_end().parse().ok());
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.trim_end().parse().ok());
    match (seats, percent) {
        (Some(seats), _) if seats <= 1_000_000 => Ok(Headroom::Seats(seats)),
        (_, Some(percent)) if percent <= 100 => Ok(Headroom::Percent(percent)),
        _ => Err(format!(
            "is {}; write seats or a share of all seats up to 100%, such as \"2 seats\" or \"20%\"",
            shown(value)
        )),
    }
}

fn number_or_off(value: &Value) -> Result<Option<u32>, String> {
    match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => number(1..=100_000_000)(value).map(Some).map_err(|message| {
            message.replace("write a whole number", "write \"off\" or a whole number")
        }),
    }
}

/// One line of a terminal.
fn notice_text(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let is_fit = text.len() <= EVICT_TEXT_MAX && !text.chars().any(char::is_control);
    is_fit.then_some(text).ok_or_else(|| {
        format!(
            "is longer than {EVICT_TEXT_MAX} bytes or has control characters; write one plain line"
        )
    })
}

fn price(value: &Value) -> Result<f64, String> {
    let price = match &value.kind {
        ValueKind::Float(price) => Some(*price),
        ValueKind::I64(price) => i32::try_from(*price).ok().map(f64::from),
        ValueKind::String(text) if value.origin().is_some() => text.trim().parse().ok(),
        _ => None,
    };
    let price = price.filter(|price| (0.0..=1e6).contains(price));
    price.ok_or_else(|| {
        format!(
            "is {}; write the price of an hour as a number, such as 0.096",
            shown(value)
        )
    })
}

fn time_zone(value: &Value) -> Result<TimeZone, String> {
    let name = text(value)?;
    TimeZone::get(&name).map_err(|_| {
        format!(
            "is {name:?}, which this machine knows no clock of; write a name such as \"Europe/Berlin\", or install tzdata"
        )
    })
}

fn time(value: &Value) -> Result<Time, String> {
    let text = text(value)?;
    parse_time(&text).ok_or_else(|| {
        format!("is {text:?}; write a time of the day in hours and minutes, such as \"07:00\"")
    })
}

/// Days of the week: `"mon-fri"`, `"sat,sun"`.
fn days(value: &Value) -> Result<Vec<Weekday>, String> {
    let text = text(value)?;
    parse_days(&text).ok_or_else(|| {
        format!("is {text:?}; write days as mon tue wed thu fri sat sun, such as \"mon-fri\" or \"sat,sun\"")
    })
}

fn dates(value: &Value) -> Result<(Date, Date), String> {
    let text = text(value)?;
    let (first, last) = text.split_once("..").unwrap_or((&text, &text));
    let dates = first.trim().parse().ok().zip(last.trim().parse().ok());
    dates.filter(|(first, last)| first <= last).ok_or_else(|| {
        format!("is {text:?}; write a date or the first and the last of several, such as \"2026-12-24..2027-01-06\"")
    })
}

fn reserved_at(value: &Value) -> Result<ReservedAt, String> {
    let text = text(value)?;
    let at = text.rsplit_once(' ').and_then(|(day, time)| {
        let time = parse_time(time)?;
        if let Ok(date) = day.trim().parse::<Date>() {
            return Some(ReservedAt::Once(date.to_datetime(time)));
        }
        Some(ReservedAt::Weekly(parse_days(day)?, time))
    });
    at.ok_or_else(|| {
        format!("is {text:?}; write days or a date and a time, such as \"tue,thu 13:00\" or \"2026-11-24 13:00\"")
    })
}

fn parse_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

fn parse_days(text: &str) -> Option<Vec<Weekday>> {
    let day = |name: &str| DAYS.iter().position(|(day, _)| *day == name.trim());
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let span = (last + DAYS.len() - first) % DAYS.len();
        for number in first..=first + span {
            days.push(DAYS.get(number % DAYS.len())?.1);
        }
    }
    Some(days)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::Weekday::{Friday, Monday, Saturday, Sunday};

    #[test]
    fn spans_of_days_may_cross_the_weekend() {
        assert_eq!(parse_days("mon-fri").unwrap().len(), 5);
        assert_eq!(
            parse_days("fri-mon"),
            Some(vec![Friday, Saturday, Sunday, Monday])
        );
        assert_eq!(parse_days("sat, sun"), Some(vec![Saturday, Sunday]));
        assert_eq!(parse_days("someday"), None);
    }
}
