//! What outlives the process: operations under way, what was decided about instances and who keeps them, and an operator's hold.
//!
//! Where they are kept is `notebook`'s. Without notes the pool is looked after as if for the first time, which gives nothing
//! away: nobody's machine is removed for want of them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::fleet::{MachineKey, Op, OpKind};
use crate::pool::{Decision, Keep, MachinePhase, Now, Observed};
use crate::scaling::{Order, PolicyConfig};

/// Notes of instances that were not seen for so long are crossed out.
const ABSENT_MAX: Duration = Duration::from_secs(24 * 3600);
/// More instances than this with a decision of their own are a mistake somewhere.
const INSTANCES_MAX: usize = 10_000;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Notes {
    #[serde(default)]
    pub ops: Vec<OpNote>,
    #[serde(default)]
    pub instances: Vec<InstanceNote>,
    /// What an operator ordered.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The boots that were measured last, in seconds.
    #[serde(default)]
    pub boots_s: Vec<u64>,
}

/// A command that the fleet took, or is about to be given.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OpNote {
    pub op: Op,
    /// Of a growth: how many, and which machines there were before.
    #[serde(default)]
    pub by: u32,
    #[serde(default)]
    pub before: BTreeSet<MachineKey>,
    /// This process has yet to hear whether the fleet takes it. Where a process ends before that, nobody will ever know, and
    /// it counts as taken until the machines are gone or it takes too long.
    #[serde(skip)]
    pub is_unanswered: bool,
    /// When this process first knew of it: its age by a clock that does not jump.
    #[serde(skip)]
    pub noted: Option<Instant>,
    /// When to ask how it goes; `None` while that is being asked, and where the fleet said that it is done.
    #[serde(skip)]
    pub ask_at: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InstanceNote {
    pub machine: MachineKey,
    #[serde(default)]
    pub decision: Option<Decision>,
    #[serde(default)]
    pub keep: Option<Keep>,
    /// Not in the pool since.
    #[serde(default)]
    pub absent_since: Option<SystemTime>,
}

/// So many machines until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    pub machines: u32,
    pub until: SystemTime,
    #[serde(skip)]
    ends: Option<Instant>,
}

impl OpNote {
    pub fn new(op: Op, by: u32, observed: &Observed, now: Instant) -> Self {
        let before = match op.kind {
            OpKind::Grow => observed.machines.iter().map(MachineKey::from).collect(),
            OpKind::Remove | OpKind::Start | OpKind::Stop => BTreeSet::new(),
        };
        Self {
            op,
            by,
            before,
            is_unanswered: false,
            noted: Some(now),
            ask_at: Some(now),
        }
    }

    /// Of what goes out next.
    pub fn unanswered(op: Op, now: Instant) -> Self {
        Self {
            op,
            by: 0,
            before: BTreeSet::new(),
            is_unanswered: true,
            noted: Some(now),
            ask_at: None,
        }
    }

    /// That it took too long.
    pub fn complaint(&self) -> String {
        let what = match self.op.kind {
            OpKind::Grow => "machines that were asked for never came; more may be asked for",
            OpKind::Remove => "machines that should be deleted are still there; it is tried again",
            OpKind::Start => "machines that should start are still off; it is tried again",
            OpKind::Stop => "machines that should stop are still on; it is tried again",
        };
        what.to_owned()
    }
}

impl Hold {
    pub fn new(machines: u32, until: SystemTime, now: Now) -> Self {
        let mut hold = Self {
            machines,
            until,
            ends: None,
        };
        hold.ends_at(now);
        hold
    }

    /// By a clock that does not jump, as soon as this process knows of it.
    fn ends_at(&mut self, now: Now) -> Instant {
        let left = self.until.duration_since(now.wall).unwrap_or_default();
        *self.ends.get_or_insert(now.instant + left)
    }
}

