//! What hubs say of themselves: who has a server where, however they came.
//!
//! A hub knows people who reached their instance directly, and those whose browser is closed while their kernels run. Both
//! take room there, and both belong there. A hub that stops answering keeps its last word, marked as old.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::snapshot::HubView;

/// One person's servers on one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubPerson {
    pub name: Arc<str>,
    /// A server of theirs is being started or stopped.
    pub is_pending: bool,
    /// As far as their servers have told the hub, every five minutes.
    pub last_activity: SystemTime,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    hubs: BTreeMap<Arc<str>, Hub>,
    /// Instances on which a person has a server, the latest active last.
    homes: HashMap<Arc<str>, Vec<(SystemTime, Arc<str>)>>,
}

#[derive(Clone, Debug, Default)]
struct Hub {
    people: BTreeMap<Arc<str>, HubPerson>,
    /// Proven people the gate knows there, with how many sessions each.
    attended: BTreeMap<Arc<str>, u32>,
    was_heard: bool,
    is_stale: bool,
}

impl Servers {
    /// The hub of this instance has answered.
    pub fn report(&mut self, instance: &Arc<str>, people: Vec<HubPerson>) {
        let hub = self.hubs.entry(instance.clone()).or_default();
        let people = people.into_iter();
        let people = people.map(|person| (person.name.clone(), person)).collect();
        let before = std::mem::replace(&mut hub.people, people);
        hub.was_heard = true;
        hub.is_stale = false;
        let now_there: Vec<HubPerson> = hub.people.values().cloned().collect();
        self.leave_home(before.into_keys(), instance);
        for person in now_there {
            let homes = self.homes.entry(person.name).or_default();
            homes.push((person.last_activity, instance.clone()));
            homes.sort();
        }
    }

    /// The hub of this instance has not answered.
    pub fn mark_stale(&mut self, instance: &str) {
        if let Some(hub) = self.hubs.get_mut(instance) {
            hub.is_stale = true;
        }
    }

    /// The instance is gone.
    pub fn forget(&mut self, instance: &Arc<str>) {
        if let Some(hub) = self.hubs.remove(instance) {
            self.leave_home(hub.people.into_keys(), instance);
        }
    }

    /// The instance runs no hub: what one said is nobody's word.
    pub fn mute(&mut self, instance: &Arc<str>) {
        if let Some(hub) = self.hubs.get_mut(instance) {
            let people = std::mem::take(&mut hub.people);
            hub.was_heard = false;
            self.leave_home(people.into_keys(), instance);
        }
    }

    /// A proven browser session began there.
    pub fn attend(&mut self, instance: &Arc<str>, user: &Arc<str>) {
        let hub = self.hubs.entry(instance.clone()).or_default();
        let sessions = hub.attended.entry(user.clone()).or_default();
        *sessions = sessions.saturating_add(1);
    }

    /// It ended.
    pub fn leave(&mut self, instance: &str, user: &str) {
        let Some(hub) = self.hubs.get_mut(instance) else {
            return;
        };
        if let Some(sessions) = hub.attended.get_mut(user) {
            *sessions = sessions.saturating_sub(1);
            if *sessions == 0 {
                hub.attended.remove(user);
            }
        }
    }

    /// Instances on which this person has a server, the latest active first.
    pub fn homes(&self, user: &str) -> impl Iterator<Item = &Arc<str>> {
        let homes = self.homes.get(user).into_iter();
        homes.flat_map(|homes| homes.iter().rev().map(|(_, instance)| instance))
    }

    /// People with a server there whom the gate does not know there.
    pub fn direct(&self, instance: &str) -> u32 {
        let Some(hub) = self.hubs.get(instance) else {
            return 0;
        };
        let unknown = hub.people.keys();
        let unknown = unknown.filter(|user| !hub.attended.contains_key(*user));
        u32::try_from(unknown.count()).unwrap_or(u32::MAX)
    }

    /// People the gate knows there, with how many sessions each.
    pub fn attended(&self, instance: &str) -> impl Iterator<Item = (&Arc<str>, &u32)> {
        let hub = self.hubs.get(instance).into_iter();
        hub.flat_map(|hub| &hub.attended)
    }

    /// `None` where the hub was never heard.
    pub fn view(&self, instance: &str) -> Option<HubView> {
        let hub = self.hubs.get(instance).filter(|hub| hub.was_heard)?;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let pending = hub.people.values().filter(|person| person.is_pending);
        Some(HubView {
            people: count(hub.people.len()),
            direct: self.direct(instance),
            pending: count(pending.count()),
            is_stale: hub.is_stale,
        })
    }

    fn leave_home(&mut self, people: impl Iterator<Item = Arc<str>>, instance: &Arc<str>) {
        for user in people {
            if let Some(homes) = self.homes.get_mut(&user) {
                homes.retain(|(_, home)| home != instance);
                if homes.is_empty() {
                    self.homes.remove(&user);
                }
            }
        }
    }
}
