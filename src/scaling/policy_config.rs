//! How a pool is resized, as policies are told: plain values, checked before.

use std::time::Duration;

use super::schedule::Schedule;

/// How a pool is resized; from config, already validated.
#[derive(Clone, Debug)]
pub struct PolicyConfig {
    pub schedule: Schedule,
    /// A machine nobody is on may go after so long.
    pub idle: Duration,
    /// What was needed within this time is not given up.
    pub stabilise: Duration,
    /// After machines were asked for, none is drained for so long.
    pub cool_down: Duration,
    /// At most so many seats are kept free for people who are likely to come while a machine boots.
    pub learned_seats_max: u32,
    /// How long a boot takes until some have been measured.
    pub boot_estimate: Duration,
    /// A machine that takes no login so long after it was asked for has failed.
    pub boot_timeout: Duration,
    /// Machines asked for at once.
    pub grow_max: u32,
    /// Machines asked for within an hour.
    pub grow_hourly_max: u32,
    /// Machines with people on them that drain at once.
    pub drain_max: u32,
    /// Machine-hours a calendar month may have, in UTC; `None`: any number.
    pub monthly_hours: Option<u32>,
    /// A listing older than this is not believed.
    pub stale_after: Duration,
}

impl PolicyConfig {
    /// The defaults of the configuration.
    pub fn new(schedule: Schedule) -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            schedule,
            idle: minutes(15),
            stabilise: minutes(10),
            cool_down: minutes(10),
            learned_seats_max: 16,
            boot_estimate: minutes(5),
            boot_timeout: minutes(15),
            grow_max: 10,
            grow_hourly_max: 60,
            drain_max: 10,
            monthly_hours: None,
            stale_after: minutes(3),
        }
    }
}
