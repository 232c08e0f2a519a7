//! The reconciler of one pool: what is known becomes a plan, a plan that is safe becomes commands, and the next look at the
//! fleet is the truth.
//!
//! The one impure file of `scaling`: it reads clocks, asks the fleet and writes its notes down. It judges nothing itself:
//! `policy` plans, `lint` refuses, the pool has the last word on who is on a machine. A round is made every second and
//! never waits: commands are carried out beside it, one at a time, and count as done while they are under way.

mod asks;
mod commands;
mod costs;
mod eviction;
mod gather;
mod intention;
mod notes;
mod sight;
mod story;
mod traced;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::cost::Prices;
use super::facts::Facts;
use super::policy::plan;
use super::policy_config::PolicyConfig;
use super::prospect::prospect;
use super::{History, Plan, lint};
use crate::config::PoolConfig;
use crate::fleet::FleetControl;
use crate::pool::{Now, PlacementPolicy};
use crate::shared_pool::{AskIdle, SharedPool};
use crate::telemetry::events::{EventKind, Events};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

use crate::state::{Folder, StateFile};
pub use asks::{Asks, Scaled, Wish};
use commands::{Outcome, UnderWay};
use costs::Costs;
use eviction::Eviction;
use intention::Ahead;
use notes::Notes;
use sight::Seen;
use story::Told;

/// Whoever waits for a wake waits this much longer at most.
const ROUND: Duration = Duration::from_secs(1);

const WITHOUT_NOTES: &str = "what operators decided about the machines of this pool (cordon, drain, keep, scale) is forgotten: \
                             look at poolgate instances and decide it again";

/// What the controller works with.
#[derive(Clone)]
pub struct Tools {
    pub pool: SharedPool,
    pub events: Events,
    pub metrics: Metrics,
    pub traces: Traces,
    pub ask_idle: AskIdle,
}

pub struct ControllerConfig {
    pool: Arc<str>,
    policy: PolicyConfig,
    prices: Prices,
    capacity: u32,
    placement: PlacementPolicy,
    eviction: Option<Eviction>,
    /// Without, it keeps what people decided, and the ledger.
    is_resized: bool,
    /// Where what outlives the process is kept.
    folder: Folder,
}

impl ControllerConfig {
    /// `folder`: where what outlives the process is kept.
    pub fn of_pool(name: &str, pool: &PoolConfig, folder: Folder) -> Self {
        let policy = PolicyConfig::of_pool(pool);
        Self {
            pool: name.into(),
            placement: policy.schedule.base.placement,
            policy,
            prices: Prices::of_pool(pool),
            capacity: pool.capacity,
            eviction: Eviction::of(&pool.scaling),
            is_resized: pool.is_resized(),
            folder,
        }
    }
}

pub struct Controller {
    config: ControllerConfig,
    tools: Tools,
    fleet: Arc<dyn FleetControl>,
    asks: mpsc::Receiver<asks::Ask>,
    begun: Instant,
    history: History,
    notebook: StateFile,
    notes: Notes,
    costs: Costs,
    seen: Seen,
    told: Told,
    ahead: Ahead,
    under_way: UnderWay,
    running: JoinSet<Outcome>,
    placement: PlacementPolicy,
}

impl Controller {
    /// The controller, and how it is asked. Before `run` it does nothing but tell the pool what it noted about machines, which
    /// should be before they are listed.
    pub fn new(
        config: ControllerConfig,
        tools: Tools,
        fleet: Arc<dyn FleetControl>,
    ) -> (Self, Asks) {
        let (asks, asked) = Asks::new(&config);
        let name = |kind: &str| format!("{}.{kind}.json", config.pool);
        let folder = &config.folder;
        let (notebook, notes): (_, Notes) = StateFile::open(folder, &name("notes"), WITHOUT_NOTES);
        let costs = Costs::open(folder, &name("ledger"));
        let mut history = History::default();
        history.resume_boots(notes.boots());
        history.resume_month(costs.ledger.month(SystemTime::now()).billed);
        let controller = Self {
            begun: Instant::now(),
            history,
            notebook,
            notes,
            costs,
            seen: Seen::default(),
            told: Told::default(),
            ahead: Ahead::default(),
            under_way: UnderWay::default(),
            running: JoinSet::new(),
            placement: config.placement,
            asks: asked,
            config,
            tools,
            fleet,
        };
        controller.expect_noted();
        (controller, asks)
    }

