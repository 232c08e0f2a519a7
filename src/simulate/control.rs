//! The controller's part of the virtual world: a listing becomes facts, facts a plan, and a plan that is safe orders.
//!
//! In the order the real one has: believe the listing or not, look at the pool, plan, lint, carry out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use crate::pool::{
    AdminState, Decider, Decision, Health, Instance, InstanceId, Keep, Machine, MachinePhase,
    PlacementPolicy, SessionId, Snapshot,
};
use crate::scaling::facts::{Remarks, views};
use crate::scaling::listing::Missing;
use crate::scaling::{Action, Facts, InstanceFacts, Plan, lint};

use super::orders::{InFlight, OrderFaults};
use super::outcome::Sample;
use super::world::{TICK, World};

/// What a controller knows beside listing and pool. All but `throttled_until` is written down and survives its restart.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub drained: BTreeSet<InstanceId>,
    pub removed: BTreeSet<InstanceId>,
    /// Started, and still off in the listing.
    pub woken: BTreeSet<InstanceId>,
    pub leaves_at: BTreeMap<InstanceId, SystemTime>,
    /// What operators decided.
    pub decided: BTreeMap<InstanceId, AdminState>,
    pub keep_until: BTreeMap<InstanceId, SystemTime>,
    /// Machines as they were last believed to be.
    believed: Vec<Machine>,
    pub contradiction: Option<String>,
    pub throttled_until: Duration,
    /// An order the cloud has not answered; written down, as all that was ordered.
    pub in_flight: Option<InFlight>,
    /// The listed capacity is too high by so many, until then.
    pub overstated: (u32, Duration),
    pub orders: OrderFaults,
    /// Faults of listings, and until when.
    pub stale_until: Duration,
    pub lists_nothing_until: Duration,
    pub lists_half_until: Duration,
    pub started: Option<Duration>,
    placement: Option<PlacementPolicy>,
}

