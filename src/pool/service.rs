//! One service of an instance: its verdict, and what was said of it that led there, for people who ask why.
//!
//! The verdict is `health`'s alone; no word that is kept here decides anything.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::health::{Run, ServiceHealth};
use super::instance::Health;
use super::rfc3339;

/// What one probe found, or a login that found nobody there.
#[derive(Clone, Debug)]
pub struct Answer {
    pub health: Health,
    /// What was seen, in words.
    pub why: Arc<str>,
}

impl Answer {
    pub fn new(health: Health, why: impl Into<Arc<str>>) -> Self {
        Self {
            health,
            why: why.into(),
        }
    }
}

/// Without a word on what was seen.
impl From<Health> for Answer {
    fn from(health: Health) -> Self {
        Self::new(health, "")
    }
}

/// An answer, and when it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Heard {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    pub health: Health,
    pub why: Arc<str>,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    health: ServiceHealth,
    since: SystemTime,
    /// The answer that flipped it.
    flipped_by: Option<Heard>,
    last: Option<Heard>,
    last_failure: Option<Heard>,
}

impl Service {
    pub fn new(now: SystemTime) -> Self {
        Self {
            health: ServiceHealth::new(),
            since: now,
            flipped_by: None,
            last: None,
            last_failure: None,
        }
    }

    pub fn verdict(&self) -> Health {
        self.health.verdict()
    }

    /// Since when the verdict is what it is.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// Answers that may flip it, if more of them follow.
    pub fn run(&self) -> Option<Run> {
        self.health.run()
    }

    pub fn flipped_by(&self) -> Option<&Heard> {
        self.flipped_by.as_ref()
    }

    pub fn last(&self) -> Option<&Heard> {
        self.last.as_ref()
    }

    pub fn last_failure(&self) -> Option<&Heard> {
        self.last_failure.as_ref()
    }

    pub fn observe(&mut self, answer: Answer, (rise, fall): (u32, u32), now: SystemTime) {
        let before = self.verdict();
        self.health.observe(answer.health, rise, fall);
        let heard = Heard {
            at: now,
            health: answer.health,
            why: answer.why,
        };
        if self.verdict() != before {
            self.since = now;
            self.flipped_by = Some(heard.clone());
        }
        if matches!(heard.health, Health::Down | Health::NoLogins) {
            self.last_failure = Some(heard.clone());
        }
        self.last = Some(heard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_flipped_it_and_what_was_last_said_are_kept_apart() {
        let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
        let mut service = Service::new(at(0));
        let mut hear = |s, health, why| service.observe(Answer::new(health, why), (2, 2), at(s));
        hear(1, Health::Up, "greets");
        hear(2, Health::Down, "refused");
        hear(3, Health::Down, "silent");
        hear(4, Health::Down, "refused");
        hear(5, Health::Up, "greets");
        assert_eq!(service.verdict(), Health::Down);
        assert_eq!(service.since(), at(3));
        let word = |heard: Option<&Heard>| heard.map(|heard| (heard.at, heard.why.to_string()));
        assert_eq!(word(service.flipped_by()), Some((at(3), "silent".into())));
        assert_eq!(word(service.last()), Some((at(5), "greets".into())));
        assert_eq!(
            word(service.last_failure()),
            Some((at(4), "refused".into()))
        );
        let run = service.run().unwrap();
        assert!(run.is_better && run.answers == 1);
    }
}
