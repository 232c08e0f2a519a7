//! Facts for a plan: the fleet's last look, the pool's snapshot, the line and the notes, joined.
//!
//! Also the way back: what was decided about instances is read from the pool and written down, and told to the pool again
//! when an instance is seen for the first time since a restart.

use std::collections::BTreeSet;
use std::time::Duration;

use super::commands::Outcome;
use super::notes::InstanceNote;
use super::{Controller, Facts};
use crate::fleet::{MachineKey, OpKind};
use crate::pool::{
    Decider, Expected, Health, InstanceId, InstanceView, Machine, MachinePhase, Now, Observed,
    Snapshot,
};
use crate::scaling::facts::{InstanceFacts, Occupancy, Remarks, views};

/// A fleet may say so long that it holds machines which it does not list.
const EXCESS_MAX: Duration = Duration::from_secs(120);
/// An idle instance is asked again so often, and a word older than twice this is not believed.
const IDLE_INTERVAL: Duration = Duration::from_secs(30);
/// Instances asked at once whether they are idle.
const IDLE_ASKED_MAX: usize = 4;
/// The load probe's word for what the cloud announces on a machine.
const EVENT: &str = "event";

impl Controller {
    pub(super) fn gather(&mut self, snapshot: &Snapshot, observed: &Observed, now: Now) -> Facts {
        let by_name = views(snapshot, &self.config.pool);
        let instances = observed.machines.iter().map(|machine| {
            let view = by_name.get(&*machine.id.name).copied();
            self.join(machine, view, now)
        });
        let instances: Vec<_> = instances.collect();
        let requested = self.requested(observed, now);
        let contradiction = self.contradiction(snapshot, observed, requested, now);
        let waiting = self.tools.pool.lines().len(&self.config.pool);
        Facts {
            pool: self.config.pool.clone(),
            instances,
            waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
            requested: requested.saturating_add(self.under_way.growing()),
            capacity: self.config.capacity,
            listing_age: self.seen.age(now),
            contradiction,
            counted_for: now.instant.saturating_duration_since(self.begun),
            unheard: snapshot.unheard().map(|gate| gate.pid).collect(),
            writes_after: self.under_way.writes_after(now),
            order: self.notes.order(now),
        }
    }

    fn join(&self, machine: &Machine, view: Option<&InstanceView>, now: Now) -> InstanceFacts {
        let key = MachineKey::from(machine);
        let mut machine = machine.clone();
        if self.is_under_way(OpKind::Remove, &key) {
            machine.phase = MachinePhase::Deleting;
        }
        if machine.phase == MachinePhase::Deallocated && self.is_under_way(OpKind::Start, &key) {
            machine.phase = MachinePhase::Booting;
        }
        let measured = view.and_then(|view| view.measured.as_ref());
        let is_taken = measured.is_some_and(|told| told.closed.as_deref() == Some(EVENT));
        let remarks = Remarks {
            leaves_at: is_taken.then_some(now.wall),
            busy_with: measured.and_then(|told| busy_with(told.kept)),
        };
        // The pool still knows the machine that had this name before: who is on which cannot be told.
        let is_other = view.is_some_and(|view| view.generation != key.generation);
        let mut facts = InstanceFacts::join(machine, view, remarks, self.config.capacity);
        if is_other {
            facts.occupancy = Occupancy::Unknown;
        } else if let Some(view) = view
            && view
                .hub
                .is_some_and(|hub| !hub.is_stale && hub.pending == 0)
            && self.is_idle(&facts.machine.id, now)
        {
            // Servers nobody has used for the idle time, by what they themselves say.
            facts.occupancy = Occupancy::Seats(view.sessions);
        }
        facts
    }

    fn is_under_way(&self, kind: OpKind, key: &MachineKey) -> bool {
        self.notes.names(kind, key) || self.under_way.names(kind, key)
    }

    /// Machines asked for and not listed, by our own commands or, for a short while, by the fleet's own word.
    fn requested(&mut self, observed: &Observed, now: Now) -> u32 {
        let requested = self.notes.requested(observed);
        let listed = u32::try_from(observed.machines.len()).unwrap_or(u32::MAX);
        let excess = observed.capacity.saturating_sub(listed);
        let excess = excess.saturating_sub(requested);
        if excess == 0 {
            self.seen.excess_since = None;
            return requested;
        }
        let since = *self.seen.excess_since.get_or_insert(now.instant);
        match now.instant.saturating_duration_since(since) < EXCESS_MAX {
            true => requested.saturating_add(excess),
            false => requested,
        }
    }

