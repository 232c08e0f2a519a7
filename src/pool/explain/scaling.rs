//! What a pool's controller is about, in sentences, by the clock of the pool's people. Says nothing that `PoolView` does not hold.

use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::super::intent::{Budget, Held, Intent, PhaseView};
use super::super::keep::show_until;
use super::super::snapshot::PoolView;

impl PoolView {
    /// Why the pool is as large as it is and what is done about that, the most important first.
    pub fn scaling_sentences(&self, now: SystemTime, zone: &TimeZone) -> Vec<String> {
        let name = &self.name;
        let Some(intent) = self.intent.as_deref() else {
            return vec![match self.prospect {
                None => format!(
                    "Pool {name} is not resized: it has the machines that its fleet lists, until pools.{name}.scaling says otherwise."
                ),
                Some(_) => format!(
                    "Pool {name} is resized, and nothing is planned yet: the machines of its fleet have not been seen."
                ),
            }];
        };
        let mut told = vec![size(name, intent)];
        told.extend(intent.frozen.as_ref().map(|why| format!("Frozen: {why}.")));
        told.extend(
            intent
                .refused
                .as_ref()
                .map(|why| format!("Held back: {why}.")),
        );
        let trouble = self.prospect.as_ref().and_then(|one| one.trouble.as_ref());
        told.extend(trouble.map(|trouble| format!("Whoever waits is told: {trouble}.")));
        told.extend(steps(intent, now, zone));
        told.extend(
            intent
                .phase
                .as_ref()
                .map(|phase| in_force(phase, now, zone)),
        );
        told.extend(intent.notes.iter().map(|note| format!("Counted: {note}.")));
        told.extend(intent.waits.iter().map(|wait| format!("It waits: {wait}.")));
        told.extend(intent.held.iter().map(left_alone));
        told.extend(intent.budget.map(budget));
        told
    }
}

fn size(name: &str, intent: &Intent) -> String {
    let desired = count(intent.desired, "machine", "machines");
    let machines = intent.machines.iter();
    let there: Vec<_> = machines
        .map(|(phase, count)| format!("{count} {}", phase.name()))
        .collect();
    let there = match there.is_empty() {
        true => "there is none".to_owned(),
        false => format!("there are {}", there.join(", ")),
    };
    format!("Pool {name} should have {desired} in service, and {there}.")
}

fn steps(intent: &Intent, now: SystemTime, zone: &TimeZone) -> Vec<String> {
    if !intent.steps.is_empty() {
        let steps = intent.steps.iter();
        return steps.map(|step| format!("It does now: {step}.")).collect();
    }
    let next = match &intent.next {
        _ if intent.frozen.is_some() => "Until that is over nothing is foretold.".to_owned(),
        Some(next) => format!(
            "It does nothing now; if all stays as it is, at {}: {}.",
            show_until(next.at, now, zone),
            next.step
        ),
        None => "It does nothing now, nor within the hour if all stays as it is.".to_owned(),
    };
    vec![next]
}

fn in_force(phase: &PhaseView, now: SystemTime, zone: &TimeZone) -> String {
    let until = match (phase.until, &phase.then) {
        (Some(until), Some(then)) => {
            format!(
                " until {}, when {then} begins",
                show_until(until, now, zone)
            )
        }
        _ => String::new(),
    };
    let placement = phase.placement.name();
    format!(
        "Phase {} is in force{until}: at least {}, at most {}, {} kept free, placement {placement}.",
        phase.name,
        count(phase.min, "machine", "machines"),
        phase.max,
        phase.headroom
    )
}

fn left_alone(held: &Held) -> String {
    format!("{} is left alone: {}.", held.instance, held.why)
}

fn budget(budget: Budget) -> String {
    format!(
        "Of the {} machine-hours of this month (UTC) {} are used.",
        budget.hours_max, budget.hours_used
    )
}

fn count(number: u32, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    }
}
