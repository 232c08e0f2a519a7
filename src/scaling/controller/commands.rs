//! Steps of a plan as commands to the fleet: one at a time, never twice, and what became of them.
//!
//! A command that is under way counts as carried out in the facts of the next plans: a machine that was asked for is on its way,
//! one that is to be deleted is gone. When the fleet refuses, it is left alone for as long as it asks, or longer each time.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinError;

use super::notes::OpNote;
use super::{Controller, Facts, Plan, traced};
use crate::fleet::{Chosen, FleetFault, MachineKey, Op, OpKind, OpState};
use crate::pool::{AdminState, Decision, InstanceId, Now, Observed};
use crate::scaling::plan::{Action, Step};
use crate::telemetry::events::EventKind;

/// After a refusal that gives no time: so long, and twice as long each time up to the most.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// What the fleet is being asked for, and whether it may be asked.
#[derive(Default)]
pub(super) struct UnderWay {
    command: Option<Command>,
    /// That command, until it is written down.
    pub to_send: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>>,
    blocked: Option<Blocked>,
    /// What the next command would be based on is not so any more.
    awaits_look: bool,
    refusals: u32,
    /// Instances that are being asked whether they are idle.
    pub judged: BTreeSet<InstanceId>,
}

/// On its way to the fleet.
struct Command {
    kind: OpKind,
    by: u32,
    machines: BTreeSet<MachineKey>,
    observed: Arc<Observed>,
}

struct Blocked {
    until: Instant,
    fault: FleetFault,
}

/// What comes back.
pub(super) enum Outcome {
    Commanded(Result<Op, FleetFault>),
    Asked(Op, Result<OpState, FleetFault>),
    Judged(InstanceId, bool),
}

impl UnderWay {
    pub fn growing(&self) -> u32 {
        self.command.as_ref().map_or(0, |command| command.by)
    }

    pub fn names(&self, kind: OpKind, key: &MachineKey) -> bool {
        let command = self.command.as_ref().filter(|command| command.kind == kind);
        command.is_some_and(|command| command.machines.contains(key))
    }

    /// The fleet takes no command before.
    pub fn writes_after(&self, now: Now) -> Option<Instant> {
        let soon = now.instant + super::ROUND;
        let waits = self.command.is_some() || self.awaits_look;
        let until = self.blocked.as_ref().map(|blocked| blocked.until);
        until.max(waits.then_some(soon))
    }

    /// The fleet was seen anew.
    pub fn looked(&mut self) {
        self.awaits_look = false;
    }

    /// What people who wait need to know of refusals.
    pub fn trouble(&self, now: Now) -> Option<String> {
        let blocked = self.blocked.as_ref()?;
        let words = match &blocked.fault {
            FleetFault::Quota(_) | FleetFault::NoCapacity(_) => {
                "there is no machine to be had at the moment; it is tried again every few minutes"
            }
            FleetFault::Auth(_) | FleetFault::NotFound(_) | FleetFault::Fatal(_) => {
                "no machine can be started; the operators of this pool need to look at it"
            }
            FleetFault::Throttled { .. } | FleetFault::Transient(_) if self.refusals > 1 => {
                "the cloud does not take orders at the moment; it is tried again"
            }
            FleetFault::Throttled { .. } | FleetFault::Transient(_) | FleetFault::Conflict(_) => {
                return None;
            }
        };
        // Until a command is taken: the time to the next try says nothing to people.
        let is_recent = now.instant < blocked.until + WAIT_MAX;
        is_recent.then(|| words.to_owned())
    }

    fn refuse(&mut self, fault: FleetFault, now: Instant) {
        let doubled = Duration::from_secs(5 << self.refusals.min(6));
        self.refusals = self.refusals.saturating_add(1);
        let wait = fault.wait_at_least().max(doubled.min(WAIT_MAX));
        self.awaits_look |= matches!(fault, FleetFault::Conflict(_));
        self.blocked = Some(Blocked {
            until: now + wait,
            fault,
        });
    }
}

impl Controller {
    pub(super) fn carry_out(&mut self, plan: &Plan, facts: &Facts, now: Now) {
        self.ask_after_ops(now);
        if plan.steps.is_empty() || !self.is_safe(plan, facts, now) {
            return;
        }
        let span = self.begin_steps();
        let steps = span.enter(|| self.take(&plan.steps, now));
        if steps.is_empty() {
            span.forget();
        }
        let done = Plan {
            steps,
            ..plan.clone()
        };
        self.history.executed(&done, now);
    }

