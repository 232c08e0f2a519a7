//! An operator's wish for a size, for a while: at least so many machines, and none beyond that nobody needs.
//!
//! It moves the lower bound and takes the patience out of shrinking. What is safe is not its business: people stay where
//! they sit, and more machines come where more are needed.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::pool::Now;

use super::schedule::Bounds;

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    pub machines: u32,
    pub until: Instant,
}

/// At least so many machines, as far as `max` allows.
pub fn hold(bounds: Bounds, floor: u32) -> Bounds {
    let min = bounds.min.max(floor.min(bounds.max));
    Bounds { min, ..bounds }
}

impl Order {
    pub fn is_in_force(&self, now: Now) -> bool {
        self.until > now.instant
    }

    /// As reasons tell of it.
    pub fn words(&self, now: Now) -> String {
        let rest = self.until.saturating_duration_since(now.instant);
        let end = now.wall.checked_add(rest).unwrap_or(now.wall);
        let end = Timestamp::try_from(end).unwrap_or_default();
        let form = match rest < DAY {
            true => "%H:%M UTC",
            false => "%F %H:%M UTC",
        };
        let end = end.to_zoned_datetime(TimeZone::UTC).strftime(form);
        let count = self.machines;
        let machines = if count == 1 { "machine" } else { "machines" };
        format!("an operator asked for {count} {machines} until {end}")
    }
}
