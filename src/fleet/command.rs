//! Instances of any other cloud, by a program of the operator's that speaks JSON: `docs/fleet-command.md` has its contract.
//!
//! One run of the program answers one request, and runs never overlap, so the program keeps no state and needs no lock. What it
//! says is checked like a stranger's; what it cannot promise (that nothing changed in between) is checked by listing first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::control::{Answer, state_by_sight};
use super::looking::{Look, Looking, Published, Shape};
use super::{Chosen, Fleet, FleetControl, FleetFault, Op, OpKind, OpState, Sight};
use crate::config::{CommandFleet as CommandConfig, PoolConfig};
use crate::pool::{Instance, Machine, Observed};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

mod answers;
mod run;

pub struct CommandFleet {
    looking: Looking<Program>,
    control: Arc<CommandControl>,
}

impl CommandFleet {
    pub fn new(
        pool: &str,
        config: &PoolConfig,
        fleet: &CommandConfig,
        (metrics, traces): (&Metrics, &Traces),
    ) -> Self {
        let program = Arc::new(Program {
            pool: pool.into(),
            fleet: fleet.clone(),
            turn: Mutex::new(()),
        });
        let published = Arc::new(Published::default());
        let looking = Looking {
            shape: Shape::new(pool, config),
            look: program.clone(),
            published: published.clone(),
            interval: fleet.interval,
            metrics: metrics.clone(),
            traces: traces.clone(),
        };
        let control = CommandControl {
            program,
            published,
            metrics: metrics.clone(),
            capacity_max: config.scaling.max,
        };
        Self {
            looking,
            control: Arc::new(control),
        }
    }
}

impl CommandFleet {
    /// What the program lists now.
    pub(super) async fn look_once(&self) -> Result<Observed, FleetFault> {
        self.looking.look.look().await
    }
}

impl Fleet for CommandFleet {
    fn control(&self) -> Arc<dyn FleetControl> {
        self.control.clone()
    }

    fn run(
        self: Box<Self>,
        listing: watch::Sender<Vec<Instance>>,
        shutdown: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.looking.run(listing, shutdown))
    }
}

struct Program {
    pool: Arc<str>,
    fleet: CommandConfig,
    /// Held for a run, and for a look with the command that rests on it.
    turn: Mutex<()>,
}

impl Program {
    /// The caller holds the turn.
    async fn ask(&self, request: Value) -> Result<Vec<u8>, FleetFault> {
        let text = format!("{request}\n");
        let answer = run::run(&self.fleet.command, text.as_bytes(), self.fleet.timeout).await?;
        if !answer.stderr.is_empty() {
            let pool = &self.pool;
            tracing::warn!(%pool, said = %answer.stderr, "the fleet's program says");
        }
        answers::unless_refused(&answer)?;
        Ok(answer.stdout)
    }

    async fn list(&self) -> Result<Observed, FleetFault> {
        let listing = self
            .ask(json!({ "request": "list", "pool": &*self.pool }))
            .await?;
        answers::listing(&self.pool, &listing)
    }
}

impl Look for Program {
    fn look(&self) -> Answer<'_, Observed> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            self.list().await
        })
    }
}

struct CommandControl {
    program: Arc<Program>,
    published: Arc<Published>,
    metrics: Metrics,
    capacity_max: u32,
}

impl FleetControl for CommandControl {
    fn observed(&self) -> Sight {
        self.published.sight.subscribe()
    }

    fn grow_to(&self, capacity: u32, version: &str) -> Answer<'_, Op> {
        let version = version.to_owned();
        Box::pin(async move { self.told("grow", self.grow(capacity, &version).await) })
    }

    fn remove(&self, chosen: &Chosen) -> Answer<'_, Op> {
        self.order("remove", OpKind::Remove, chosen)
    }

    fn start(&self, chosen: &Chosen) -> Answer<'_, Op> {
        self.order("start", OpKind::Start, chosen)
    }

    fn stop(&self, chosen: &Chosen) -> Answer<'_, Op> {
        self.order("stop", OpKind::Stop, chosen)
    }

    fn poll(&self, op: &Op) -> Answer<'_, OpState> {
        let state = state_by_sight(op, self.published.sight.borrow().as_deref());
        Box::pin(std::future::ready(Ok(state)))
    }
}

impl CommandControl {
    fn order(&self, request: &'static str, kind: OpKind, chosen: &Chosen) -> Answer<'_, Op> {
        let chosen = chosen.clone();
        Box::pin(async move { self.told(request, self.change(request, kind, &chosen).await) })
    }

    async fn grow(&self, capacity: u32, version: &str) -> Result<Op, FleetFault> {
        let most = self.capacity_max;
        if capacity > most {
            let what =
                format!("{capacity} machines are more than scaling.max, which is {most}; raise it");
            return Err(FleetFault::Fatal(what));
        }
        let _turn = self.program.turn.lock().await;
        let seen = self.program.list().await?;
        let here = seen.capacity;
        if seen.version != version {
            let what = format!("the fleet has changed since it was seen: it holds {here} machines");
            return Err(FleetFault::Conflict(what));
        }
        if capacity <= here {
            return Err(FleetFault::Fatal(format!(
                "growing to {capacity} would not grow: the capacity is {here}; name the machines that are to go"
            )));
        }
        let pool = &*self.program.pool;
        let request = json!({ "request": "grow", "pool": pool, "capacity": capacity, "add": capacity - here });
        self.program.ask(request).await?;
        Ok(Op::grow(capacity, Vec::new()))
    }

    async fn change(&self, request: &str, kind: OpKind, chosen: &Chosen) -> Result<Op, FleetFault> {
        let _turn = self.program.turn.lock().await;
        let seen = self.program.list().await?;
        let meant = chosen.among(&seen.machines)?;
        let is_kept = |one: &&&Machine| kind == OpKind::Remove && one.is_protected;
        if let Some(kept) = meant.iter().find(is_kept) {
            let what = format!("{} is protected; lift the protection first", kept.id);
            return Err(FleetFault::Fatal(what));
        }
        let names: Vec<_> = meant.iter().map(|one| &*one.id.name).collect();
        let pool = &*self.program.pool;
        let request = json!({ "request": request, "pool": pool, "machines": names });
        self.program.ask(request).await?;
        Ok(Op::on(kind, chosen, Vec::new()))
    }

    fn told(
        &self,
        command: &'static str,
        came_to: Result<Op, FleetFault>,
    ) -> Result<Op, FleetFault> {
        let pool = &self.program.pool;
        self.published.tell(pool, command, &came_to, &self.metrics);
        came_to
    }
}

#[cfg(test)]
mod tests;