impl World<'_> {
    pub fn tick(&mut self) {
        let now = self.now();
        self.pool.expire(now);
        self.take_listing();
        self.probe_all();
        self.serve();
        let snapshot = self.pool.snapshot();
        let facts = self.facts(&snapshot);
        self.ledger
            .observe(&facts.instances, snapshot.sessions.iter(), now);
        let plan = self.mind.decide(&facts, &self.settings.policy, now);
        self.carry_out(&plan, &facts);
        self.sample(&facts);
    }

    /// Probes run all the time; only what they change is of interest.
    fn probe_all(&mut self) {
        let snapshot = self.pool.snapshot();
        let views = snapshot.instances_of(&self.pool_name);
        let changed = views.filter_map(|view| {
            let id = InstanceId {
                pool: view.pool.clone(),
                name: view.name.clone(),
            };
            let answers = self.cloud.units.get(&id).is_some_and(|unit| unit.answers);
            let is_right = match answers {
                true => view.health == Health::Up,
                false => view.health == Health::Down,
            };
            (!is_right).then_some((id, answers))
        });
        let changed: Vec<_> = changed.collect();
        for (id, answers) in changed {
            self.probe(&id, answers);
        }
    }

    /// What the cloud says is compared with what answers, before the pool hears of it.
    fn take_listing(&mut self) {
        if self.at >= self.control.stale_until {
            self.cloud.list(self.at);
        }
        let mut listing = self.cloud.listing.clone();
        if self.at < self.control.lists_nothing_until {
            listing.clear();
        }
        if self.at < self.control.lists_half_until {
            listing.truncate(listing.len() / 2);
        }
        let listed: BTreeSet<_> = listing.iter().map(|machine| machine.id.clone()).collect();
        let snapshot = self.pool.snapshot();
        let views = views(&snapshot, &self.pool_name);
        let lacks = self.control.believed.iter();
        let lacks = lacks.filter(|machine| !listed.contains(&machine.id));
        let lacks = lacks.map(|machine| Missing {
            id: machine.id.clone(),
            is_expected: self.control.removed.contains(&machine.id)
                || self.control.leaves_at.contains_key(&machine.id),
            answers: views
                .get(&*machine.id.name)
                .is_some_and(|view| view.health == Health::Up),
        });
        let verdict = self.absences.judge(&lacks.collect::<Vec<_>>());
        let kept = self.control.believed.iter();
        let kept = kept.filter(|machine| verdict.kept.contains(&machine.id));
        listing.extend(kept.cloned());
        self.control.contradiction = verdict.contradiction;
        use MachinePhase::{Creating, Deallocated, Deleting};
        let is_there = |phase| !matches!(phase, Creating | Deallocated | Deleting);
        let routed = listing.iter().filter(|machine| is_there(machine.phase));
        let instances = routed.map(|machine| self.instance(machine)).collect();
        let is_off = |machine: &&Machine| machine.phase == MachinePhase::Deallocated;
        let off: BTreeSet<_> = listing.iter().filter(is_off).map(|one| &one.id).collect();
        self.control.woken.retain(|id| off.contains(id));
        self.control.believed = listing;
        let lost = self.pool.sync_instances("main", instances, self.now());
        self.restore_decisions();
        self.note_lost(&lost);
        self.lose(&lost);
    }

    /// A machine that comes back to the listing is what had been decided about it.
    fn restore_decisions(&mut self) {
        let snapshot = self.pool.snapshot();
        let views = views(&snapshot, &self.pool_name);
        let view = |id: &InstanceId| views.get(&*id.name).copied();
        let is_decided =
            |id: &InstanceId| view(id).is_some_and(|view| view.decided_by != Decider::Nobody);
        for (id, state) in self
            .control
            .decided
            .iter()
            .filter(|(id, _)| !is_decided(id))
        {
            self.pool
                .decide(id, Decision::by_admin(*state, "an operator"));
        }
        for id in self.control.drained.iter().filter(|id| !is_decided(id)) {
            let drained = Decision::by_policy(AdminState::Draining, "an earlier plan");
            self.pool.decide(id, drained);
        }
        let is_kept = |id: &InstanceId| view(id).is_none_or(|view| view.keep.is_some());
        for (id, until) in self
            .control
            .keep_until
            .iter()
            .filter(|(id, _)| !is_kept(id))
        {
            let (by, until) = ("somebody".into(), *until);
            self.pool.keep(id, Some(Keep { by, until }));
        }
    }

    /// A session may end only because its machine has.
    pub fn note_lost(&mut self, lost: &[SessionId]) {
        let count = u32::try_from(lost.len()).unwrap_or(u32::MAX);
        self.outcome.score.losses += count;
    }

    fn instance(&self, machine: &Machine) -> Instance {
        Instance {
            id: machine.id.clone(),
            address: "192.0.2.1".to_owned(),
            ssh_port: 22,
            jupyter_port: Some(8000),
            capacity: self.settings.capacity,
            generation: 1,
        }
    }

    fn facts(&self, snapshot: &Snapshot) -> Facts {
        let views = views(snapshot, &self.pool_name);
        let remarks = |id: &InstanceId| Remarks {
            leaves_at: self.control.leaves_at.get(id).copied(),
            busy_with: None,
        };
        let instances = self.control.believed.iter().map(|machine| {
            let view = views.get(&*machine.id.name).copied();
            let mut machine = machine.clone();
            // An order to delete is known before the next listing shows it.
            if self.control.removed.contains(&machine.id) {
                machine.phase = MachinePhase::Deleting;
            }
            let is_off = machine.phase == MachinePhase::Deallocated;
            if is_off && self.control.woken.contains(&machine.id) {
                machine.phase = MachinePhase::Booting;
            }
            let remarks = remarks(&machine.id);
            InstanceFacts::join(machine, view, remarks, self.settings.capacity)
        });
        let believed: BTreeSet<_> = self.control.believed.iter().map(|one| &one.id).collect();
        let requested = |id: &&InstanceId| !believed.contains(id);
        let requested = self.cloud.units.keys().filter(requested).count();
        let requested = u32::try_from(requested).unwrap_or(u32::MAX) + self.coming();
        let counted = self.at - self.control.started.unwrap_or_default();
        let base = self.settings.clock.instant;
        Facts {
            pool: self.pool_name.clone(),
            instances: instances.collect(),
            waiting: u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
            requested,
            capacity: self.settings.capacity,
            listing_age: self.at - self.cloud.listed,
            contradiction: self.control.contradiction.clone(),
            counted_for: match self.control.started {
                None => Duration::MAX,
                Some(_) => counted,
            },
            unheard: Vec::new(),
            writes_after: Some(base + self.control.throttled_until),
            order: None,
        }
    }

    fn carry_out(&mut self, plan: &Plan, facts: &Facts) {
        let now = self.now();
        if self.control.placement != Some(plan.placement) {
            self.control.placement = Some(plan.placement);
            self.set_placement(plan.placement);
        }
        if self.mind.is_careful() {
            let (_, bounds) = self.settings.policy.schedule.at(now.wall);
            if plan.desired < bounds.min || plan.desired > bounds.max {
                self.violated(format!("{} machines are aimed at", plan.desired));
            }
            let checked = lint::check(plan, facts, &self.settings.policy, now);
            if let Err(faults) = checked {
                self.outcome.refused_plans += 1;
                let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
                let what = format!("refused: {}", faults.join("; "));
                self.outcome.story.push((self.at, what));
                return;
            }
        }
        let mut done = Vec::new();
        for step in &plan.steps {
            if let Err(refusal) = self.act(&step.action) {
                let what = format!("{} was refused: {refusal}", step.action);
                self.outcome.story.push((self.at, what));
                break;
            }
            self.outcome.story.push((self.at, step.to_string()));
            done.push(step.clone());
        }
        if let super::Mind::Policy(history) = &mut self.mind {
            let steps = done;
            let carried_out = Plan {
                steps,
                ..plan.clone()
            };
            history.executed(&carried_out, now);
        }
        if plan
            .steps
            .iter()
            .any(|step| matches!(step.action, Action::Undrain(_)))
        {
            self.serve();
        }
    }

    pub fn violated(&mut self, what: String) {
        let at = self.at.as_secs();
        self.outcome.violations.push(format!("{at} s: {what}"));
    }

    fn sample(&mut self, facts: &Facts) {
        let billed = self.cloud.count(|unit| unit.machine.phase.is_billed());
        let score = &mut self.outcome.score;
        score.machines_max = score.machines_max.max(billed);
        let people = u32::try_from(self.seated.len()).unwrap_or(u32::MAX);
        let is_due = self
            .outcome
            .samples
            .last()
            .is_none_or(|last| self.at - last.at >= TICK.saturating_mul(8));
        if is_due {
            self.outcome.samples.push(Sample {
                at: self.at,
                people,
                waiting: facts.waiting,
                seats: billed * self.settings.capacity,
            });
        }
        // A name that is gone from the cloud is gone from the notes as well.
        let is_known = |id: &InstanceId| self.cloud.units.contains_key(id);
        self.control.removed.retain(is_known);
        self.control.drained.retain(is_known);
        self.control.leaves_at.retain(|id, _| is_known(id));
        self.control.decided.retain(|id, _| is_known(id));
    }
}
