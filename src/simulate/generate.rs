//! Weeks as they are: an office of data scientists, a class at 13:00, and sessions that nobody ends.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::civil::{Time, Weekday};

use crate::pool::Protocol;
use crate::scaling::schedule::{Days, Reservation, When};

use super::dice::Dice;
use super::trace::{Trace, Visit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Five working days of people who come, go to lunch and leave, and some who come at night.
    Diurnal,
    /// A few people all day, and a class of thirty at 13:00 on Tuesday and Thursday.
    Class,
    /// Mostly short sessions, and some that last for hours or days: jobs in a terminal.
    Tails,
}

/// Monday, 23 March 2026, 00:00 UTC: the week in which Europe's clocks change.
const MONDAY_S: u64 = 1_774_224_000;
const DAYS: u64 = 7;
const DAY_S: f64 = 86_400.0;
const HOUR_S: f64 = 3_600.0;
const CLASS_SEATS: u32 = 30;

impl Shape {
    pub const ALL: [Self; 3] = [Self::Diurnal, Self::Class, Self::Tails];

    pub fn name(self) -> &'static str {
        match self {
            Self::Diurnal => "diurnal",
            Self::Class => "class",
            Self::Tails => "tails",
        }
    }

    /// The seats of the class, booked.
    pub fn class_reservations() -> Vec<Reservation> {
        let days = Days::default()
            .with(Weekday::Tuesday)
            .with(Weekday::Thursday);
        vec![Reservation {
            seats: CLASS_SEATS,
            when: When::Weekly(days, Time::constant(13, 0, 0, 0)),
            length: Duration::from_secs(1800),
        }]
    }

    /// A week of it.
    pub fn trace(self, seed: u64) -> Trace {
        let mut week = Week {
            dice: Dice::new(seed ^ 0x5eed_0000),
            visits: Vec::new(),
        };
        match self {
            Self::Diurnal => week.office(160),
            Self::Class => {
                week.office(40);
                week.class();
            }
            Self::Tails => week.tails(),
        }
        let begins = SystemTime::UNIX_EPOCH + Duration::from_secs(MONDAY_S);
        Trace::new(begins, week.visits)
    }
}

struct Week {
    dice: Dice,
    visits: Vec<Visit>,
}

impl Week {
    fn office(&mut self, people: u64) {
        for day in 0..DAYS {
            let is_weekend = day >= 5;
            for person in 0..people {
                let comes = match is_weekend {
                    true => self.dice.is_one_in(25),
                    false => !self.dice.is_one_in(5),
                };
                if comes {
                    self.working_day(day, person);
                }
                if self.dice.is_one_in(40) {
                    self.night(day, person);
                }
            }
        }
    }

    /// From about nine to half past five, with a pause for lunch; some have a second session beside the first.
    fn working_day(&mut self, day: u64, person: u64) {
        let comes = self.dice.normal(9.0, 0.8);
        let lunch = self.dice.normal(12.3, 0.4);
        let back = lunch + self.dice.normal(0.8, 0.2).max(0.2);
        let leaves = self.dice.normal(17.5, 1.0).max(back + 0.5);
        let protocol = self.protocol();
        match self.dice.is_one_in(2) {
            true => self.visit(day, person, (comes, leaves), protocol),
            false => {
                self.visit(day, person, (comes, lunch), protocol);
                self.visit(day, person, (back, leaves), protocol);
            }
        }
        if self.dice.is_one_in(3) {
            let start = comes + self.dice.fraction() * (leaves - comes);
            let length = self.dice.exponential(0.7);
            let other = self.protocol();
            self.visit(day, person, (start, start + length), other);
        }
    }

    fn night(&mut self, day: u64, person: u64) {
        let start = 18.0 + self.dice.fraction() * 10.0;
        let length = self.dice.exponential(0.8);
        self.visit(day, person, (start, start + length), Protocol::Ssh);
    }

    fn class(&mut self) {
        for day in [1, 3] {
            for student in 0..u64::from(CLASS_SEATS) {
                let start = self.dice.normal(13.0, 0.05);
                let end = self.dice.normal(14.5, 0.1);
                self.visit(day, 1_000 + student, (start, end), Protocol::Jupyter);
            }
        }
    }

    fn tails(&mut self) {
        let mut at = 0.0;
        loop {
            at += self.dice.exponential(0.04);
            let hour = at % 24.0;
            if at > 24.0 * 7.0 {
                return;
            }
            // Nights and mornings are quieter.
            if !(8.0..20.0).contains(&hour) && !self.dice.is_one_in(4) {
                continue;
            }
            let length = self.dice.tail(0.4, 1.1).min(72.0);
            let person = self.dice.below(400);
            let protocol = self.protocol();
            self.visit(0, person, (at, at + length), protocol);
        }
    }

    fn protocol(&mut self) -> Protocol {
        match self.dice.is_one_in(3) {
            true => Protocol::Ssh,
            false => Protocol::Jupyter,
        }
    }

    /// Hours of that day.
    #[expect(clippy::cast_precision_loss, reason = "days of a week")]
    fn visit(&mut self, day: u64, person: u64, (from, to): (f64, f64), protocol: Protocol) {
        let start = (day as f64 * DAY_S + from * HOUR_S).max(0.0);
        let length = ((to - from) * HOUR_S).max(30.0);
        self.visits.push(Visit {
            user: Arc::from(format!("p{person}")),
            start: Duration::from_secs_f64(start),
            length: Duration::from_secs_f64(length),
            protocol,
        });
    }
}
