//! What a plan waits for, and which instances it leaves alone, in words: for people who ask why nothing is done.
//!
//! Every rule told here is one that `grow`, `shrink` or the controller goes by; none is made here. Times are told to the minute,
//! so that what is said changes only when something has.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::pool::keep::show_until;
use crate::pool::{Held, Now};

use super::facts::{Facts, InstanceFacts, Occupancy};
use super::history::History;
use super::plan::Plan;
use super::policy_config::PolicyConfig;
use super::situation::Situation;
use super::supply::Role;

/// Instances told one by one; of more nobody reads.
const TOLD_MAX: usize = 20;
/// The fleet is left alone for so long after every command, which is no news.
const BRIEF: Duration = Duration::from_secs(5);

pub fn waits(
    plan: &Plan,
    facts: &Facts,
    history: &History,
    config: &PolicyConfig,
    now: Now,
) -> Vec<Arc<str>> {
    let situation = Situation::new(facts, history, config, now);
    let waits = Waits { situation, now };
    let mut told = Vec::new();
    waits.for_machines(&mut told);
    waits.for_the_cloud(&mut told);
    waits.for_people(&mut told);
    if waits.situation.supply.in_service() > plan.desired {
        waits.for_time(&mut told);
    }
    told.into_iter().map(Into::into).collect()
}

/// Whatever the reason, they are neither drained nor removed.
pub fn held(facts: &Facts, now: Now) -> Vec<Held> {
    let held = facts.instances.iter().filter_map(|one| {
        let unknown = (one.occupancy == Occupancy::Unknown)
            .then(|| "nobody can tell who is on it: its hub does not answer".to_owned());
        let why = one.hold(now.wall).or(unknown)?;
        Some(Held {
            instance: one.machine.id.name.clone(),
            why: why.into(),
        })
    });
    held.take(TOLD_MAX).collect()
}

struct Waits<'a> {
    situation: Situation<'a>,
    now: Now,
}

impl Waits<'_> {
    fn for_machines(&self, told: &mut Vec<String>) {
        let supply = &self.situation.supply;
        match supply.requested {
            0 => {}
            1 => told.push("1 machine that was asked for is not listed yet".to_owned()),
            more => told.push(format!(
                "{more} machines that were asked for are not listed yet"
            )),
        }
        let booting: Vec<_> = supply.with(Role::Booting).collect();
        if !booting.is_empty() {
            let boot = self.situation.history.boot(self.situation.config);
            let verb = if booting.len() == 1 { "boots" } else { "boot" };
            let s = boot.as_secs();
            let takes = match s {
                120.. => format!("{} min", s / 60),
                _ => format!("{s} s"),
            };
            told.push(format!(
                "{} {verb}, which takes some {takes}",
                names(&booting)
            ));
        }
    }

    fn for_the_cloud(&self, told: &mut Vec<String>) {
        let blocked = self.situation.facts.writes_after;
        let is_long = |until: &Instant| until.saturating_duration_since(self.now.instant) > BRIEF;
        told.extend(blocked.filter(is_long).and_then(|until| {
            let until = self.clock(until)?;
            Some(format!("the cloud takes no orders before {until}"))
        }));
        if self.situation.history.retry(self.now) == Some(false) {
            told.push("the last boots have failed, and the next try is not due yet".to_owned());
        }
    }

    fn for_people(&self, told: &mut Vec<String>) {
        let draining = self.situation.supply.with(Role::Draining);
        let used = draining.filter(|one| !one.is_empty()).map(|one| {
            let (name, people) = (&one.machine.id.name, one.seats());
            match people {
                0 => format!("{name} drains, and nobody can tell who is on it"),
                1 => format!("{name} drains, and 1 person is still on it"),
                more => format!("{name} drains, and {more} people are still on it"),
            }
        });
        told.extend(used.take(TOLD_MAX));
    }

    /// Why what is too much is still there.
    fn for_time(&self, told: &mut Vec<String>) {
        let (history, config) = (self.situation.history, self.situation.config);
        if self.situation.order.is_some() {
            return;
        }
        let cools = history
            .last_grown()
            .and_then(|at| at.checked_add(config.cool_down));
        let cools = cools.filter(|until| *until > self.now.instant);
        told.extend(cools.and_then(|until| {
            let until = self.clock(until)?;
            Some(format!(
                "machines were asked for a moment ago, and none is drained before {until} (scaling.cool_down)"
            ))
        }));
        let serving = self.situation.supply.with(Role::Serving);
        let empty = serving.filter(|one| one.is_empty() && one.hold(self.now.wall).is_none());
        let idle = empty.filter_map(|one| {
            let rest = config
                .idle
                .checked_sub(history.empty_for(&one.machine, self.now))?;
            let until = self.clock(self.now.instant.checked_add(rest)?)?;
            let name = &one.machine.id.name;
            Some(format!(
                "{name} is empty, and may go at {until} (scaling.idle)"
            ))
        });
        told.extend(idle.take(TOLD_MAX));
    }

    fn clock(&self, at: Instant) -> Option<String> {
        let left = at.saturating_duration_since(self.now.instant);
        let at = to_the_minute(self.now.wall.checked_add(left)?)?;
        let zone = &self.situation.config.schedule.zone;
        Some(show_until(at, self.now.wall, zone))
    }
}

/// The nearest: what is said should change only when something has.
pub fn to_the_minute(at: SystemTime) -> Option<SystemTime> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let minutes = since.as_secs().saturating_add(30) / 60;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(minutes.saturating_mul(60)))
}

fn names(instances: &[&InstanceFacts]) -> String {
    let shown = instances.iter().take(TOLD_MAX);
    let shown: Vec<_> = shown.map(|one| one.machine.id.name.to_string()).collect();
    match instances.len().checked_sub(TOLD_MAX) {
        Some(more @ 1..) => format!("{} and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}
