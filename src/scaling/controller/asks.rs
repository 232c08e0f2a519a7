//! What operators ask the controller: to hold a number of machines for a while, or what it would do about that.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::notes::Hold;
use super::{Controller, ControllerConfig};
use crate::pool::Now;
use crate::pool::cost::CostView;
use crate::scaling::policy::plan;
use crate::telemetry::events::EventKind;

/// Operators are few, and wait for an answer before they ask again.
const ASKS_MAX: usize = 16;

/// How a controller is asked; cheap to clone.
#[derive(Clone)]
pub struct Asks {
    asks: mpsc::Sender<Ask>,
    pool: Arc<str>,
    is_resized: bool,
}

pub(super) enum Ask {
    Scale(Wish, oneshot::Sender<Result<Scaled, String>>),
    Cost(oneshot::Sender<Option<CostView>>),
}

/// A number of machines for a while.
#[derive(Clone, Debug)]
pub struct Wish {
    pub machines: u32,
    pub hold: Duration,
    /// Only tell what would be done.
    pub is_dry_run: bool,
    /// Whose it is, in words.
    pub by: String,
}

/// What is done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scaled {
    pub steps: Vec<String>,
    pub notes: Vec<String>,
}

impl Asks {
    pub(super) fn new(config: &ControllerConfig) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let handle = Self {
            asks,
            pool: config.pool.clone(),
            is_resized: config.is_resized,
        };
        (handle, asked)
    }

    /// So many machines for so long: at least as many as are asked for, and what is beyond them and beyond what people need
    /// is drained.
    ///
    /// # Errors
    /// Why that cannot be, in words.
    pub async fn scale(&self, wish: Wish) -> Result<Scaled, String> {
        if !self.is_resized {
            let pool = &self.pool;
            return Err(format!(
                "pool {pool} is not resized: write [pools.{pool}.scaling] and a fleet other than static"
            ));
        }
        let (reply, answer) = oneshot::channel();
        let gone = || "the controller is not running".to_owned();
        let asked = self.asks.send(Ask::Scale(wish, reply)).await;
        asked.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// What the pool cost so far; `None` where nothing is counted.
    pub async fn cost(&self) -> Option<CostView> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask::Cost(reply)).await.ok()?;
        answer.await.ok()?
    }
}

impl Controller {
    pub(super) fn answer(&mut self, ask: Ask, now: Now) {
        // Whoever asked may have gone.
        match ask {
            Ask::Scale(wish, reply) => drop(reply.send(self.scale(&wish, now))),
            Ask::Cost(reply) => drop(reply.send(self.cost())),
        }
    }

    pub(super) fn scale(&mut self, ask: &Wish, now: Now) -> Result<Scaled, String> {
        let max = self.config.policy.schedule.at(now.wall).1.max;
        if ask.machines > max {
            let wanted = ask.machines;
            return Err(format!(
                "{wanted} machines are more than max, which is {max} at this time: ask for fewer, or raise it"
            ));
        }
        let until = now
            .wall
            .checked_add(ask.hold)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let before = self.notes.hold.replace(Hold::new(ask.machines, until, now));
        let Some(observed) = self.seen.observed() else {
            self.notes.hold = before;
            return Err("the machines of this pool cannot be seen yet".to_owned());
        };
        let snapshot = self.tools.pool.snapshot();
        let facts = self.gather(&snapshot, &observed, now);
        let plan = plan(&facts, &self.history, &self.config.policy, now);
        let notes = plan.notes.iter().chain(&plan.frozen).cloned();
        let scaled = Scaled {
            steps: plan.steps.iter().map(ToString::to_string).collect(),
            notes: notes.collect(),
        };
        match ask.is_dry_run {
            true => self.notes.hold = before,
            false => {
                let until = jiff::Timestamp::try_from(until).unwrap_or_default();
                let until = until.strftime("%Y-%m-%d %H:%M UTC");
                let text = format!(
                    "{} asks for {} machines until {until}",
                    ask.by, ask.machines
                );
                self.tell(None, EventKind::Order, text);
            }
        }
        Ok(scaled)
    }
}
