//! The pool's ledger while it is kept: counted each round, written down now and then, told to metrics and operators.

use std::time::{Duration, Instant};

use super::{Controller, Facts};
use crate::pool::cost::CostView;
use crate::pool::{MachinePhase, Now, Snapshot};
use crate::scaling::cost::{Ledger, MachineTime};
use crate::state::{Folder, StateFile};

/// What a crash may lose of the ledger.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);
/// All sessions are gone through to count, and there may be a hundred thousand.
const COUNTED_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Costs {
    pub ledger: Ledger,
    notebook: StateFile,
    written: Option<Instant>,
    counted: Option<Instant>,
}

impl Costs {
    pub fn open(folder: &Folder, name: &str) -> Self {
        let loss = "what the pool cost is counted from here on";
        let (notebook, ledger) = StateFile::open(folder, name, loss);
        Self {
            ledger,
            notebook,
            written: None,
            counted: None,
        }
    }

    pub async fn write_if_due(&mut self, now: Instant) {
        let age = self.written.map(|at| now.saturating_duration_since(at));
        if age.is_none_or(|age| age >= WRITTEN_EVERY) {
            self.written = Some(now);
            self.write().await;
        }
    }

    pub async fn write(&mut self) {
        self.notebook.write(&self.ledger).await;
    }
}

impl Controller {
    pub(super) fn note_costs(&mut self, facts: &Facts, snapshot: &Snapshot, now: Now) {
        let before = self.costs.counted;
        let age = before.map(|at| now.instant.saturating_duration_since(at));
        if age.is_some_and(|age| age < COUNTED_EVERY) {
            return;
        }
        self.costs.counted = Some(now.instant);
        let pool = &self.config.pool;
        let sessions = snapshot.sessions.iter().filter(|one| one.pool == *pool);
        let time = self.costs.ledger.observe(&facts.instances, sessions, now);
        let MachineTime {
            billed,
            used,
            idle,
            booting,
            ..
        } = time;
        let useful = used.saturating_add(idle).saturating_add(booting);
        let metrics = &self.tools.metrics;
        for (name, time) in [
            ("used", used),
            ("idle", idle),
            ("booting", booting),
            ("lost", billed.saturating_sub(useful)),
        ] {
            metrics.count_machine_seconds(pool, name, time.as_secs_f64());
        }
        for phase in MachinePhase::ALL {
            let machines = facts.instances.iter();
            let machines = machines.filter(|one| one.machine.phase == phase).count();
            let machines = u32::try_from(machines).unwrap_or(u32::MAX);
            metrics.set_scaling_machines(pool, phase.name(), machines);
        }
    }

    /// What the pool cost so far; `None` where nothing is counted.
    pub(super) fn cost(&self) -> Option<CostView> {
        let always_on = self.config.policy.schedule.base.max;
        let config = &self.config;
        self.costs
            .ledger
            .view(&config.pool, config.prices, always_on)
    }
}