    /// Looks after the pool until `shutdown`. Operations that are under way then are found again by the next run.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.begin();
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = self.running.join_next() => self.settle(done, read_clocks()),
                Some(ask) = self.asks.recv() => {
                    self.answer(ask, read_clocks());
                    continue;
                }
                _ = rounds.tick() => {}
            }
            self.round(read_clocks());
            self.write_down().await;
            self.costs.write_if_due(Instant::now()).await;
        }
        // What was decided since the last round.
        let snapshot = self.tools.pool.snapshot();
        self.keep_decisions(&snapshot, read_clocks());
        self.notebook.write(&self.notes).await;
        self.costs.write().await;
    }

    fn begin(&mut self) {
        let what = match (self.config.is_resized, self.notes.is_empty()) {
            (false, _) => return,
            (true, true) => "the pool is looked after from here on".to_owned(),
            (true, false) => format!("the pool is looked after again: {}", self.notes),
        };
        self.tell(None, EventKind::Begin, what);
    }

    fn round(&mut self, now: Now) {
        self.look(now);
        let snapshot = self.tools.pool.snapshot();
        self.keep_decisions(&snapshot, now);
        self.evict_overdue(&snapshot, now);
        if !self.config.is_resized {
            return;
        }
        let Some(observed) = self.seen.observed() else {
            return self.foretell_blindness(now);
        };
        self.settle_by_sight(&observed, now);
        self.ask_who_is_idle(&snapshot, now);
        let facts = self.gather(&snapshot, &observed, now);
        self.tell_changes(&facts, &snapshot);
        self.time_wake(&facts, now);
        self.note_costs(&facts, &snapshot, now);
        self.history.observe(&facts, &self.config.policy, now);
        self.notes.note_boots(self.history.boots());
        let plan = plan(&facts, &self.history, &self.config.policy, now);
        self.tell_frozen(&plan);
        self.set_placement(plan.placement);
        self.carry_out(&plan, &facts, now);
        self.publish_intent(&plan, &facts, now);
        self.foretell(&facts, now);
    }

    /// What a command is about is on the disk before it goes out: whoever comes after a crash does not give it again.
    async fn write_down(&mut self) {
        self.notebook.write(&self.notes).await;
        if let Some(command) = self.under_way.to_send.take() {
            self.running.spawn(command);
        }
    }

    /// Every plan is looked at right before it is carried out, whatever made it.
    fn is_safe(&mut self, plan: &Plan, facts: &Facts, now: Now) -> bool {
        let Err(faults) = lint::check(plan, facts, &self.config.policy, now) else {
            self.told.refused = None;
            return true;
        };
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let what = format!("a plan was not carried out: {}", faults.join("; "));
        if self.told.refused.as_ref() != Some(&what) {
            self.tools
                .metrics
                .count_fleet_fault(&self.config.pool, "refused");
            self.tell(None, EventKind::Fault, what.clone());
            self.told.refused = Some(what);
        }
        false
    }

    fn set_placement(&mut self, placement: PlacementPolicy) {
        if self.placement != placement {
            self.placement = placement;
            self.tools.pool.set_placement(&self.config.pool, placement);
        }
    }

    /// What those who wait are told.
    fn foretell(&mut self, facts: &Facts, now: Now) {
        let asked = self.notes.oldest_growth(now);
        let trouble = self.under_way.trouble(now);
        let (history, policy) = (&self.history, &self.config.policy);
        let prospect = prospect(facts, history, policy, asked, trouble, now);
        self.tools.pool.foretell(&self.config.pool, Some(prospect));
    }

    fn tell(&self, instance: Option<&str>, kind: EventKind, text: String) {
        self.tools
            .events
            .tell(&self.config.pool, instance, kind, text);
    }
}

fn read_clocks() -> Now {
    Now {
        instant: Instant::now(),
        wall: SystemTime::now(),
    }
}

#[cfg(test)]
mod tests;