    /// Those of the steps that could be taken.
    fn take(&mut self, steps: &[Step], now: Now) -> Vec<Step> {
        let mut taken = Vec::new();
        for step in steps {
            let is_done = match &step.action {
                Action::Undrain(id) => self.tools.pool.reopen(id),
                Action::Drain(id) => self.drain(id, &step.reason, now),
                Action::Grow { by } => self.command_growth(*by, now),
                Action::Start(ids) => self.command_on(OpKind::Start, ids, now),
                Action::Remove(ids) => self.command_removal(ids, now),
            };
            if is_done {
                self.tell_step(step);
                traced::taken(step);
                taken.push(step.clone());
            }
        }
        taken
    }

    fn drain(&self, id: &InstanceId, reason: &str, now: Now) -> bool {
        let eviction = self.config.eviction.as_ref();
        let decision = Decision {
            deadline: eviction.and_then(|one| now.wall.checked_add(one.after)),
            ..Decision::by_policy(AdminState::Draining, reason)
        };
        self.tools.pool.decide(id, decision)
    }

    fn command_growth(&mut self, by: u32, now: Now) -> bool {
        let Some(observed) = self.free_to_command(now) else {
            return false;
        };
        let wanted = self
            .notes
            .ops
            .iter()
            .filter_map(|command| command.op.capacity);
        let from = wanted.fold(observed.capacity, u32::max);
        let capacity = from.saturating_add(by);
        let (fleet, version) = (self.fleet.clone(), observed.version.clone());
        let span = self.begin_command(OpKind::Grow);
        let command = async move {
            let answer = span.around(fleet.grow_to(capacity, &version)).await;
            traced::commanded(&span, &answer);
            Outcome::Commanded(answer)
        };
        self.under_way.to_send = Some(Box::pin(command));
        self.note_command(OpKind::Grow, by, BTreeSet::new(), observed);
        true
    }

    /// Whoever is there by now stays there: the pool has the last word.
    fn command_removal(&mut self, ids: &[InstanceId], now: Now) -> bool {
        if self.free_to_command(now).is_none() {
            return false;
        }
        let pool = &self.tools.pool;
        let empty = ids
            .iter()
            .filter(|id| pool.instance(id).is_none() || pool.seal(id));
        let empty: Vec<_> = empty.cloned().collect();
        let is_commanded = self.command_on(OpKind::Remove, &empty, now);
        if !is_commanded {
            empty.iter().for_each(|id| self.tools.pool.unseal(id));
        }
        is_commanded
    }

    fn command_on(&mut self, kind: OpKind, ids: &[InstanceId], now: Now) -> bool {
        let Some(observed) = self.free_to_command(now) else {
            return false;
        };
        let Ok(Some(chosen)) = Chosen::of(ids, &observed) else {
            return false;
        };
        let machines = chosen.keys().cloned().collect();
        let fleet = self.fleet.clone();
        if kind == OpKind::Remove {
            let op = Op::on(kind, &chosen, Vec::new());
            self.notes.ops.push(OpNote::unanswered(op, now.instant));
        }
        let span = self.begin_command(kind);
        self.under_way.to_send = Some(Box::pin(async move {
            let answer = span.around(match kind {
                OpKind::Start => fleet.start(&chosen),
                _ => fleet.remove(&chosen),
            });
            let answer = answer.await;
            traced::commanded(&span, &answer);
            Outcome::Commanded(answer)
        }));
        self.note_command(kind, 0, machines, observed);
        true
    }

    /// The look that a command would be based on; `None` while another is on its way or none is taken.
    fn free_to_command(&self, now: Now) -> Option<Arc<Observed>> {
        let after = self.under_way.writes_after(now);
        let is_free = after.is_none_or(|after| after <= now.instant);
        self.seen.observed().filter(|_| is_free)
    }

    fn note_command(
        &mut self,
        kind: OpKind,
        by: u32,
        machines: BTreeSet<MachineKey>,
        observed: Arc<Observed>,
    ) {
        self.under_way.command = Some(Command {
            kind,
            by,
            machines,
            observed,
        });
    }

    fn tell_step(&self, step: &Step) {
        let metrics = &self.tools.metrics;
        metrics.count_scaling_step(&self.config.pool, step.action.verb());
        let kind = match &step.action {
            Action::Grow { by } => {
                let text = format!("{by} more asked for: {}", step.reason);
                return self.tell(None, EventKind::Grow, text);
            }
            Action::Start(_) => EventKind::Start,
            Action::Undrain(_) => EventKind::Undrain,
            Action::Drain(_) => EventKind::Drain,
            Action::Remove(_) => EventKind::Remove,
        };
        for id in step.action.ids() {
            self.tell(Some(&id.name), kind, step.reason.clone());
        }
    }

