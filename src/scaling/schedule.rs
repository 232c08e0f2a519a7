//! What the week looks like: phases with their bounds, days that are like others, and seats booked ahead.
//!
//! Starts are moments, not clock readings: a phase that began in the hour a clock repeats has begun, and one whose time a
//! clock skips begins soon after. The time zone is an argument; nothing is looked up here.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::pool::PlacementPolicy;

/// Seats kept free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    Seats(u32),
    /// Of all seats.
    Percent(u32),
}

/// As the configuration writes it.
impl fmt::Display for Headroom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seats(1) => f.write_str("1 seat"),
            Self::Seats(seats) => write!(f, "{seats} seats"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// What a phase allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub min: u32,
    pub max: u32,
    pub headroom: Headroom,
    pub placement: PlacementPolicy,
}

#[derive(Clone, Debug)]
pub struct Schedule {
    pub zone: TimeZone,
    /// Where no phase has begun.
    pub base: Bounds,
    pub phases: Vec<Phase>,
    pub exceptions: Vec<Exception>,
    pub reservations: Vec<Reservation>,
}

/// In force from its time on its days until another begins.
#[derive(Clone, Debug)]
pub struct Phase {
    pub name: Arc<str>,
    pub days: Days,
    pub at: Time,
    pub bounds: Bounds,
}

/// Days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Days(u8);

/// Dates that go by another day's plan, such as holidays by Sunday's.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    pub first: Date,
    pub last: Date,
    pub like: Weekday,
}

/// Seats booked for a time: a class.
#[derive(Clone, Copy, Debug)]
pub struct Reservation {
    pub seats: u32,
    pub when: When,
    /// How long after the beginning seats are held for people who have not come.
    pub length: Duration,
}

#[derive(Clone, Copy, Debug)]
pub enum When {
    Weekly(Days, Time),
    Once(DateTime),
}

/// A reservation whose seats are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booking {
    pub seats: u32,
    pub begins: Timestamp,
}

impl Days {
    pub fn with(self, day: Weekday) -> Self {
        Self(self.0 | bit(day))
    }

    pub fn has(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn bit(day: Weekday) -> u8 {
    1_u8 << day.to_monday_zero_offset()
}

/// A phase is looked for this far back: all days of a week, and the one whose name today has.
const DAYS_BACK: i64 = 8;
/// Holidays may be longer than a week.
const DAYS_AHEAD: i64 = 31;

impl Schedule {
    /// The same at all times.
    pub fn always(base: Bounds) -> Self {
        Self {
            zone: TimeZone::UTC,
            base,
            phases: Vec::new(),
            exceptions: Vec::new(),
            reservations: Vec::new(),
        }
    }

    /// The phase in force, by its name, and its bounds.
    pub fn at(&self, now: SystemTime) -> (&str, Bounds) {
        let found = self.phase(now);
        found.map_or(("always", self.base), |phase| (&phase.name, phase.bounds))
    }

    /// When another phase begins than the one in force, and its name; `None` if none does for as long as is looked ahead.
    pub fn next(&self, now: SystemTime) -> Option<(SystemTime, &Arc<str>)> {
        let current = self.phase(now).map(|phase| &phase.name);
        let moment = Timestamp::try_from(now).ok()?;
        let today = moment.to_zoned_datetime(self.zone.clone()).date();
        (0..=DAYS_AHEAD).find_map(|ahead| {
            let date = today.checked_add(ahead.days()).ok()?;
            let day = self.day(date);
            let others = self.phases.iter().filter(|phase| phase.days.has(day));
            let others = others.filter(|phase| Some(&phase.name) != current);
            let to_come = others.filter_map(|phase| {
                let start = self.moment(date.to_datetime(phase.at))?;
                (start > moment).then_some((start, &phase.name))
            });
            let (start, name) = to_come.min_by_key(|(start, _)| *start)?;
            Some((SystemTime::try_from(start).ok()?, name))
        })
    }

    /// The bookings whose seats are held, from `lead` before they begin.
    pub fn bookings(&self, now: SystemTime, lead: Duration) -> Vec<Booking> {
        let Ok(now) = Timestamp::try_from(now) else {
            return Vec::new();
        };
        let mut held = Vec::new();
        for reservation in &self.reservations {
            for begins in self.beginnings(reservation.when, now) {
                let opens = begins.checked_sub(lead).unwrap_or(begins);
                let ends = begins.checked_add(reservation.length).unwrap_or(begins);
                if opens <= now && now < ends {
                    held.push(Booking {
                        seats: reservation.seats,
                        begins,
                    });
                }
            }
        }
        held
    }

    fn phase(&self, now: SystemTime) -> Option<&Phase> {
        if self.phases.is_empty() {
            return None;
        }
        let now = Timestamp::try_from(now).ok()?;
        let today = now.to_zoned_datetime(self.zone.clone()).date();
        (0..=DAYS_BACK).find_map(|back| {
            let date = today.checked_sub(back.days()).ok()?;
            let day = self.day(date);
            let begun = self.phases.iter().filter(|phase| phase.days.has(day));
            let begun = begun.filter_map(|phase| {
                let start = self.moment(date.to_datetime(phase.at))?;
                (start <= now).then_some((start, phase))
            });
            begun
                .max_by_key(|(start, _)| *start)
                .map(|(_, phase)| phase)
        })
    }

    /// The day of the week whose plan holds on a date.
    fn day(&self, date: Date) -> Weekday {
        let exception = self
            .exceptions
            .iter()
            .find(|one| one.first <= date && date <= one.last);
        exception.map_or(date.weekday(), |exception| exception.like)
    }

    /// When it begins, around a moment: the day before, that day and the next.
    fn beginnings(&self, when: When, now: Timestamp) -> Vec<Timestamp> {
        match when {
            When::Once(at) => self.moment(at).into_iter().collect(),
            When::Weekly(days, at) => {
                let today = now.to_zoned_datetime(self.zone.clone()).date();
                let dates = (-1..=1_i64).filter_map(|days| today.checked_add(days.days()).ok());
                let dates = dates.filter(|date| days.has(self.day(*date)));
                dates
                    .filter_map(|date| self.moment(date.to_datetime(at)))
                    .collect()
            }
        }
    }

    /// Of two moments the first; of none, as long after the clock's jump as the time is after its beginning.
    fn moment(&self, at: DateTime) -> Option<Timestamp> {
        self.zone.to_timestamp(at).ok()
    }
}
