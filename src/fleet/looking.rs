//! A fleet that is looked at from time to time: when to look, what to believe of it, and the listing that follows.
//!
//! Knows no cloud. A look that fails, or that contradicts itself, changes nothing: the last listing stays, and the log says
//! why. What to believe is decided in `steady`, without a clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::control::{Answer, Op};
use super::fault::FleetFault;
use crate::config::PoolConfig;
use crate::pool::{Instance, Machine, Observed};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Traces, works};
use steady::Steady;

mod steady;

/// How a cloud is looked at.
pub(super) trait Look: Send + Sync + 'static {
    fn look(&self) -> Answer<'_, Observed>;
}

/// What the pool knows of its instances and the cloud does not.
#[derive(Clone)]
pub(super) struct Shape {
    pub pool: Arc<str>,
    ssh_port: u16,
    jupyter_port: Option<u16>,
    capacity: u32,
}

impl Shape {
    pub fn new(pool: &str, config: &PoolConfig) -> Self {
        Self {
            pool: pool.into(),
            ssh_port: config.ssh_port,
            jupyter_port: config.jupyter_port,
            capacity: config.capacity,
        }
    }

    /// The machines that can hold people. One whose address is not told yet cannot.
    fn listing(&self, machines: &[Machine]) -> Vec<Instance> {
        let on = machines.iter().filter(|machine| machine.phase.is_on());
        on.filter_map(|machine| {
            Some(Instance {
                id: machine.id.clone(),
                address: machine.address.clone()?,
                ssh_port: self.ssh_port,
                jupyter_port: self.jupyter_port,
                capacity: self.capacity,
                generation: machine.generation,
            })
        })
        .collect()
    }
}

/// What a controller and the loop share: the last look, and the wish to look again soon.
pub(super) struct Published {
    pub sight: watch::Sender<Option<Arc<Observed>>>,
    changed: Notify,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            sight: watch::channel(None).0,
            changed: Notify::new(),
        }
    }
}

impl Published {
    /// The fleet looks different soon.
    pub fn expect_change(&self) {
        self.changed.notify_one();
    }

    /// Counts and logs what a command came to. One that was accepted makes the fleet look different soon.
    pub fn tell(
        &self,
        pool: &str,
        command: &'static str,
        came_to: &Result<Op, FleetFault>,
        metrics: &Metrics,
    ) {
        match came_to {
            Ok(op) => {
                metrics.count_fleet_command(pool, command, "ok");
                let machines: Vec<_> = op.machines.iter().map(|key| key.name.as_str()).collect();
                tracing::info!(%pool, command, capacity = op.capacity, instances = ?machines, "the fleet has taken a command");
                self.expect_change();
            }
            Err(fault) => metrics.count_fleet_command(pool, command, fault.kind()),
        }
    }

    /// The last look, for a command that needs one.
    ///
    /// # Errors
    /// There was none yet.
    pub fn last(&self) -> Result<Arc<Observed>, FleetFault> {
        let last = self.sight.borrow().clone();
        last.ok_or_else(|| FleetFault::Transient("the fleet has not been seen yet".into()))
    }
}

/// The loop of a fleet that is looked at.
pub(super) struct Looking<L> {
    pub shape: Shape,
    pub look: Arc<L>,
    pub published: Arc<Published>,
    pub interval: Duration,
    pub metrics: Metrics,
    pub traces: Traces,
}

/// One look, all its calls together; a cloud that hangs longer is looked at again.
const LOOK_MAX: Duration = Duration::from_secs(90);

/// After a command, and between looks whatever is asked for: clouds count the looks.
const LOOK_MIN_GAP: Duration = Duration::from_secs(5);

impl<L: Look> Looking<L> {
    pub async fn run(self, listing: watch::Sender<Vec<Instance>>, shutdown: CancellationToken) {
        let mut steady = Steady::default();
        let mut told = None;
        loop {
            let began = Instant::now();
            let seen = tokio::select! {
                () = shutdown.cancelled() => return,
                seen = self.look() => seen,
            };
            let believed = seen.and_then(|seen| steady.believe(seen));
            let wait = match &believed {
                Ok(_) | Err(FleetFault::Transient(_) | FleetFault::Conflict(_)) => self.interval,
                Err(fault) => self.interval.max(fault.wait_at_least()),
            };
            self.tell(&believed, &mut told);
            if let Ok(observed) = believed {
                self.publish(observed, &listing);
            }
            let is_throttled = wait > self.interval;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.published.changed.notified(), if !is_throttled => {
                    tokio::time::sleep_until(began + LOOK_MIN_GAP.min(self.interval)).await;
                }
            }
        }
    }

    async fn look(&self) -> Result<Observed, FleetFault> {
        let span = self.traces.begin(&works::FLEET_LOOK);
        span.tell(works::POOL, &self.shape.pool);
        let looking = tokio::time::timeout(LOOK_MAX, self.look.look());
        let late = |_| FleetFault::Transient("the cloud does not answer".into());
        let seen = span
            .around(looking)
            .await
            .map_err(late)
            .and_then(|seen| seen);
        match &seen {
            Ok(observed) => {
                let machines = u64::try_from(observed.machines.len());
                span.count(works::MACHINES, machines.unwrap_or(u64::MAX));
            }
            Err(fault) => span.fail(fault.kind(), fault),
        }
        seen
    }

    /// Counts the look; logs what is new about it.
    fn tell(&self, believed: &Result<Observed, FleetFault>, told: &mut Option<String>) {
        let pool = &self.shape.pool;
        match believed {
            Ok(observed) => {
                self.metrics.count_fleet_look(pool, "ok");
                if told.take().is_some() {
                    tracing::info!(%pool, machines = observed.machines.len(), "the fleet is seen again");
                }
            }
            Err(fault) => {
                self.metrics.count_fleet_look(pool, fault.kind());
                let reason = fault.to_string();
                if told.as_ref() != Some(&reason) {
                    tracing::warn!(%pool, kind = fault.kind(), reason, "the fleet cannot be seen; nothing is changed");
                    *told = Some(reason);
                }
            }
        }
    }

    fn publish(&self, observed: Observed, listing: &watch::Sender<Vec<Instance>>) {
        let instances = self.shape.listing(&observed.machines);
        let before = self.published.sight.borrow().clone();
        for hindrance in &observed.hindrances {
            let is_new = |seen: &Arc<Observed>| !seen.hindrances.contains(hindrance);
            if before.as_ref().is_none_or(is_new) {
                tracing::warn!(pool = %self.shape.pool, reason = hindrance, "the fleet is not resized");
            }
        }
        listing.send_if_modified(|listed| {
            let is_new = before.is_none() || *listed != instances;
            *listed = instances;
            is_new
        });
        // Last: whoever sees it finds the listing done.
        self.published.sight.send_replace(Some(Arc::new(observed)));
    }
}
