//! A controller for each pool, and how it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{App, PoolFleet};
use crate::admin::{AskCost, AskScale, ScaleAnswer, ScaleWish};
use crate::config::Config;
use crate::scaling::controller::{Asks, Controller, ControllerConfig, Scaled, Tools, Wish};
use crate::shared_pool::AskIdle;

/// The controllers of all pools, before they run.
#[derive(Default)]
pub(super) struct Controllers {
    controllers: Vec<Controller>,
    /// By the pool's name.
    asks: BTreeMap<String, Asks>,
}

impl Controllers {
    pub fn build(app: &App, config: &Config, ask_idle: &AskIdle, fleets: &[PoolFleet]) -> Self {
        let mut built = Self::default();
        for fleet in fleets {
            let name = &fleet.name;
            let Some(pool) = config.pools.get(name) else {
                continue;
            };
            let folder = config.state_dir.join("controller");
            let settings = ControllerConfig::of_pool(name, pool, folder);
            let tools = Tools {
                pool: app.parts.pool.clone(),
                events: app.parts.events.clone(),
                metrics: app.parts.metrics.clone(),
                ask_idle: ask_idle.clone(),
            };
            let control = fleet.fleet.control();
            let (controller, asks) = Controller::new(settings, tools, control);
            built.controllers.push(controller);
            built.asks.insert(name.clone(), asks);
        }
        built
    }

    /// How operators' wishes reach the controllers.
    pub fn ask_scale(&self) -> AskScale {
        let asks = self.asks.clone();
        Arc::new(move |wish: ScaleWish| {
            let asks = asks.get(&wish.pool).cloned();
            Box::pin(async move {
                let asks = asks.ok_or_else(|| format!("there is no pool named {}", wish.pool))?;
                let Scaled { steps, notes } = asks
                    .scale(Wish {
                        machines: wish.machines,
                        hold: wish.hold,
                        is_dry_run: wish.is_dry_run,
                        by: wish.by,
                    })
                    .await?;
                Ok(ScaleAnswer { steps, notes })
            })
        })
    }

    pub fn ask_cost(&self) -> AskCost {
        let asks: Vec<_> = self.asks.values().cloned().collect();
        Arc::new(move || {
            let asks = asks.clone();
            Box::pin(async move {
                let mut costs = Vec::new();
                for one in asks {
                    costs.extend(one.cost().await);
                }
                costs
            })
        })
    }

    pub fn start(self, app: &App) {
        for controller in self.controllers {
            let ending = app.shutdown.ending.clone();
            app.services.spawn(controller.run(ending));
        }
    }
}
