//! What a controller may ask of a fleet, as types: grow, remove exactly these, start, stop, and how that is going.
//!
//! Deliberately impossible: to lower a capacity (the cloud would choose whose machine dies), to name no machine (some clouds
//! take that for all of them), and to name a machine without its generation (names are given again).

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::fault::FleetFault;
use crate::pool::{InstanceId, Machine, Observed};

/// What a command comes to.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, FleetFault>> + Send + 'a>>;

/// The last good look; `None` before the first.
pub type Sight = watch::Receiver<Option<Arc<Observed>>>;

/// The commands of one pool's fleet. Every answer is an `Op` to ask after; the next look at the fleet is the truth.
pub trait FleetControl: Send + Sync {
    fn observed(&self) -> Sight;

    /// Machines up to `capacity`, as seen at `version`. Refused where that would be fewer than there are.
    fn grow_to(&self, capacity: u32, version: &str) -> Answer<'_, Op>;

    /// Deletes these very machines.
    fn remove(&self, chosen: &Chosen) -> Answer<'_, Op>;

    /// Starts machines that are off.
    fn start(&self, chosen: &Chosen) -> Answer<'_, Op>;

    /// Turns machines off so that they are not paid for; they keep their disk.
    fn stop(&self, chosen: &Chosen) -> Answer<'_, Op>;

    /// How an operation is going, also one that was begun before a restart.
    fn poll(&self, op: &Op) -> Answer<'_, OpState>;
}

/// One machine, and no other that has its name later.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MachineKey {
    pub name: String,
    pub generation: u64,
}

impl From<&Machine> for MachineKey {
    fn from(machine: &Machine) -> Self {
        Self {
            name: machine.id.name.to_string(),
            generation: machine.generation,
        }
    }
}

/// At least one machine, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen(BTreeSet<MachineKey>);

impl Chosen {
    /// `None` for no machine.
    pub fn new(keys: impl IntoIterator<Item = MachineKey>) -> Option<Self> {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Those of `ids` as `observed` shows them; the id of the first that it does not show.
    ///
    /// # Errors
    /// A machine that was not seen is never acted upon.
    pub fn of(ids: &[InstanceId], observed: &Observed) -> Result<Option<Self>, InstanceId> {
        let key = |id: &InstanceId| {
            let seen = observed.machines.iter().find(|machine| machine.id == *id);
            seen.map(MachineKey::from).ok_or_else(|| id.clone())
        };
        let keys: Result<Vec<_>, _> = ids.iter().map(key).collect();
        keys.map(Self::new)
    }

    pub fn keys(&self) -> impl ExactSizeIterator<Item = &MachineKey> {
        self.0.iter()
    }

    /// The machines meant among `machines`.
    ///
    /// # Errors
    /// One is not there, or another machine has its name.
    pub fn among<'a>(&self, machines: &'a [Machine]) -> Result<Vec<&'a Machine>, FleetFault> {
        let find = |key: &MachineKey| {
            let named = machines.iter().find(|one| *one.id.name == *key.name);
            match named {
                Some(machine) if machine.generation == key.generation => Ok(machine),
                Some(_) => Err(FleetFault::Conflict(format!(
                    "{} is another machine than the one that was chosen",
                    key.name
                ))),
                None => Err(FleetFault::Conflict(format!(
                    "{} is gone already",
                    key.name
                ))),
            }
        };
        self.keys().map(find).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    Grow,
    Remove,
    Start,
    Stop,
}

impl OpKind {
    pub fn verb(self) -> &'static str {
        match self {
            Self::Grow => "grow",
            Self::Remove => "remove",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// An operation that was accepted; kept across restarts as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Op {
    pub kind: OpKind,
    /// Of a growth.
    pub capacity: Option<u32>,
    /// Of anything else.
    pub machines: Vec<MachineKey>,
    pub started_unix_s: u64,
    /// Where the cloud tells how it goes; empty where the next look does.
    #[serde(default)]
    pub polls: Vec<Poll>,
}

/// A place to ask, and what its answer means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    pub url: String,
    pub by: PollBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PollBy {
    /// A body with `status`.
    Status,
    /// 202 while it goes on, 200 or 204 when it is done.
    Code,
}

impl Op {
    pub fn grow(capacity: u32, polls: Vec<Poll>) -> Self {
        Self {
            kind: OpKind::Grow,
            capacity: Some(capacity),
            machines: Vec::new(),
            started_unix_s: unix_seconds(),
            polls,
        }
    }

