//! What a pool's machines cost, as plain figures: the same objects the API and the command line print.
//!
//! Who counts is `scaling::cost`; nothing is counted here. It names people, so it goes to operators only.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rfc3339;

/// Hours are machine-hours; money is in whatever the pool's prices are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostView {
    pub pool: Arc<str>,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub since: SystemTime,
    /// Hours that were looked at; less than since `since` where the gate was not running.
    pub span_h: f64,
    #[serde(flatten)]
    pub hours: HoursView,
    /// What as many machines as the pool may have, always on, would have had beyond `billed_h`.
    pub saved_h: f64,
    pub cost: f64,
    /// Of a machine's hour, in the mean.
    pub price: f64,
    /// By name; whoever sits on a machine with others shares it with them.
    pub people: Vec<PersonCost>,
    /// Of people who had least and are not listed by name.
    pub others_h: f64,
    /// Of nobody.
    pub unused_h: f64,
    /// Calendar months in UTC, the oldest first.
    pub months: Vec<MonthCost>,
}

/// Machine time by what it was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HoursView {
    pub billed_h: f64,
    pub used_h: f64,
    pub idle_h: f64,
    pub booting_h: f64,
    /// Billed, and of no use: ill, or switched off from within.
    pub lost_h: f64,
    /// Of `billed_h`, on machines at spot prices.
    pub spot_h: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PersonCost {
    pub user: Arc<str>,
    pub hours: f64,
    pub cost: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MonthCost {
    /// Such as `2026-11`.
    pub month: String,
    #[serde(flatten)]
    pub hours: HoursView,
    pub cost: f64,
}

impl CostView {
    /// One line a person, one for those without a line of their own, and one without a name for what nobody used.
    pub fn csv(&self) -> String {
        let mut text = String::from("person,machine_hours,cost\n");
        for person in &self.people {
            // Names are an instance's business and may hold anything.
            let user = person.user.replace('"', "\"\"");
            let _ = writeln!(text, "\"{user}\",{:.3},{:.2}", person.hours, person.cost);
        }
        if self.others_h > 0.0 {
            let cost = self.others_h * self.price;
            let _ = writeln!(text, "(others),{:.3},{cost:.2}", self.others_h);
        }
        let cost = self.unused_h * self.price;
        let _ = writeln!(text, ",{:.3},{cost:.2}", self.unused_h);
        text
    }
}
