//! What changed since the last round, told once: machines that came and went, and why nothing is done.

use std::collections::{BTreeMap, BTreeSet};

use super::Controller;
use super::eviction::Drain;
use super::traced::Waking;
use crate::fleet::MachineKey;
use crate::pool::{Health, Now, SessionId, Snapshot};
use crate::scaling::{Facts, Plan};
use crate::telemetry::events::EventKind;

/// What has been told already.
#[derive(Default)]
pub(super) struct Told {
    /// Machines, and whether they were up.
    machines: BTreeMap<MachineKey, bool>,
    has_looked: bool,
    frozen: Option<String>,
    pub refused: Option<String>,
    pub fault: Option<String>,
    /// Machines whose removal was accepted.
    pub removed: BTreeSet<MachineKey>,
    /// Instances whose notes the pool has been told.
    pub known: BTreeSet<MachineKey>,
    /// Drains whose people were told that their time is running out.
    pub warned: Vec<Drain>,
    pub evicted: BTreeSet<SessionId>,
    pub waking: Option<Waking>,
}

impl Controller {
    pub(super) fn tell_changes(&mut self, facts: &Facts, snapshot: &Snapshot) {
        let mut machines = BTreeMap::new();
        for one in &facts.instances {
            let key = MachineKey::from(&one.machine);
            let was_up = self.told.machines.remove(&key);
            let is_up = one.health == Health::Up;
            // Those that were there before this process began to look are no news.
            if is_up && was_up != Some(true) && (self.told.has_looked || was_up.is_some()) {
                let text = "takes people".to_owned();
                self.tell(Some(&key.name), EventKind::Up, text);
            }
            machines.insert(key, is_up || was_up == Some(true));
        }
        self.told.has_looked = true;
        for (key, was_up) in std::mem::replace(&mut self.told.machines, machines) {
            // What answers exists, whatever the listing says.
            if snapshot
                .instance(&self.config.pool, &key.name)
                .is_some_and(|view| view.generation == key.generation)
            {
                self.told.machines.insert(key, was_up);
                continue;
            }
            let text = match self.told.removed.remove(&key) {
                true => "is gone, as it was told to",
                false => "is gone, and nobody here removed it",
            };
            let text = text.to_owned();
            self.tell(Some(&key.name), EventKind::Gone, text);
        }
    }

    /// Measures a wake from the first who waited to the first instance that is up.
    pub(super) fn time_wake(&mut self, facts: &Facts, now: Now) {
        let is_up = facts.instances.iter().any(|one| one.health == Health::Up);
        if is_up {
            if let Some(waking) = self.told.waking.take() {
                let took = now.instant.saturating_duration_since(waking.since);
                self.tools.metrics.time_wake(&self.config.pool, took);
                waking.end("up");
            }
        } else if facts.waiting > 0 {
            if self.told.waking.is_none() {
                self.told.waking = Some(self.begin_wake(now.instant));
            }
        } else if facts.instances.is_empty() && facts.requested == 0 {
            // Who waited has gone, before anything was done about it.
            if let Some(waking) = self.told.waking.take() {
                waking.end("nobody-waits");
            }
        }
    }

    pub(super) fn tell_frozen(&mut self, plan: &Plan) {
        let is_frozen = plan.frozen.is_some();
        let metrics = &self.tools.metrics;
        metrics.set_scaling(&self.config.pool, plan.desired, is_frozen);
        // Ages and counts within the words change all the time; that it is frozen, and why, does not.
        let gist = plan.frozen.as_deref().map(without_figures);
        if gist == self.told.frozen {
            return;
        }
        let text = plan.frozen.clone();
        let text = text.unwrap_or_else(|| "the pool is resized again".to_owned());
        self.told.frozen = gist;
        self.tell(None, EventKind::Freeze, text);
    }
}

fn without_figures(text: &str) -> String {
    text.chars().filter(|one| !one.is_ascii_digit()).collect()
}
