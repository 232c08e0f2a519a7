//! Phases, exceptions and bookings by the clock, also where clocks change.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday, date, time};
use jiff::tz::TimeZone;

use super::schedule::{Days, Exception, Phase, Reservation, When};
use super::*;

fn berlin() -> TimeZone {
    // Without a database of time zones: central European time by its rule.
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn days(days: &[Weekday]) -> Days {
    days.iter().fold(Days::default(), |all, day| all.with(*day))
}

const WORKDAYS: [Weekday; 5] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
];

fn week() -> Schedule {
    let base = config(0, 20).schedule.base;
    let phase = |name: &str, on: &[Weekday], at: Time, min: u32| Phase {
        name: name.into(),
        days: days(on),
        at,
        bounds: Bounds { min, ..base },
    };
    Schedule {
        zone: berlin(),
        base,
        phases: vec![
            phase("ramp-up", &WORKDAYS, time(7, 0, 0, 0), 2),
            phase("off-peak", &WORKDAYS, time(20, 0, 0, 0), 0),
            phase("night", &[Weekday::Sunday], time(2, 30, 0, 0), 1),
        ],
        exceptions: vec![Exception {
            first: date(2026, 12, 24),
            last: date(2026, 12, 31),
            like: Weekday::Saturday,
        }],
        reservations: vec![Reservation {
            seats: 30,
            when: When::Weekly(days(&[Weekday::Tuesday]), time(13, 0, 0, 0)),
            length: Duration::from_secs(3600),
        }],
    }
}

fn phase_at(moment: &str) -> String {
    let moment: Timestamp = moment.parse().unwrap();
    let week = week();
    let (name, _) = week.at(SystemTime::try_from(moment).unwrap());
    name.to_owned()
}

#[test]
fn a_phase_lasts_until_another_begins() {
    // Winter: one hour ahead of UTC.
    assert_eq!(phase_at("2026-03-23T05:59:59Z"), "night");
    assert_eq!(phase_at("2026-03-23T06:00:00Z"), "ramp-up");
    assert_eq!(phase_at("2026-03-23T19:00:00Z"), "off-peak");
    assert_eq!(phase_at("2026-03-28T12:00:00Z"), "off-peak");
    // Summer: two.
    assert_eq!(phase_at("2026-03-30T04:59:59Z"), "night");
    assert_eq!(phase_at("2026-03-30T05:00:00Z"), "ramp-up");
}

#[test]
fn a_time_the_clock_skips_or_repeats_begins_once() {
    // On 29 March there is no 02:30: clocks go from 02:00 to 03:00 at 01:00 UTC.
    assert_eq!(phase_at("2026-03-29T00:59:59Z"), "off-peak");
    assert_eq!(phase_at("2026-03-29T01:30:00Z"), "night");
    // On 25 October 02:30 comes twice, at 00:30 and at 01:30 UTC.
    assert_eq!(phase_at("2026-10-25T00:29:59Z"), "off-peak");
    assert_eq!(phase_at("2026-10-25T00:30:00Z"), "night");
    assert_eq!(phase_at("2026-10-25T01:10:00Z"), "night");
}

#[test]
fn dates_may_go_by_another_day() {
    assert_eq!(phase_at("2026-12-23T12:00:00Z"), "ramp-up");
    assert_eq!(phase_at("2026-12-24T12:00:00Z"), "off-peak");
    assert_eq!(phase_at("2026-12-31T12:00:00Z"), "off-peak");
    assert_eq!(phase_at("2027-01-01T12:00:00Z"), "ramp-up");
}

#[test]
fn seats_are_held_from_before_the_class_until_nobody_comes_any_more() {
    let lead = Duration::from_secs(600);
    let held = |moment: &str| {
        let moment: Timestamp = moment.parse().unwrap();
        week()
            .bookings(SystemTime::try_from(moment).unwrap(), lead)
            .len()
    };
    assert_eq!(held("2026-03-24T11:49:59Z"), 0);
    assert_eq!(held("2026-03-24T11:50:00Z"), 1);
    assert_eq!(held("2026-03-24T12:59:59Z"), 1);
    assert_eq!(held("2026-03-24T13:00:00Z"), 0);
    assert_eq!(held("2026-03-25T12:10:00Z"), 0);
}

#[test]
fn a_booking_is_bought_ahead_and_filled_by_whoever_comes() {
    let mut config = config(0, 20);
    config.schedule = week();
    let tuesday: Timestamp = "2026-03-24T11:51:00Z".parse().unwrap();
    let mut at = now();
    at.wall = SystemTime::try_from(tuesday).unwrap();
    let mut history = History::default();
    let before = facts(vec![instance("a", 3)], 0);
    history.observe(&before, &config, at);
    let made = plan(&before, &history, &config, at);
    assert_eq!(actions(&made), ["grow by 4"]);
    let mut full = facts(["a", "b", "c", "d"].map(|name| instance(name, 8)).into(), 0);
    full.instances.push(instance("e", 1));
    let at = later(at, 600);
    history.observe(&full, &config, at);
    assert_eq!(
        actions(&plan(&full, &history, &config, at)),
        Vec::<String>::new()
    );
}

#[test]
fn it_is_known_which_phase_comes_next_and_when() {
    let next = |moment: &str| {
        let moment: Timestamp = moment.parse().unwrap();
        let week = week();
        let (at, name) = week.next(SystemTime::try_from(moment).unwrap()).unwrap();
        format!("{name} {}", Timestamp::try_from(at).unwrap())
    };
    assert_eq!(
        next("2026-03-23T12:00:00Z"),
        "off-peak 2026-03-23T19:00:00Z"
    );
    assert_eq!(next("2026-03-27T22:00:00Z"), "night 2026-03-29T01:30:00Z");
    // The holidays go by Saturday, on which nothing begins.
    assert_eq!(next("2026-12-23T20:00:00Z"), "ramp-up 2027-01-01T06:00:00Z");
    assert!(config(0, 1).schedule.next(now().wall).is_none());
}