    /// What in all this cannot be true, or works against us.
    fn contradiction(
        &self,
        snapshot: &Snapshot,
        observed: &Observed,
        requested: u32,
        now: Now,
    ) -> Option<String> {
        if let Some(hindrance) = observed.hindrances.first() {
            return Some(hindrance.clone());
        }
        let machines = observed.machines.iter();
        let listed: BTreeSet<_> = machines.map(|machine| &machine.id.name).collect();
        let views = snapshot.instances_of(&self.config.pool);
        let unlisted = views.filter(|view| {
            view.health == Health::Up && !view.is_sealed && !listed.contains(&view.name)
        });
        let unlisted = unlisted.count();
        if unlisted > 0 {
            return Some(format!(
                "{unlisted} machines that answer are not in the cloud's listing"
            ));
        }
        let since = self.seen.excess_since?;
        let lasts = now.instant.saturating_duration_since(since) >= EXCESS_MAX;
        let listed = observed.machines.len();
        (lasts && requested == 0).then(|| {
            let capacity = observed.capacity;
            format!("the cloud says it holds {capacity} machines and lists {listed}")
        })
    }

    /// Instances that no session holds and whose hub still has servers.
    pub(super) fn ask_who_is_idle(&mut self, snapshot: &Snapshot, now: Now) {
        let candidates: Vec<InstanceId> = snapshot
            .instances_of(&self.config.pool)
            .filter(|view| view.sessions == 0 && view.hub.is_some_and(|hub| hub.direct > 0))
            .map(id_of)
            .collect();
        self.seen.idle.retain(|id, _| candidates.contains(id));
        let fresh =
            |at: &std::time::Instant| now.instant.saturating_duration_since(*at) < IDLE_INTERVAL;
        for id in candidates {
            let is_known = self.seen.idle.get(&id).is_some_and(|(at, _)| fresh(at));
            if is_known
                || self.under_way.judged.contains(&id)
                || self.under_way.judged.len() >= IDLE_ASKED_MAX
            {
                continue;
            }
            self.under_way.judged.insert(id.clone());
            let asking = (self.tools.ask_idle)(id.clone());
            self.running.spawn(async move {
                let idle = asking.await;
                Outcome::Judged(id, idle.is_some_and(|idle| idle.is_idle))
            });
        }
    }

    fn is_idle(&self, id: &InstanceId, now: Now) -> bool {
        let word = self.seen.idle.get(id);
        word.is_some_and(|(at, is_idle)| {
            let age = now.instant.saturating_duration_since(*at);
            *is_idle && age < IDLE_INTERVAL.saturating_mul(2)
        })
    }

    /// What people and the policy decided is written down, and told to the pool of instances that are new to it.
    pub(super) fn keep_decisions(&mut self, snapshot: &Snapshot, now: Now) {
        let mut notes = Vec::new();
        let mut all = BTreeSet::new();
        let mut known = BTreeSet::new();
        for view in snapshot.instances_of(&self.config.pool) {
            let machine = MachineKey {
                name: view.name.to_string(),
                generation: view.generation,
            };
            let noted = match self.told.known.contains(&machine) {
                true => None,
                false => self.notes.about(&machine).cloned(),
            };
            match noted {
                Some(note) => {
                    self.restore(&id_of(view), &note);
                    notes.push(InstanceNote {
                        absent_since: None,
                        ..note
                    });
                }
                None => notes.extend(note(view, &machine)),
            }
            if view
                .keep
                .as_ref()
                .is_some_and(|keep| keep.until <= now.wall)
            {
                self.tools.pool.keep(&id_of(view), None);
            }
            known.insert(machine.clone());
            all.insert(machine);
        }
        self.told.known = known;
        self.notes.replace_instances(notes, &all, now.wall);
    }

    /// What the notes say of machines holds before the first of them is listed.
    pub(super) fn expect_noted(&self) {
        let expected = self.notes.instances.iter().map(|note| Expected {
            name: note.machine.name.as_str().into(),
            generation: note.machine.generation,
            decision: note.decision.clone(),
            keep: note.keep.clone(),
            is_sealed: self.notes.names(OpKind::Remove, &note.machine),
        });
        self.tools.pool.expect(&self.config.pool, expected);
    }

    fn restore(&self, id: &InstanceId, note: &InstanceNote) {
        if let Some(decision) = &note.decision {
            self.tools.pool.decide(id, decision.clone());
        }
        if self.notes.names(OpKind::Remove, &note.machine) {
            self.tools.pool.seal(id);
        }
        if let Some(keep) = &note.keep {
            self.tools.pool.keep(id, Some(keep.clone()));
        }
    }
}

/// `None` where there is nothing to remember.
fn note(view: &InstanceView, machine: &MachineKey) -> Option<InstanceNote> {
    let decision = (view.decided_by != Decider::Nobody).then(|| crate::pool::Decision {
        state: view.admin_state,
        by: view.decided_by,
        reason: view.reason.clone().unwrap_or_default(),
        deadline: view.deadline,
    });
    let keep = view.keep.clone();
    (decision.is_some() || keep.is_some()).then(|| InstanceNote {
        machine: machine.clone(),
        decision,
        keep,
        absent_since: None,
    })
}

fn busy_with(kept: u32) -> Option<String> {
    match kept {
        0 => None,
        1 => Some("a tmux, screen or background job of somebody".to_owned()),
        kept => Some(format!("{kept} tmux, screen or background jobs")),
    }
}

pub(super) fn id_of(view: &InstanceView) -> InstanceId {
    InstanceId {
        pool: view.pool.clone(),
        name: view.name.clone(),
    }
}