    /// Something that ran beside the rounds has ended.
    pub(super) fn settle(&mut self, done: Result<Outcome, JoinError>, now: Now) {
        match done {
            Ok(Outcome::Judged(id, is_idle)) => {
                self.under_way.judged.remove(&id);
                self.seen.idle.insert(id, (now.instant, is_idle));
            }
            Ok(Outcome::Commanded(answer)) => self.settle_command(answer, now),
            Ok(Outcome::Asked(op, answer)) => self.settle_question(&op, answer, now),
            Err(error) => {
                // A bug in a provider: what it was asked for is decided anew by the next look.
                tracing::error!(%error, "a command to the fleet broke off");
                self.under_way.judged.clear();
                let fault = FleetFault::Conflict("a command broke off".to_owned());
                self.settle_command(Err(fault), now);
            }
        }
    }

    fn settle_command(&mut self, answer: Result<Op, FleetFault>, now: Now) {
        let Some(command) = self.under_way.command.take() else {
            return;
        };
        self.notes.ops.retain(|note| !note.is_unanswered);
        match answer {
            Ok(op) => {
                self.under_way.blocked = None;
                self.under_way.refusals = 0;
                self.under_way.awaits_look = true;
                self.told.fault = None;
                if command.kind == OpKind::Remove {
                    self.told.removed.extend(command.machines);
                }
                let note = OpNote::new(op, command.by, &command.observed, now.instant);
                self.notes.ops.push(note);
            }
            Err(fault) => {
                if command.kind == OpKind::Remove {
                    self.unseal(command.machines.iter());
                }
                self.tell_fault(command.kind, &fault);
                self.under_way.refuse(fault, now.instant);
            }
        }
    }

    fn ask_after_ops(&mut self, now: Now) {
        for command in &mut self.notes.ops {
            if command.ask_at.is_none_or(|at| at > now.instant) {
                continue;
            }
            command.ask_at = None;
            let (fleet, op) = (self.fleet.clone(), command.op.clone());
            self.running.spawn(async move {
                let answer = fleet.poll(&op).await;
                Outcome::Asked(op, answer)
            });
        }
    }

    fn settle_question(&mut self, op: &Op, answer: Result<OpState, FleetFault>, now: Now) {
        let Some(at) = self.notes.ops.iter().position(|command| command.op == *op) else {
            return;
        };
        let again_in = match answer {
            Ok(OpState::Running { again_in }) => Some(again_in),
            Ok(OpState::Done) => None,
            Err(fault) => Some(fault.wait_at_least()),
            Ok(OpState::Failed(fault)) => {
                self.notes.ops.remove(at);
                if op.kind == OpKind::Remove {
                    self.unseal(op.machines.iter());
                }
                self.tell_fault(op.kind, &fault);
                self.under_way.refuse(fault, now.instant);
                return;
            }
        };
        if let Some(command) = self.notes.ops.get_mut(at) {
            command.ask_at = again_in.map(|wait| now.instant + wait);
        }
    }

    /// Orders that a look shows to be carried out are crossed out; those that took too long are told of.
    pub(super) fn settle_by_sight(&mut self, observed: &Observed, now: Now) {
        let late = self
            .notes
            .settle_by_sight(observed, now, &self.config.policy);
        for command in late {
            if command.op.kind == OpKind::Remove {
                self.unseal(command.op.machines.iter());
            }
            self.tell(None, self.trouble(command.op.kind), command.complaint());
        }
    }

    fn unseal<'a>(&self, machines: impl Iterator<Item = &'a MachineKey>) {
        for machine in machines {
            self.tools.pool.unseal(&InstanceId {
                pool: self.config.pool.clone(),
                name: machine.name.as_str().into(),
            });
        }
    }

    /// The same fault is told once, however often it is met.
    fn tell_fault(&mut self, kind: OpKind, fault: &FleetFault) {
        self.tools
            .metrics
            .count_fleet_fault(&self.config.pool, fault.kind());
        let verb = match kind {
            OpKind::Grow => "more machines cannot be had",
            OpKind::Remove => "machines cannot be deleted",
            OpKind::Start => "machines cannot be started",
            OpKind::Stop => "machines cannot be stopped",
        };
        let trouble = self.trouble(kind);
        let people = match trouble {
            EventKind::WakeFailed => " while people wait and no machine is up",
            _ => "",
        };
        let text = format!("{verb}{people}: {fault}");
        if self.told.fault.as_ref() != Some(&text) {
            self.tell(None, trouble, text.clone());
            self.told.fault = Some(text);
        }
    }

    /// What kind of news it is that a command like this fails.
    fn trouble(&self, kind: OpKind) -> EventKind {
        let would_wake = matches!(kind, OpKind::Grow | OpKind::Start);
        match would_wake && self.told.waking.is_some() {
            true => EventKind::WakeFailed,
            false => EventKind::Fault,
        }
    }
}
