//! A cloud in memory: machines boot and are deleted as time passes, looks are old, and commands fail when they are told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, watch};

use super::{BOOT_S, CAPACITY};
use crate::fleet::{Answer, Chosen, FleetControl, FleetFault, Op, OpKind, OpState, Sight};
use crate::pool::{Instance, InstanceId, Machine, MachinePhase, Observed};

const LOOK_EVERY: Duration = Duration::from_secs(10);
const DELETION: Duration = Duration::from_secs(20);

pub struct Cloud {
    state: Mutex<State>,
    sight: watch::Sender<Option<Arc<Observed>>>,
    released: Notify,
}

#[derive(Default)]
pub struct State {
    units: BTreeMap<InstanceId, Unit>,
    made: u32,
    version: u64,
    since_look: Duration,
    taken: BTreeSet<InstanceId>,
    /// Every command that came, also those refused.
    pub commands: Vec<String>,
    /// Answers to the next commands.
    pub refusals: VecDeque<FleetFault>,
    /// What becomes of a command that was accepted.
    pub failures: VecDeque<FleetFault>,
    /// Of the next boots; then all go well.
    pub fates: VecDeque<Fate>,
    pub view: View,
    pub is_hanging: bool,
    pub hindrance: Option<String>,
}

/// What a look shows.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Truth,
    Nothing,
    Old,
    Capacity(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Well,
    /// It is made, and never answers.
    Sick,
    /// It is said to have failed.
    Fails,
}

struct Unit {
    machine: Machine,
    age: Duration,
    leaves_in: Option<Duration>,
    fate: Fate,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            sight: watch::Sender::new(None),
            released: Notify::new(),
        }
    }
}

impl Cloud {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn pass(&self, step: Duration, wall: SystemTime) {
        let is_due = {
            let mut state = self.state();
            for unit in state.units.values_mut() {
                unit.grow_older(step);
            }
            let is_gone = |unit: &Unit| unit.leaves_in == Some(Duration::ZERO);
            let gone = state.units.iter().filter(|(_, unit)| is_gone(unit));
            let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
            for id in gone {
                state.units.remove(&id);
                state.version += 1;
            }
            state.since_look += step;
            state.since_look >= LOOK_EVERY && state.view != View::Old
        };
        if is_due {
            self.look(wall);
        }
    }

    pub fn look(&self, wall: SystemTime) {
        let mut state = self.state();
        state.since_look = Duration::ZERO;
        let machines: Vec<_> = state
            .units
            .values()
            .map(|unit| unit.machine.clone())
            .collect();
        let is_going = |one: &&Machine| one.phase == MachinePhase::Deleting;
        let capacity = machines.len() - machines.iter().filter(is_going).count();
        let observed = Observed {
            capacity: match state.view {
                View::Capacity(said) => said,
                View::Nothing => 0,
                View::Truth | View::Old => u32::try_from(capacity).unwrap(),
            },
            version: state.version.to_string(),
            machines: match state.view {
                View::Nothing => Vec::new(),
                _ => machines,
            },
            hindrances: state.hindrance.iter().cloned().collect(),
            at: wall,
        };
        self.sight.send_replace(Some(Arc::new(observed)));
    }

    /// What a gate routes to, by the last look.
    pub fn listed(&self) -> Vec<Instance> {
        let seen = self.sight.borrow().clone();
        let machines = seen.iter().flat_map(|seen| &seen.machines);
        let on = machines.filter(|one| one.phase.is_on());
        on.map(|machine| Instance {
            id: machine.id.clone(),
            address: "192.0.2.1".to_owned(),
            ssh_port: 22,
            jupyter_port: None,
            capacity: CAPACITY,
            generation: machine.generation,
        })
        .collect()
    }

    pub fn answers(&self, id: &InstanceId) -> bool {
        let state = self.state();
        let unit = state.units.get(id);
        unit.is_some_and(|unit| {
            let has_booted = unit.age >= Duration::from_secs(BOOT_S);
            unit.fate == Fate::Well && has_booted && unit.machine.phase.is_on()
        })
    }

    pub fn exists(&self, id: &InstanceId) -> bool {
        let state = self.state();
        let unit = state.units.get(id);
        unit.is_some_and(|unit| unit.machine.phase != MachinePhase::Deleting)
    }

    /// The cloud itself took it, without being asked.
    pub fn was_taken(&self, id: &InstanceId) -> bool {
        self.state().taken.contains(id)
    }

    /// Takes a machine away so many seconds from now.
    pub fn take(&self, id: &InstanceId, seconds: u64) {
        let mut state = self.state();
        state.taken.insert(id.clone());
        state.version += 1;
        let unit = state.units.get_mut(id).unwrap();
        unit.machine.phase = MachinePhase::Stopping;
        unit.leaves_in = Some(Duration::from_secs(seconds));
    }

    pub fn fall_ill(&self, id: &InstanceId) {
        self.state().units.get_mut(id).unwrap().fate = Fate::Sick;
    }

