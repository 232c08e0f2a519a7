//! What people ask of the gate itself, by `ssh POOL poolgate keep 18:00`: which words are the gate's, and its answers.
//!
//! Only these very words; all else that begins with `poolgate` is the instance's to run, and so is everything where a
//! key forces its own command. How an answer becomes messages is `channels`' business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

use super::channels::{OwnPrograms, Said};
use crate::config::{PoolConfig, show_duration};
use crate::identity::Grant;
use crate::pool::{AdminState, Decider, InstanceId, Keep, keep};
use crate::shared_pool::SharedPool;
use crate::telemetry::events::{EventKind, Events};
use crate::telemetry::metrics::Metrics;

/// Answers on one connection: more than any person asks, and the story of events is not drowned by a script.
const ANSWERS_MAX: u32 = 60;
/// A wish that differs by less is no news.
const NEWS: Duration = Duration::from_secs(60);

/// What all sessions' commands need.
pub(super) struct Commands {
    pool: SharedPool,
    events: Events,
    metrics: Metrics,
    terms: BTreeMap<String, Terms>,
}

/// Of one pool.
#[derive(Clone)]
struct Terms {
    /// `None`: people keep nothing.
    longest: Option<Duration>,
    zone: TimeZone,
}

impl Commands {
    pub fn new(
        pools: &BTreeMap<String, PoolConfig>,
        pool: SharedPool,
        events: Events,
        metrics: Metrics,
    ) -> Arc<Self> {
        let terms = pools.iter().map(|(name, pool)| {
            let terms = Terms {
                longest: pool.scaling.keep_max,
                zone: pool.scaling.time_zone.clone(),
            };
            (name.clone(), terms)
        });
        Arc::new(Self {
            pool,
            events,
            metrics,
            terms: terms.collect(),
        })
    }

    /// Those of one session. `None` for a key that runs but one command.
    pub fn of_session(
        self: &Arc<Self>,
        instance: &InstanceId,
        grant: &Grant,
    ) -> Option<Box<dyn OwnPrograms>> {
        if grant.restrictions().force_command.is_some() {
            return None;
        }
        let terms = self.terms.get(&*instance.pool)?.clone();
        Some(Box::new(SessionCommands {
            all: self.clone(),
            terms,
            instance: instance.clone(),
            user: grant.user().clone(),
            answers: 0,
        }))
    }
}

struct SessionCommands {
    all: Arc<Commands>,
    terms: Terms,
    instance: InstanceId,
    user: Arc<str>,
    answers: u32,
}

impl OwnPrograms for SessionCommands {
    fn run(&mut self, command: &[u8]) -> Option<Said> {
        let wish = keep_words(command)?;
        self.answers = self.answers.saturating_add(1);
        if self.answers > ANSWERS_MAX {
            self.all.metrics.count_limit("ssh.gate_commands");
            let text = "poolgate: too many commands on this connection; connect anew";
            return Some(Said::failed(text));
        }
        let now = SystemTime::now();
        let answer = match wish.as_str() {
            "" => Ok(self.show(now)),
            "off" => self.give_up(now),
            wish => self.keep(wish, now),
        };
        Some(match answer {
            Ok(text) => Said::well(&text),
            Err(text) => Said::failed(&format!("poolgate: {text}")),
        })
    }
}

impl SessionCommands {
    fn show(&self, now: SystemTime) -> String {
        let snapshot = self.all.pool.snapshot();
        let view = snapshot.instance(&self.instance.pool, &self.instance.name);
        let keep = view.and_then(|view| view.keep.as_ref());
        match keep.filter(|keep| keep.until > now) {
            Some(keep) => self.told(keep, now),
            None => format!(
                "nobody has asked for instance {} to stay; to do so: poolgate keep 18:00, or poolgate keep 2h",
                self.instance.name
            ),
        }
    }