impl Notes {
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.instances.is_empty() && self.hold.is_none()
    }

    /// Boots that were measured.
    pub fn boots(&self) -> impl Iterator<Item = Duration> {
        self.boots_s
            .iter()
            .map(|seconds| Duration::from_secs(*seconds))
    }

    pub fn note_boots(&mut self, boots: impl Iterator<Item = Duration>) {
        self.boots_s = boots.map(|boot| boot.as_secs()).collect();
    }

    /// What an operator ordered, as long as it holds.
    pub fn order(&mut self, now: Now) -> Option<Order> {
        let hold = self.hold.as_mut()?;
        let order = Order {
            machines: hold.machines,
            until: hold.ends_at(now),
        };
        if !order.is_in_force(now) {
            self.hold = None;
        }
        Some(order)
    }

    /// Machines that were asked for and are not listed yet.
    pub fn requested(&self, observed: &Observed) -> u32 {
        let missing = self.missing(observed).into_iter();
        missing.fold(0, u32::saturating_add)
    }

    /// Whether a machine is on its way out or in.
    pub fn names(&self, kind: OpKind, machine: &MachineKey) -> bool {
        let mut ops = self.ops.iter().filter(|note| note.op.kind == kind);
        ops.any(|note| note.op.machines.contains(machine))
    }

    /// How long ago the oldest growth was ordered that is under way.
    pub fn oldest_growth(&self, now: Now) -> Option<Duration> {
        let growths = self.ops.iter().filter(|one| one.op.kind == OpKind::Grow);
        let noted = growths.filter_map(|note| note.noted);
        noted
            .map(|at| now.instant.saturating_duration_since(at))
            .max()
    }

    /// Crosses out the operations that a look shows to be carried out; returns those that took too long, crossed out as well.
    pub fn settle_by_sight(
        &mut self,
        observed: &Observed,
        now: Now,
        policy: &PolicyConfig,
    ) -> Vec<OpNote> {
        let missing = self.missing(observed);
        let mut late = Vec::new();
        let mut under_way = Vec::new();
        for (mut note, left) in std::mem::take(&mut self.ops).into_iter().zip(missing) {
            let noted = *note.noted.get_or_insert_with(|| {
                note.ask_at = Some(now.instant);
                now.instant
            });
            let is_under_way = match note.op.kind {
                OpKind::Grow => left > 0,
                OpKind::Remove => note
                    .op
                    .machines
                    .iter()
                    .any(|key| phase(observed, key).is_some()),
                OpKind::Start | OpKind::Stop => note
                    .op
                    .machines
                    .iter()
                    .any(|key| phase(observed, key) == Some(MachinePhase::Deallocated)),
            };
            let is_late = now.instant.saturating_duration_since(noted) > policy.boot_timeout;
            match (is_under_way, is_late) {
                _ if note.is_unanswered => under_way.push(note),
                (true, true) => late.push(note),
                (true, false) => under_way.push(note),
                (false, _) => {}
            }
        }
        self.ops = under_way;
        late
    }

    /// Of each operation, how many machines were asked for and are not listed: each machine that is new is the oldest one's.
    fn missing(&self, observed: &Observed) -> Vec<u32> {
        let mut claimed: BTreeSet<MachineKey> = BTreeSet::new();
        let listed: Vec<MachineKey> = observed.machines.iter().map(MachineKey::from).collect();
        let missing = self.ops.iter().map(|note| {
            let mut left = note.by;
            for key in &listed {
                if left > 0 && !note.before.contains(key) && claimed.insert(key.clone()) {
                    left -= 1;
                }
            }
            left
        });
        missing.collect()
    }

    /// What stands in the notes about an instance that has just been seen for the first time.
    pub fn about(&self, machine: &MachineKey) -> Option<&InstanceNote> {
        self.instances.iter().find(|note| note.machine == *machine)
    }

    /// Writes down how things are; those that were not seen for long are crossed out.
    pub fn replace_instances(
        &mut self,
        seen: Vec<InstanceNote>,
        all: &BTreeSet<MachineKey>,
        now: SystemTime,
    ) {
        let mut absent = std::mem::take(&mut self.instances);
        absent.retain_mut(|note| {
            let since = *note.absent_since.get_or_insert(now);
            let is_old = now.duration_since(since).is_ok_and(|age| age > ABSENT_MAX);
            !all.contains(&note.machine) && !is_old
        });
        self.instances = seen;
        self.instances.extend(absent);
        self.instances.truncate(INSTANCES_MAX);
    }
}

fn phase(observed: &Observed, key: &MachineKey) -> Option<MachinePhase> {
    let mut machines = observed.machines.iter();
    let machine = machines.find(|one| MachineKey::from(*one) == *key)?;
    Some(machine.phase)
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ops, instances) = (self.ops.len(), self.instances.len());
        write!(
            f,
            "{ops} operations under way, {instances} decisions remembered"
        )
    }
}

#[cfg(test)]
#[path = "notes/tests.rs"]
mod tests;
