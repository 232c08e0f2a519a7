//! What a hand-over wants of the pools: controllers that pause and go on, and everything ended where another process has the
//! place.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Pools, Running};
use crate::config::FleetConfig;
use crate::net::shutdown::Shutdown;

/// How long until it is looked again whether people wait at a gate that has given its place away.
const LINES_AGAIN: Duration = Duration::from_secs(1);

impl Pools {
    /// Ends the controllers, which write their notes down; probes and fleets go on.
    pub async fn pause(&mut self) {
        self.go = CancellationToken::new();
        for running in self.running.values_mut() {
            if let Some(controller) = running.controller.take() {
                controller.end().await;
            }
        }
        self.tell_asked();
    }

    /// Lets them run, from their notes.
    pub fn resume(&mut self) {
        self.go.cancel();
        let mut running = std::mem::take(&mut self.running);
        for (name, pool) in &mut running {
            if pool.controller.is_none() {
                let commands = pool.fleet.control.clone();
                pool.controller = Some(self.control(name, &pool.config, commands));
            }
        }
        self.running = running;
        self.tell_asked();
    }

    /// A pool whose instances are processes of this one.
    pub fn of_processes(&self) -> Option<&str> {
        let is_of_processes = |pool: &Running| matches!(pool.config.fleet, FleetConfig::Process(_));
        let mut running = self.running.iter();
        let running = running.find(|(_, pool)| is_of_processes(pool));
        let mut leaving = self.leaving.iter();
        let leaving = || {
            let lives = |fleet: &CancellationToken| !fleet.is_cancelled();
            let found = leaving.find(|(_, one)| one.fleet.as_ref().is_some_and(lives));
            found.map(|(name, _)| name)
        };
        running
            .map(|(name, _)| name)
            .or_else(leaving)
            .map(String::as_str)
    }

    /// Ends probes and fleets, once nobody waits any more for what they find.
    pub fn retire(&mut self, shutdown: &Shutdown) {
        let running = std::mem::take(&mut self.running).into_values();
        let ends: Vec<_> = running
            .flat_map(|pool| [pool.watching, pool.fleet.until])
            .collect();
        let pool = self.ground.parts.pool.clone();
        let ending = shutdown.ending.clone();
        self.ground.services.spawn(async move {
            while !pool.lines().is_empty() {
                let again = tokio::time::sleep(LINES_AGAIN);
                if ending.run_until_cancelled(again).await.is_none() {
                    return;
                }
            }
            for end in ends {
                end.cancel();
            }
        });
    }
}
