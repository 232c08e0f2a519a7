//! A person's whereabouts in sentences, by the clock of the pool's people. Says nothing that `PersonView` does not hold.

use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::super::keep::show_until;
use super::super::placement::PlacementReason;
use super::super::session::Stage;
use super::{Candidate, NextLogin, PersonView};

/// Why a candidate is, or is not, the one.
pub(super) fn of_candidate(
    one: &Candidate,
    best: Option<&Candidate>,
    reason: Option<PlacementReason>,
) -> String {
    let (Some(best), Some(reason)) = (best, reason) else {
        let obstacle = one.obstacle.as_deref();
        return obstacle.map_or_else(
            || "its free seats are for those who stand in line".to_owned(),
            |obstacle| format!("it is {obstacle}"),
        );
    };
    if one.is_chosen {
        return because(reason.name()).to_owned();
    }
    if let Some(obstacle) = &one.obstacle {
        return format!("it is {obstacle}");
    }
    let name = &best.instance;
    match reason {
        PlacementReason::LeastLoaded if one.score == best.score => {
            format!("as loaded as {name}, which was chosen longer ago")
        }
        PlacementReason::LeastLoaded => format!("more loaded than {name}"),
        PlacementReason::MostLoaded if one.score == best.score => {
            format!("as loaded as {name}, which comes first")
        }
        PlacementReason::MostLoaded => format!("less loaded than {name}, which is filled first"),
        _ => format!("what ties them to {name} goes before load"),
    }
}

/// Completes "goes to an instance: ...".
fn because(reason: &str) -> &'static str {
    match reason {
        "least-loaded" => "it is the least loaded of those that take logins",
        "most-loaded" => "it is the fullest with a free seat, so that others can empty",
        "live-session" => {
            "a session of theirs is there, and people come back to it whatever its load"
        }
        "live-server" => "their Jupyter server runs there",
        "affinity" => "they are remembered there",
        "sent" => "an operator sends them there",
        _ => "they asked for it",
    }
}

impl PersonView {
    /// The most important first.
    pub fn sentences(&self, now: SystemTime, zone: &TimeZone) -> Vec<String> {
        let at = |time| show_until(time, now, zone);
        let mut told: Vec<_> = self.next.iter().map(|next| self.next(next)).collect();
        let (user, pool) = (&self.user, &self.pool);
        for one in &self.sessions {
            let kind = match one.stage {
                Stage::Provisional => "a login that has proved nothing yet",
                Stage::Reserved => "a login on its way",
                Stage::Live => "a session",
            };
            told.push(format!(
                "{user} has {kind} by {} on {} since {} ({}, from {}).",
                one.protocol,
                one.instance,
                at(one.since),
                one.id,
                one.peer
            ));
        }
        for server in &self.servers {
            told.push(format!(
                "The hub of {server} says that {user} has a server there."
            ));
        }
        told.extend(self.waiting.as_ref().map(|waiter| {
            let there = match waiter.is_there {
                true => "",
                false => "; they are cut off, and hold nobody up",
            };
            let (place, since) = (waiter.place, at(waiter.since));
            format!("{user} waits for a seat since {since}, at place {place} of the line{there}.")
        }));
        told.extend(self.memory.as_ref().map(|memory| {
            let name = &memory.instance;
            let until = memory.until.map_or_else(
                || "as long as they have a session, and for a while after".to_owned(),
                |until| format!("until {}", at(until)),
            );
            match memory.is_order {
                true => format!("An operator sends {user} to {name}: {until}."),
                false => format!("{user} is remembered on {name}: {until}."),
            }
        }));
        if self.sessions.is_empty() && self.servers.is_empty() && self.memory.is_none() {
            told.push(format!(
                "{user} has no session and no server in pool {pool}, and is not remembered there: nothing ties them to an instance. \
                 Whether there is such a person is known only when they log in."
            ));
        }
        told
    }

    fn next(&self, next: &NextLogin) -> String {
        let (user, by) = (&self.user, next.protocol);
        let (Some(name), Some(reason)) = (&next.instance, &next.reason) else {
            let refusal = next.refusal.as_deref().unwrap_or("nothing is known");
            let then = match next.wakes {
                true => "it would wait, and a machine is started for it",
                false => "it would wait in line",
            };
            return format!("The next login of {user} by {by} finds no seat: {refusal}; {then}.");
        };
        let mut told = format!(
            "The next login of {user} by {by} goes to {name}: {}.",
            because(reason)
        );
        let chosen = next.candidates.iter().find(|one| one.is_chosen);
        if let Some(obstacle) = chosen.and_then(|one| one.obstacle.as_ref()) {
            told.push_str(&format!(" {name} is {obstacle} for everybody new."));
        }
        let home = self.memory.as_ref().filter(|home| home.instance != *name);
        let left = home.and_then(|home| {
            let one = next
                .candidates
                .iter()
                .find(|one| one.instance == home.instance)?;
            Some((home, one.obstacle.as_ref()?))
        });
        if let Some((home, obstacle)) = left {
            told.push_str(&format!(
                " {}, where they are remembered, is {obstacle}.",
                home.instance
            ));
        }
        told
    }
}