    /// Machines that are not on their way out.
    pub fn count(&self) -> u32 {
        let state = self.state();
        let there = state
            .units
            .values()
            .filter(|unit| unit.machine.phase != MachinePhase::Deleting);
        u32::try_from(there.count()).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        let state = self.state();
        state.units.keys().map(|id| id.name.to_string()).collect()
    }

    pub fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }

    pub fn hangs(&self) -> bool {
        self.state().is_hanging
    }

    pub fn release(&self) {
        self.state().is_hanging = false;
        self.released.notify_waiters();
    }

    fn answer(
        &self,
        words: String,
        order: impl FnOnce(&mut State) -> Result<Op, FleetFault> + Send + 'static,
    ) -> Answer<'_, Op> {
        Box::pin(async move {
            self.state().commands.push(words);
            while self.hangs() {
                self.released.notified().await;
            }
            let mut state = self.state();
            if let Some(fault) = state.refusals.pop_front() {
                return Err(fault);
            }
            state.version += 1;
            order(&mut state)
        })
    }
}

impl Unit {
    fn grow_older(&mut self, step: Duration) {
        self.age += step;
        if let Some(left) = &mut self.leaves_in {
            *left = left.saturating_sub(step);
        }
        let is_made = self.age >= Duration::from_secs(BOOT_S / 3);
        if is_made && self.machine.phase == MachinePhase::Creating {
            self.machine.phase = match self.fate {
                Fate::Fails => MachinePhase::Failed,
                Fate::Well | Fate::Sick => MachinePhase::Running,
            };
        }
    }
}

impl FleetControl for Cloud {
    fn observed(&self) -> Sight {
        self.sight.subscribe()
    }

    fn grow_to(&self, capacity: u32, version: &str) -> Answer<'_, Op> {
        let version = version.to_owned();
        self.answer(format!("grow to {capacity}"), move |state| {
            if version != (state.version - 1).to_string() {
                return Err(FleetFault::Conflict(
                    "the set changed since it was seen".to_owned(),
                ));
            }
            let there = state
                .units
                .values()
                .filter(|one| one.machine.phase != MachinePhase::Deleting);
            let there = u32::try_from(there.count()).unwrap();
            for _ in there..capacity {
                state.make();
            }
            Ok(Op::grow(capacity, Vec::new()))
        })
    }

    fn remove(&self, chosen: &Chosen) -> Answer<'_, Op> {
        let chosen = chosen.clone();
        let names: Vec<_> = chosen.keys().map(|key| key.name.clone()).collect();
        self.answer(format!("remove {}", names.join(" ")), move |state| {
            for unit in state.units.values_mut() {
                if names.contains(&unit.machine.id.name.to_string()) {
                    assert_ne!(unit.machine.phase, MachinePhase::Deleting, "ordered twice");
                    unit.machine.phase = MachinePhase::Deleting;
                    unit.leaves_in = Some(DELETION);
                }
            }
            Ok(Op::on(OpKind::Remove, &chosen, Vec::new()))
        })
    }

    fn start(&self, chosen: &Chosen) -> Answer<'_, Op> {
        let chosen = chosen.clone();
        let names: Vec<_> = chosen.keys().map(|key| key.name.clone()).collect();
        self.answer(format!("start {}", names.join(" ")), move |state| {
            for unit in state.units.values_mut() {
                if names.contains(&unit.machine.id.name.to_string()) {
                    unit.machine.phase = MachinePhase::Running;
                    unit.age = Duration::ZERO;
                }
            }
            Ok(Op::on(OpKind::Start, &chosen, Vec::new()))
        })
    }

    fn stop(&self, _: &Chosen) -> Answer<'_, Op> {
        unreachable!("no plan stops machines")
    }

    fn poll(&self, op: &Op) -> Answer<'_, OpState> {
        let mut state = self.state();
        let failed = state.failures.pop_front();
        if failed.is_some() {
            // It is as if it had never been asked.
            for unit in state.units.values_mut() {
                let name = unit.machine.id.name.to_string();
                if op.machines.iter().any(|key| key.name == name) {
                    unit.machine.phase = MachinePhase::Running;
                    unit.leaves_in = None;
                }
            }
        }
        let state = failed.map_or(OpState::Done, OpState::Failed);
        Box::pin(std::future::ready(Ok(state)))
    }
}

impl State {
    fn make(&mut self) {
        self.made += 1;
        let id = InstanceId {
            pool: "main".into(),
            name: format!("vm{}", self.made).into(),
        };
        let fate = self.fates.pop_front().unwrap_or(Fate::Well);
        let machine = Machine {
            id: id.clone(),
            generation: u64::from(self.made),
            phase: MachinePhase::Creating,
            created: SystemTime::UNIX_EPOCH + Duration::from_secs(self.made.into()),
            is_spot: false,
            is_protected: false,
            is_latest_model: true,
            address: None,
        };
        let unit = Unit {
            machine,
            age: Duration::ZERO,
            leaves_in: None,
            fate,
        };
        self.units.insert(id, unit);
    }

    /// A machine that is there and off.
    pub fn make_off(&mut self) {
        self.make();
        let unit = self.units.values_mut().last().unwrap();
        unit.machine.phase = MachinePhase::Deallocated;
    }
}
