//! An instance's health in sentences, by the clock of the pool's people. Says nothing that `InstanceHealth` does not hold.

use std::sync::Arc;
use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::super::super::keep::show_until;
use super::{AdminState, Health, Heard, InstanceHealth, ServiceHealth, Turning, ago};

/// People named in a sentence; the others are counted.
const NAMED_MAX: usize = 10;

impl InstanceHealth {
    /// The most important first.
    pub fn sentences(&self, now: SystemTime, zone: &TimeZone) -> Vec<String> {
        let name = format!("{}/{}", self.pool, self.instance);
        let since = show_until(self.health_since, now, zone);
        let (health, meaning) = (self.health, overall(self.health));
        let mut told = vec![format!("{name} is {health} since {since}: {meaning}.")];
        if let Some(closed) = self.closed.as_deref() {
            told.push(format!(
                "Its machine says that it takes nobody new: {}. That counts as no-logins, whatever the probes see.",
                closed_by(closed)
            ));
        }
        for service in &self.services {
            told.push(service.verdict(now, zone));
            told.push(service.people());
        }
        told.extend(self.hub.map(|hub| {
            let people = count(hub.people as usize, "person", "people");
            let stale = match hub.is_stale {
                true => "; it has stopped answering, and that is its last word",
                false => "",
            };
            format!(
                "Its hub tells of {people} with a server, {} of them unknown to the gate{stale}.",
                hub.direct
            )
        }));
        told.push(format!(
            "A service is down after {} in a row (health.fall), and up again after {} (health.rise); \
             the first good one of a new instance counts at once.",
            count(self.fall as usize, "bad answer", "bad answers"),
            count(self.rise as usize, "good one", "good ones"),
        ));
        if self.admin_state != AdminState::Ready {
            told.push(format!(
                "Whatever its health, nobody new is sent there: it is {}.",
                self.admin_state.name()
            ));
        }
        told
    }
}

/// Completes "it is HEALTH: ...".
fn overall(health: Health) -> &'static str {
    match health {
        Health::Up => "every service of it answers",
        Health::Down => "no service of it answers",
        Health::Unknown => "its services have not answered often enough to be judged",
        Health::NoLogins => "not every service of it takes logins, and each counts by itself",
    }
}

/// What a machine's word for it means.
fn closed_by(word: &str) -> &str {
    match word {
        "nologin" => "it has a file /run/nologin",
        "drive" => "its shared drive does not answer",
        "event" => "its cloud is about to take it away or to restart it",
        "agent" => "what tells of its load says so",
        other => other,
    }
}

impl ServiceHealth {
    fn verdict(&self, now: SystemTime, zone: &TimeZone) -> String {
        let since = show_until(self.since, now, zone);
        let mut told = format!(
            "{} on port {} is {} since {since}",
            self.service, self.port, self.health
        );
        let began = self.flipped_by.as_ref().map(seen);
        let began = began.map_or("it was listed".to_owned(), |seen| {
            format!("it was found {seen}")
        });
        told.push_str(&format!(", when {began}."));
        if let Some(last) = &self.last {
            told.push_str(&format!(
                " Its last answer, {}: {}.",
                ago(last.at, now),
                seen(last)
            ));
        } else {
            told.push_str(" It has not been probed yet.");
        }
        if let Some(Turning {
            is_better,
            answers,
            needed,
        }) = self.turning
        {
            let kind = if is_better { "good" } else { "bad" };
            told.push_str(&format!(
                " That makes {answers} {kind} in a row of the {needed} that it takes."
            ));
        }
        let failure = self.last_failure.as_ref();
        let failure = failure.filter(|heard| self.last.as_ref() != Some(heard));
        if let Some(heard) = failure.filter(|heard| self.flipped_by.as_ref() != Some(heard)) {
            told.push_str(&format!(
                " It last failed {}: {}.",
                ago(heard.at, now),
                seen(heard)
            ));
        }
        told
    }

    fn people(&self) -> String {
        let by = self.service;
        let there = match self.sessions {
            0 => "nobody has a session by it".to_owned(),
            1 => format!("1 session by it is there{}", named(&self.people)),
            more => format!("{more} sessions by it are there{}", named(&self.people)),
        };
        match self.health {
            Health::Up => format!("It takes logins by {by}; {there}."),
            Health::Unknown => format!("Nobody is sent there by {by} yet; {there}."),
            Health::NoLogins => {
                format!(
                    "Nobody new is sent there by {by}; {there}, and whoever is goes on working."
                )
            }
            Health::Down => format!(
                "Nobody is sent there by {by}; {there}. Whose session breaks is placed elsewhere at the next login."
            ),
        }
    }
}

fn seen(heard: &Heard) -> String {
    match &*heard.why {
        "" => heard.health.to_string(),
        why => format!("{} ({why})", heard.health),
    }
}

fn named(people: &[Arc<str>]) -> String {
    let mut shown: Vec<_> = people.iter().take(NAMED_MAX).map(|user| &**user).collect();
    let more = people.len().saturating_sub(shown.len());
    let more = format!("{more} more");
    match people.len() {
        0 => return String::new(),
        all if all > NAMED_MAX => shown.push(&more),
        _ => {}
    }
    format!(" ({})", shown.join(", "))
}

fn count(number: usize, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}