    fn keep(&self, wish: &str, now: SystemTime) -> Result<String, String> {
        let Some(longest) = self.terms.longest else {
            let pool = &self.instance.pool;
            return Err(format!("pool {pool} keeps no instance for anybody"));
        };
        self.check_decision()?;
        let until = keep::parse_until(wish, now, &self.terms.zone);
        let (until, is_cut) = keep::cap(until.map_err(|fault| fault.to_string())?, now, longest);
        let mut before = None;
        let wish = Keep {
            by: self.user.clone(),
            until,
        };
        let stands = self.all.pool.change_keep(&self.instance, |current| {
            before = current.cloned();
            Some(keep::join(current.filter(|keep| keep.until > now), wish))
        });
        let stands = stands.flatten().ok_or_else(|| self.gone())?;
        let told = self.told(&stands, now);
        if stands.by == self.user && is_news(before.as_ref(), &stands) {
            let until = keep::show_until(stands.until, now, &self.terms.zone);
            let name = &self.instance.name;
            self.tell_event(format!("{} keeps instance {name} until {until}", self.user));
        }
        Ok(match is_cut && stands.by == self.user {
            true => format!(
                "{told}; pool {} allows no more than {}",
                self.instance.pool,
                show_duration(longest)
            ),
            false => told,
        })
    }

    fn give_up(&self, now: SystemTime) -> Result<String, String> {
        let mut before = None;
        let stands = self.all.pool.change_keep(&self.instance, |current| {
            before = current.cloned();
            keep::give_up(current, &self.user, now)
        });
        let stands = stands.ok_or_else(|| self.gone())?;
        let name = &self.instance.name;
        if let Some(stands) = stands {
            return Ok(self.told(&stands, now));
        }
        if before.is_some_and(|keep| keep.until > now) {
            self.tell_event(format!("{} lets instance {name} go", self.user));
        }
        Ok(format!("instance {name} is kept no longer"))
    }

    /// An operator's word stands.
    fn check_decision(&self) -> Result<(), String> {
        let snapshot = self.all.pool.snapshot();
        let view = snapshot.instance(&self.instance.pool, &self.instance.name);
        let is_over = |view: &&crate::pool::InstanceView| {
            view.admin_state == AdminState::Draining && view.decided_by == Decider::Admin
        };
        match view.filter(is_over) {
            None => Ok(()),
            Some(view) => {
                let why = view.reason.as_deref().unwrap_or("no reason was given");
                let name = &view.name;
                Err(format!(
                    "the operators take instance {name} out of service, and it cannot be kept: {why}"
                ))
            }
        }
    }

    fn told(&self, keep: &Keep, now: SystemTime) -> String {
        let until = keep::show_until(keep.until, now, &self.terms.zone);
        let name = &self.instance.name;
        match keep.by == self.user {
            true => format!("instance {name} stays until {until}"),
            false => format!(
                "instance {name} stays until {until}, as {} has asked",
                keep.by
            ),
        }
    }

    fn gone(&self) -> String {
        format!("instance {} is gone", self.instance.name)
    }

    fn tell_event(&self, text: String) {
        let at = (&*self.instance.pool, &*self.instance.name);
        let user = Some(&*self.user);
        self.all.events.tell_of(user, at, EventKind::Keep, text);
    }
}

fn is_news(before: Option<&Keep>, after: &Keep) -> bool {
    let Some(before) = before.filter(|before| before.by == after.by) else {
        return true;
    };
    let (one, other) = (before.until.min(after.until), before.until.max(after.until));
    other.duration_since(one).unwrap_or_default() >= NEWS
}

/// What follows `poolgate keep`; `None` for every other command.
fn keep_words(command: &[u8]) -> Option<String> {
    let command = std::str::from_utf8(command).ok()?;
    let mut words = command.split_ascii_whitespace();
    if (words.next(), words.next()) != (Some("poolgate"), Some("keep")) {
        return None;
    }
    let rest: Vec<&str> = words.collect();
    Some(rest.join(" "))
}

#[cfg(test)]
mod tests;
