//! Instances written down in the config: one listing, for good. A reload makes a new fleet. Nobody can resize it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Answer, Chosen, Fleet, FleetControl, FleetFault, Op, OpState, Sight};
use crate::config::{PoolConfig, StaticInstance};
use crate::pool::{Instance, InstanceId};

/// A fixed list of instances.
pub struct StaticList {
    listing: Vec<Instance>,
}

impl StaticList {
    /// What an instance leaves open comes from its pool.
    pub fn new(pool: &str, config: &PoolConfig, instances: &[StaticInstance]) -> Self {
        let pool: Arc<str> = pool.into();
        let listing = instances
            .iter()
            .map(|written| Instance {
                id: InstanceId {
                    pool: Arc::clone(&pool),
                    name: written.name.as_str().into(),
                },
                address: written.address.clone(),
                ssh_port: written.ssh_port.unwrap_or(config.ssh_port),
                jupyter_port: written.jupyter_port.unwrap_or(config.jupyter_port),
                capacity: written.capacity.unwrap_or(config.capacity),
                generation: 0,
            })
            .collect();
        Self { listing }
    }

    pub fn into_instances(self) -> Vec<Instance> {
        self.listing
    }
}

impl Fleet for StaticList {
    fn control(&self) -> Arc<dyn FleetControl> {
        Arc::new(Unresizable {
            sight: watch::channel(None).1,
        })
    }

    fn run(
        self: Box<Self>,
        listing: watch::Sender<Vec<Instance>>,
        shutdown: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            listing.send_replace(self.listing);
            // The sender stays until the end: receivers take its drop for the end of the fleet.
            shutdown.cancelled().await;
        })
    }
}

/// Refuses every command.
struct Unresizable {
    sight: Sight,
}

impl FleetControl for Unresizable {
    fn observed(&self) -> Sight {
        self.sight.clone()
    }

    fn grow_to(&self, _: u32, _: &str) -> Answer<'_, Op> {
        refusal()
    }

    fn remove(&self, _: &Chosen) -> Answer<'_, Op> {
        refusal()
    }

    fn start(&self, _: &Chosen) -> Answer<'_, Op> {
        refusal()
    }

    fn stop(&self, _: &Chosen) -> Answer<'_, Op> {
        refusal()
    }

    fn poll(&self, _: &Op) -> Answer<'_, OpState> {
        refusal()
    }
}

fn refusal<T: Send + 'static>() -> Answer<'static, T> {
    let what = "a pool with provider = \"static\" keeps the machines of its list: change the list, or write another provider";
    Box::pin(std::future::ready(Err(FleetFault::Fatal(what.into()))))
}

#[cfg(test)]
mod tests {
    use super::super::process::tests::pool_config;
    use super::*;
    use crate::config::FleetConfig;

    #[tokio::test]
    async fn an_instance_inherits_what_it_leaves_open() {
        let plain = StaticInstance {
            name: "vm1".into(),
            address: "10.0.0.4".into(),
            ssh_port: None,
            jupyter_port: None,
            capacity: None,
        };
        let own = StaticInstance {
            name: "vm2".into(),
            ssh_port: Some(2202),
            jupyter_port: Some(None),
            capacity: Some(3),
            ..plain.clone()
        };
        let config = pool_config(FleetConfig::Static {
            instances: vec![plain, own],
        });
        let shutdown = CancellationToken::new();
        let tasks = tokio_util::task::TaskTracker::new();
        let fleet =
            super::super::from_config("main", &config, &Default::default(), &Default::default())
                .unwrap();
        let mut listings = super::super::start(fleet, &tasks, shutdown.clone());
        listings.changed().await.unwrap();
        let listing = listings.borrow_and_update().clone();
        assert_eq!(listing[0].id.to_string(), "main/vm1");
        assert_eq!(
            (
                listing[0].ssh_port,
                listing[0].jupyter_port,
                listing[0].capacity
            ),
            (22, Some(8000), 8)
        );
        assert_eq!(
            (
                listing[1].ssh_port,
                listing[1].jupyter_port,
                listing[1].capacity
            ),
            (2202, None, 3)
        );
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn every_command_is_refused_with_a_reason() {
        let config = pool_config(FleetConfig::Static {
            instances: Vec::new(),
        });
        let control = StaticList::new("main", &config, &[]).control();
        let refused = control.grow_to(3, "").await.unwrap_err();
        assert_eq!(refused.kind(), "fatal");
        assert!(refused.to_string().contains("change the list"), "{refused}");
    }
}