    pub fn on(kind: OpKind, chosen: &Chosen, polls: Vec<Poll>) -> Self {
        Self {
            kind,
            capacity: None,
            machines: chosen.keys().cloned().collect(),
            started_unix_s: unix_seconds(),
            polls,
        }
    }
}

fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpState {
    Running { again_in: Duration },
    Done,
    Failed(FleetFault),
}

/// How an operation goes where only the next look tells.
pub(super) fn state_by_sight(op: &Op, observed: Option<&Observed>) -> OpState {
    use crate::pool::MachinePhase::{Booting, Deallocated, Running};
    let again = OpState::Running {
        again_in: Duration::from_secs(1),
    };
    let Some(observed) = observed else {
        return again;
    };
    let phase = |key: &MachineKey| {
        let same = |one: &&Machine| *one.id.name == *key.name && one.generation == key.generation;
        observed.machines.iter().find(same).map(|one| one.phase)
    };
    let is_done = match op.kind {
        OpKind::Grow => op.capacity.is_none_or(|wanted| observed.capacity >= wanted),
        OpKind::Remove => op.machines.iter().all(|key| phase(key).is_none()),
        OpKind::Start => op
            .machines
            .iter()
            .all(|key| matches!(phase(key), None | Some(Booting | Running))),
        OpKind::Stop => op
            .machines
            .iter()
            .all(|key| matches!(phase(key), None | Some(Deallocated))),
    };
    if is_done { OpState::Done } else { again }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::MachinePhase;

    fn machine(name: &str, generation: u64, phase: MachinePhase) -> Machine {
        Machine {
            id: InstanceId {
                pool: "main".into(),
                name: name.into(),
            },
            generation,
            phase,
            created: UNIX_EPOCH,
            is_spot: false,
            is_protected: false,
            is_latest_model: true,
            address: None,
        }
    }

    fn key(name: &str, generation: u64) -> MachineKey {
        MachineKey {
            name: name.into(),
            generation,
        }
    }

    #[test]
    fn nothing_cannot_be_chosen() {
        assert_eq!(Chosen::new([]), None);
        let twice = Chosen::new([key("a", 1), key("a", 1)]).unwrap();
        assert_eq!(twice.keys().len(), 1);
    }

    #[test]
    fn a_machine_that_took_over_a_name_is_not_the_one_chosen() {
        let there = [machine("a", 2, MachinePhase::Running)];
        let old = Chosen::new([key("a", 1)]).unwrap();
        assert_eq!(old.among(&there).unwrap_err().kind(), "conflict");
        let gone = Chosen::new([key("b", 1)]).unwrap();
        assert_eq!(gone.among(&there).unwrap_err().kind(), "conflict");
        let right = Chosen::new([key("a", 2)]).unwrap();
        assert_eq!(right.among(&there).unwrap().len(), 1);
    }

    #[test]
    fn an_operation_survives_as_json() {
        let poll = Poll {
            url: "https://management.azure.com/x".into(),
            by: PollBy::Status,
        };
        let chosen = Chosen::new([key("a", 7)]).unwrap();
        let op = Op::on(OpKind::Remove, &chosen, vec![poll]);
        let text = serde_json::to_string(&op).unwrap();
        assert_eq!(serde_json::from_str::<Op>(&text).unwrap(), op);
    }

    #[test]
    fn the_next_look_ends_an_operation() {
        let seen = |machines: Vec<Machine>| Observed {
            capacity: 1,
            version: "1".into(),
            machines,
            hindrances: Vec::new(),
            at: UNIX_EPOCH,
        };
        let chosen = Chosen::new([key("a", 1)]).unwrap();
        let remove = Op::on(OpKind::Remove, &chosen, Vec::new());
        let still = seen(vec![machine("a", 1, MachinePhase::Deleting)]);
        let is_done = |op: &Op, seen: &Observed| state_by_sight(op, Some(seen)) == OpState::Done;
        assert!(!is_done(&remove, &still));
        assert!(is_done(
            &remove,
            &seen(vec![machine("a", 2, MachinePhase::Running)])
        ));
        assert!(!is_done(&Op::grow(2, Vec::new()), &still));
        assert!(is_done(&Op::grow(1, Vec::new()), &still));
        let stop = Op::on(OpKind::Stop, &chosen, Vec::new());
        assert!(is_done(
            &stop,
            &seen(vec![machine("a", 1, MachinePhase::Deallocated)])
        ));
        assert!(state_by_sight(&stop, None) != OpState::Done);
    }
}
