//! What people who wait may be told: how many machines are on their way, when the first should take them, and what stands
//! in the way.

use std::time::{Duration, SystemTime};

use crate::pool::{Now, Prospect};

use super::facts::Facts;
use super::history::History;
use super::policy_config::PolicyConfig;
use super::situation::Situation;
use super::supply::Role;

/// `asked`: how long ago the oldest machine was asked for that is not listed yet. `trouble`: what stands in the way, as
/// whoever carries plans out knows.
pub fn prospect(
    facts: &Facts,
    history: &History,
    config: &PolicyConfig,
    asked: Option<Duration>,
    trouble: Option<String>,
    now: Now,
) -> Prospect {
    let situation = Situation::new(facts, history, config, now);
    let booting = situation.supply.with(Role::Booting);
    let ages = booting.map(|one| history.age(&one.machine, now));
    let oldest = ages.chain(asked).max();
    let coming = situation.supply.count(Role::Booting);
    // What is only configured is told to nobody.
    let boot = history.measured_boot();
    let left = boot.zip(oldest).map(|(boot, age)| boot.saturating_sub(age));
    let trouble = trouble.or_else(|| breaker(history, now));
    Prospect {
        coming: coming.saturating_add(facts.requested),
        ready_at: left.and_then(|left| whole_seconds(now.wall.checked_add(left)?)),
        trouble: trouble.map(Into::into),
    }
}

/// The circuit breaker's words.
fn breaker(history: &History, now: Now) -> Option<String> {
    let is_time = history.retry(now)?;
    let failures = history.failures();
    Some(match is_time {
        true => format!("{failures} machines in a row did not start; one more is tried"),
        false => format!("{failures} machines in a row did not start; another is tried in a while"),
    })
}

/// So that what is said changes only when something has.
fn whole_seconds(at: SystemTime) -> Option<SystemTime> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since.as_secs()))
}
