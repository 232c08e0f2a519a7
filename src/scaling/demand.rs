//! How many seats are wanted: by people who are there, who wait, who have booked, and who are likely to come.

use std::fmt;

use crate::pool::Now;

use super::facts::Facts;
use super::history::{History, Peak};
use super::policy_config::PolicyConfig;
use super::schedule::Headroom;
use super::supply::Supply;

/// Above this share of the month's hours no seat is kept free.
const BUDGET_TIGHT_PERCENT: u64 = 90;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    /// Seats taken where people can stay.
    pub live: u32,
    /// Seats taken where they cannot.
    pub stranded: u32,
    pub waiting: u32,
    /// Booked, by people who have not come.
    pub reserved: u32,
    pub headroom: u32,
    /// Of `headroom`, what the last hour taught beyond what is configured.
    pub learned: u32,
}

impl Demand {
    pub fn of(
        facts: &Facts,
        supply: &Supply<'_>,
        history: &History,
        config: &PolicyConfig,
        now: Now,
    ) -> Self {
        let (_, bounds) = config.schedule.at(now.wall);
        let present = Self {
            live: supply.taken(),
            stranded: supply.stranded(),
            waiting: facts.waiting,
            reserved: 0,
            headroom: 0,
            learned: 0,
        };
        let demand = Self {
            reserved: history.reserved(present.present(), config, now),
            ..present
        };
        if demand.people() == 0 || is_budget_tight(history, config) {
            return demand;
        }
        let configured = match bounds.headroom {
            Headroom::Seats(seats) => seats,
            Headroom::Percent(percent) => share(demand.people(), percent),
        };
        let learned = history.rise(config).min(config.learned_seats_max);
        Self {
            headroom: configured.max(learned),
            learned: learned.saturating_sub(configured),
            ..demand
        }
    }

    /// Seats that must be free where people are sent.
    pub fn free(&self) -> u32 {
        self.stranded
            .saturating_add(self.waiting)
            .saturating_add(self.reserved)
            .saturating_add(self.headroom)
    }

    /// Seats in all.
    pub fn total(&self) -> u32 {
        self.live.saturating_add(self.free())
    }

    pub fn peak(&self) -> Peak {
        Peak {
            total: self.total(),
            free: self.free(),
        }
    }

    /// People who are there or wait.
    pub fn present(&self) -> u32 {
        let seated = self.live.saturating_add(self.stranded);
        seated.saturating_add(self.waiting)
    }

    /// With those who have booked.
    fn people(&self) -> u32 {
        self.present().saturating_add(self.reserved)
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.live.saturating_add(self.stranded);
        write!(f, "{live} seats taken, {} people wait", self.waiting)?;
        write!(f, ", {} seats booked", self.reserved)?;
        write!(f, ", {} kept free", self.headroom)?;
        match self.learned {
            0 => Ok(()),
            learned => write!(f, " ({learned} of them for those likely to come)"),
        }
    }
}

fn is_budget_tight(history: &History, config: &PolicyConfig) -> bool {
    let budget = config.monthly_hours.map(|hours| u64::from(hours) * 3600);
    budget.is_some_and(|budget| history.month_seconds() * 100 >= budget * BUDGET_TIGHT_PERCENT)
}

/// Free seats that are so many percent of all seats, beside those taken.
fn share(taken: u32, percent: u32) -> u32 {
    let percent = u64::from(percent.min(99));
    let free = (u64::from(taken) * percent).div_ceil(100 - percent);
    u32::try_from(free).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_of_all_seats() {
        assert_eq!(share(8, 20), 2);
        assert_eq!(share(0, 20), 0);
        assert_eq!(share(10, 50), 10);
        assert_eq!(share(1, 100), 99);
    }
}
