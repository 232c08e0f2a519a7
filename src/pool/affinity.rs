//! Who belongs where: the instances a person has sessions on, and the one they are remembered on after the last ended.
//!
//! Only proven people come in here, and only where a session of theirs went live are they remembered: an instance that
//! refuses them must not draw them back. A memory ends by time, when its instance refuses the person, leaves or becomes
//! another machine, or, when there are too many, by being the next to end anyway.

mod memory;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use memory::Memory;

/// People remembered in one pool without a session; some 20 MB.
pub const REMEMBERED_MAX: usize = 100_000;

/// How long somebody who left still counts in the order of instances, as if they were there.
pub(super) const LINGER: Duration = Duration::from_secs(30);

/// An operator's word holds at least so long, also where nobody is remembered.
const SENT_MIN: Duration = Duration::from_secs(3600);

/// The longest memory; longer ones of the config are cut, so that no sum overflows.
const AFFINITY_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Clone, Debug, Default)]
pub(super) struct People {
    known: HashMap<Arc<str>, Person>,
    /// Those without a session, in the order in which they will be forgotten.
    leaving: BTreeSet<(Instant, Arc<str>)>,
    /// Those of them who left less than `LINGER` ago, in the order in which that ends.
    lingering: BTreeSet<(Instant, Arc<str>)>,
    /// Changes of how many linger where, not yet told to the instances.
    shifts: Vec<(Arc<str>, i32)>,
    /// Instances of memories from before the gate's start that no listing had since.
    awaited: BTreeSet<Arc<str>>,
    /// Changes with every change of what is remembered.
    version: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Person {
    /// Where their sessions are, the latest joined last.
    presences: Vec<Presence>,
    /// The instance of their latest proven login; after their last session, of the latest that went live.
    home: Option<Arc<str>>,
    /// The instance of their latest session that went live.
    settled: Option<Arc<str>>,
    /// Where an operator sends them.
    sent_to: Option<Arc<str>>,
    /// Set while they have no session.
    forgotten_at: Option<Instant>,
    lingers_until: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Presence {
    pub instance: Arc<str>,
    pub sessions: u32,
    /// One of the sessions went live.
    is_settled: bool,
}

impl People {
    /// The instances this person has sessions on, the latest joined first.
    pub fn presences(&self, user: &str) -> impl Iterator<Item = &Arc<str>> {
        let person = self.known.get(user).into_iter();
        person.flat_map(|person| person.presences.iter().rev().map(|at| &at.instance))
    }

    pub fn is_present(&self, user: &str, instance: &str) -> bool {
        self.presences(user).any(|at| &**at == instance)
    }

    /// The instance this person is remembered on.
    pub fn home(&self, user: &str, now: Instant) -> Option<&Arc<str>> {
        let person = self.known.get(user)?;
        let is_over = person.forgotten_at.is_some_and(|end| end <= now);
        person.home.as_ref().filter(|_| !is_over)
    }

    /// The instance an operator sends this person to.
    pub fn sent_to(&self, user: &str, now: Instant) -> Option<&Arc<str>> {
        let person = self.known.get(user)?;
        let is_over = person.forgotten_at.is_some_and(|end| end <= now);
        person.sent_to.as_ref().filter(|_| !is_over)
    }

    /// Until when this person is remembered; `None` while they have a session.
    pub fn forgotten_at(&self, user: &str) -> Option<Instant> {
        self.known.get(user)?.forgotten_at
    }

    /// An operator sends this person there, until they are forgotten.
    pub fn send(&mut self, user: &str, instance: &Arc<str>, now: Instant, affinity: Duration) {
        let user = self.recall(user);
        let person = self.known.entry(user.clone()).or_default();
        person.sent_to = Some(instance.clone());
        if !person.presences.is_empty() {
            return;
        }
        person.home = Some(instance.clone());
        let end = now.checked_add(affinity.clamp(SENT_MIN, AFFINITY_MAX));
        let old = std::mem::replace(&mut person.forgotten_at, end);
        if let Some(old) = old {
            self.leaving.remove(&(old, user.clone()));
        }
        self.leaving.extend(end.map(|end| (end, user)));
        if self.leaving.len() > REMEMBERED_MAX {
            self.forget_next();
        }
    }

    /// A proven session began; returns the name as it is stored, so that it is held once.
    pub fn arrive(&mut self, user: &str, instance: &Arc<str>) -> Arc<str> {
        let user = self.recall(user);
        let person = self.known.entry(user.clone()).or_default();
        if let Some(end) = person.forgotten_at.take() {
            self.leaving.remove(&(end, user.clone()));
        }
        person.arrive(instance);
        user
    }

    /// The name of somebody who is about to change, as it is stored; they linger nowhere any more.
    fn recall(&mut self, user: &str) -> Arc<str> {
        self.version = self.version.wrapping_add(1);
        let user = match self.known.get_key_value(user) {
            Some((user, _)) => user.clone(),
            None => Arc::from(user),
        };
        self.stop_lingering(&user);
        user
    }

    /// A proven session went live: this is where the person belongs.
    pub fn settle_in(&mut self, user: &str, instance: &Arc<str>) {
        self.version = self.version.wrapping_add(1);
        let Some(person) = self.known.get_mut(user) else {
            return;
        };
        let mut presences = person.presences.iter_mut();
        if let Some(at) = presences.find(|at| at.instance == *instance) {
            at.is_settled = true;
            person.settled = Some(instance.clone());
        }
    }

    /// The instance does not let the person in: they are not remembered there, unless a session of theirs goes on.
    pub fn turn_away(&mut self, user: &str, instance: &str) {
        self.version = self.version.wrapping_add(1);
        let Some(person) = self.known.get_mut(user) else {
            return;
        };
        let mut presences = person.presences.iter();
        let goes_on = presences.any(|at| &*at.instance == instance && at.sessions > 1);
        for memory in [&mut person.settled, &mut person.sent_to] {
            if !goes_on && memory.as_deref() == Some(instance) {
                *memory = None;
            }
        }
    }

    /// A proven session ended; after the last one the person is remembered for `affinity`.
    pub fn leave(&mut self, user: &Arc<str>, instance: &str, now: Instant, affinity: Duration) {
        self.version = self.version.wrapping_add(1);
        let Some(person) = self.known.get_mut(user) else {
            return;
        };
        person.leave(instance);
        if !person.presences.is_empty() {
            return;
        }
        let least = match person.sent_to {
            Some(_) => SENT_MIN,
            None => Duration::ZERO,
        };
        person.home = person.sent_to.clone().or_else(|| person.settled.clone());
        let end = now.checked_add(affinity.clamp(least, AFFINITY_MAX));
        let end = end.filter(|end| *end > now && person.home.is_some());
        person.forgotten_at = end;
        match end {
            Some(end) => {
                self.leaving.insert((end, user.clone()));
                self.linger(user, now, end);
            }
            None => {
                self.known.remove(user);
            }
        }
        if self.leaving.len() > REMEMBERED_MAX {
            self.forget_next();
        }
    }

    /// These instances are gone, and with them every memory of belonging there.
    pub fn forget_instances(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.version = self.version.wrapping_add(1);
        let (leaving, lingering) = (&mut self.leaving, &mut self.lingering);
        let shifts = &mut self.shifts;
        self.known.retain(|user, person| {
            if person.settled.as_deref().is_some_and(&is_gone) {
                let stays = |at: &&Presence| at.is_settled && !is_gone(&at.instance);
                let settled = person.presences.iter().rev().find(stays);
                person.settled = settled.map(|at| at.instance.clone());
            }
            if person.sent_to.as_deref().is_some_and(&is_gone) {
                person.sent_to = None;
            }
            if let Some(home) = person.home.clone().filter(|home| is_gone(home)) {
                if let Some(end) = person.lingers_until.take() {
                    lingering.remove(&(end, user.clone()));
                    shifts.push((home, -1));
                }
                person.presences.retain(|at| !is_gone(&at.instance));
                let last = person.presences.last().map(|at| at.instance.clone());
                person.home = last.or_else(|| person.settled.clone());
            }
            if person.home.is_none()
                && let Some(end) = person.forgotten_at
            {
                leaving.remove(&(end, user.clone()));
            }
            person.home.is_some()
        });
    }

    /// Ends the lingering of those who left long enough ago.
    fn expire_lingering(&mut self, now: Instant) {
        while let Some((end, user)) = self.lingering.first().cloned()
            && end <= now
        {
            self.stop_lingering(&user);
        }
    }

    /// Changes of how many linger where since the last call; to be told to the instances at once.
    pub fn take_shifts(&mut self) -> Vec<(Arc<str>, i32)> {
        std::mem::take(&mut self.shifts)
    }

    /// Who lingers, and where.
    pub fn lingering(&self) -> impl Iterator<Item = &Arc<str>> {
        let people = self.known.values();
        people.filter_map(|person| {
            person
                .home
                .as_ref()
                .filter(|_| person.lingers_until.is_some())
        })
    }

    pub fn expire(&mut self, now: Instant) {
        self.expire_lingering(now);
        while self.next_deadline().is_some_and(|end| end <= now) {
            self.forget_next();
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.leaving.first().map(|(end, _)| *end)
    }

    pub fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Person)> {
        self.known.iter()
    }

    /// The people without a session agree with the order in which they will be forgotten.
    pub fn is_consistent(&self) -> bool {
        let leaving = self.known.iter().filter_map(|(user, person)| {
            let end = person.forgotten_at?;
            Some((end, user.clone()))
        });
        self.leaving == leaving.collect() && self.leaving.len() <= REMEMBERED_MAX
    }

    /// Until they are forgotten at the latest.
    fn linger(&mut self, user: &Arc<str>, now: Instant, forgotten_at: Instant) {
        if let Some(person) = self.known.get_mut(user)
            && let Some(home) = &person.home
        {
            let end = now.checked_add(LINGER).unwrap_or(forgotten_at);
            let end = end.min(forgotten_at);
            person.lingers_until = Some(end);
            self.shifts.push((home.clone(), 1));
            self.lingering.insert((end, user.clone()));
        }
    }

    fn stop_lingering(&mut self, user: &Arc<str>) {
        if let Some(person) = self.known.get_mut(user)
            && let Some(end) = person.lingers_until.take()
        {
            self.lingering.remove(&(end, user.clone()));
            self.shifts
                .extend(person.home.clone().map(|home| (home, -1)));
        }
    }

    fn forget_next(&mut self) {
        self.version = self.version.wrapping_add(1);
        if let Some((_, user)) = self.leaving.pop_first() {
            self.stop_lingering(&user);
            self.known.remove(&user);
        }
    }
}

impl Person {
    pub fn parts(&self) -> (&[Presence], Option<&Arc<str>>, Option<Instant>) {
        (&self.presences, self.home.as_ref(), self.forgotten_at)
    }

    fn arrive(&mut self, instance: &Arc<str>) {
        let known = self
            .presences
            .iter()
            .position(|at| at.instance == *instance);
        let mut presence = match known {
            Some(at) => self.presences.remove(at),
            None => Presence {
                instance: instance.clone(),
                sessions: 0,
                is_settled: false,
            },
        };
        presence.sessions = presence.sessions.saturating_add(1);
        self.presences.push(presence);
        self.home = Some(instance.clone());
    }

    fn leave(&mut self, instance: &str) {
        let mut presences = self.presences.iter_mut();
        if let Some(at) = presences.find(|at| &*at.instance == instance) {
            at.sessions = at.sessions.saturating_sub(1);
        }
        self.presences.retain(|at| at.sessions > 0);
    }
}
