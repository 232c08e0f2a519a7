//! Faults that strike the virtual world, and what must be true of it after every step.

use std::time::Duration;

use crate::pool::{AdminState, Decision, InstanceId, MachinePhase};
use crate::scaling::History;

use super::faults::Fault;
use super::rivals::Mind;
use super::world::{Event, Mend, World};

const EVICTION_NOTICE: Duration = Duration::from_secs(30);
const DAY_S: i64 = 86_400;

impl World<'_> {
    pub fn strike(&mut self, fault: Fault) {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let length = minutes(1 + self.dice.below(10));
        match fault {
            Fault::Evict => self.evict(),
            Fault::FallSick => self.fall_sick(),
            Fault::ListNothing => self.control.lists_nothing_until = self.at + length,
            Fault::ListHalf => self.control.lists_half_until = self.at + length,
            Fault::GoStale => self.control.stale_until = self.at + length,
            Fault::Throttle => self.control.throttled_until = self.at + length,
            Fault::JumpClock => {
                self.skew = match self.dice.is_one_in(2) {
                    true => DAY_S,
                    false => -DAY_S,
                };
                self.schedule(self.at + minutes(60), Event::Mend(Mend::Clock));
            }
            Fault::Restart => {
                self.control.started = Some(self.at);
                if let Mind::Policy(history) = &mut self.mind {
                    **history = History::default();
                }
            }
            Fault::SilenceHub => {
                if let Some(id) = self.any_instance() {
                    self.pool.hear_hub(&id, Some(Vec::new()));
                    self.pool.hear_hub(&id, None);
                    self.schedule(self.at + minutes(20), Event::Mend(Mend::Hub(id)));
                }
            }
            Fault::Administer => self.administer(),
            Fault::ExhaustQuota => self.control.orders.quota_until = self.at + length,
            Fault::Conflict => self.control.orders.conflicts = true,
            Fault::Hang => {
                let fails = self.dice.is_one_in(2);
                self.control.orders.hangs = Some((length, fails));
            }
            Fault::Renege => self.control.orders.reneges = true,
            Fault::FailDeletion => self.control.orders.deletion_fails = true,
            Fault::Overstate => self.control.overstated = (3, self.at + length),
            Fault::PowerOff => self.power_off(),
            Fault::Deallocate => self.deallocate(),
            Fault::Keep => {
                if let Some(id) = self.any_instance() {
                    let until = self.now().wall + minutes(90);
                    self.control.keep_until.insert(id, until);
                }
            }
        }
    }

    fn evict(&mut self) {
        let Some(id) = self.any_instance() else {
            return;
        };
        if self.control.removed.contains(&id) || self.control.leaves_at.contains_key(&id) {
            return;
        }
        let leaves = self.now().wall + EVICTION_NOTICE;
        self.control.leaves_at.insert(id.clone(), leaves);
        self.schedule(self.at + EVICTION_NOTICE, Event::Taken(id));
    }

    fn fall_sick(&mut self) {
        let Some(id) = self.any_instance() else {
            return;
        };
        if let Some(unit) = self.cloud.units.get_mut(&id) {
            unit.answers = false;
            self.probe(&id, false);
        }
    }

    /// Somebody on the machine shuts it down, and whoever is on it with it.
    fn power_off(&mut self) {
        let Some(id) = self.any_instance().filter(|id| self.is_running(id)) else {
            return;
        };
        self.cloud.switch_off(&id, MachinePhase::Stopped, self.at);
        self.probe(&id, false);
        let snapshot = self.pool.snapshot();
        let sessions: Vec<_> = snapshot.sessions_on(&id).map(|one| one.id).collect();
        self.note_lost(&sessions);
        self.end_sessions(&sessions);
    }

    fn deallocate(&mut self) {
        let Some(id) = self.any_instance().filter(|id| self.is_running(id)) else {
            return;
        };
        let snapshot = self.pool.snapshot();
        let is_in_use = snapshot.sessions_on(&id).next().is_some();
        if !is_in_use && !self.control.removed.contains(&id) {
            self.cloud
                .switch_off(&id, MachinePhase::Deallocated, self.at);
            self.probe(&id, false);
        }
    }

    fn is_running(&self, id: &InstanceId) -> bool {
        let unit = self.cloud.units.get(id);
        unit.is_some_and(|unit| unit.machine.phase == MachinePhase::Running)
    }

    /// An operator's decision, which nobody may overrule; given back half of the time.
    fn administer(&mut self) {
        let Some(id) = self.any_instance() else {
            return;
        };
        let drawn = self.dice.below(4);
        let Some(view) = self.pool.snapshot().instance(&id.pool, &id.name).cloned() else {
            return;
        };
        let is_ours = self.control.drained.contains(&id);
        match (view.admin_state, drawn) {
            (AdminState::Ready, 0) => self.decide(&id, AdminState::Cordoned),
            (AdminState::Ready, 1) => self.decide(&id, AdminState::Draining),
            (AdminState::Cordoned | AdminState::Draining, _) if !is_ours => {
                self.decide(&id, AdminState::Ready);
                self.serve();
            }
            _ => {}
        }
    }

    fn decide(&mut self, id: &InstanceId, state: AdminState) {
        self.pool
            .decide(id, Decision::by_admin(state, "an operator"));
        match state {
            AdminState::Ready => self.control.decided.remove(id),
            _ => self.control.decided.insert(id.clone(), state),
        };
    }

    fn any_instance(&mut self) -> Option<InstanceId> {
        let count = u64::from(self.cloud.count(|_| true));
        let at = usize::try_from(self.dice.below(count)).unwrap_or(0);
        self.cloud.units.keys().nth(at).cloned()
    }

    /// What must be true after every step, whatever struck.
    pub fn check(&mut self) {
        // With debug assertions the pool has counted everything again at each change.
        if !cfg!(debug_assertions)
            && let Err(what) = self.pool.check_invariants()
        {
            self.violated(what);
        }
        if self.outcome.score.kills > 0 {
            self.violated("a machine was removed with people on it".to_owned());
        }
        let billed = self.cloud.count(|unit| unit.machine.phase.is_billed());
        let (_, bounds) = self.settings.policy.schedule.at(self.now().wall);
        // What the cloud failed to delete may have been replaced.
        let back = self.cloud.count(|unit| unit.is_back);
        if billed > bounds.max + back {
            let max = bounds.max;
            self.violated(format!("{billed} machines, and max is {max}"));
        }
        let snapshot = self.pool.snapshot();
        if snapshot.sessions.len() != self.seated.len() {
            let (pool, world) = (snapshot.sessions.len(), self.seated.len());
            self.violated(format!(
                "{pool} sessions in the pool, {world} people seated"
            ));
        }
        if self.waiting.is_empty() && !self.queue.is_empty() {
            let (line, tickets) = (self.waiting.len(), self.queue.len());
            self.violated(format!("{line} people wait with {tickets} tickets"));
        }
        let decided = self.control.decided.iter();
        let overruled = decided.filter(|(id, state)| {
            let view = snapshot.instance(&id.pool, &id.name);
            view.is_some_and(|view| view.admin_state != **state)
        });
        let overruled: Vec<String> = overruled.map(|(id, _)| id.to_string()).collect();
        for id in overruled {
            self.violated(format!("what an operator decided about {id} was overruled"));
        }
    }
}
