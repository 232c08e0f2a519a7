//! What instances exist, and commands that change that. A fleet publishes listings; everything else (probes, placement,
//! seats) follows from them.
//!
//! Deliberately absent: whether an instance answers (`probe`), how many sessions it holds (`pool`), and every decision on size
//! (`scaling`). A listing is the whole truth at one moment, so whoever reads it only compares it with what they hold.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{FleetConfig, PoolConfig};
use crate::pool::{Instance, Observed};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

pub mod azure;
pub mod command;
pub mod control;
pub mod fault;
pub mod process;
pub mod static_list;

mod child;
mod looking;

pub use azure::rights::Lacking;
pub use control::{Answer, Chosen, FleetControl, MachineKey, Op, OpKind, OpState, Sight};
pub use fault::FleetFault;

/// A provider of instances for one pool.
pub trait Fleet: Send {
    /// What a controller resizes the fleet with; it works while `run` does.
    fn control(&self) -> Arc<dyn FleetControl>;

    /// Publishes every listing that differs from the last one, until `shutdown`; then ends what it started and returns.
    ///
    /// The first listing may take a while. A listing is never sent because looking failed: when blind, change nothing.
    fn run(
        self: Box<Self>,
        listing: watch::Sender<Vec<Instance>>,
        shutdown: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// Why a fleet cannot be.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("cannot make the folder {path} for instance {name}: {source}")]
    Folder {
        name: String,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("no free port on 127.0.0.1 for instance {name}: {source}")]
    Port {
        name: String,
        source: std::io::Error,
    },
    #[error("fleet.command of pool {pool} is empty: write a program and its arguments")]
    NoCommand { pool: String },
    #[error("the fleet of pool {pool} cannot be asked: {reason}")]
    Azure { pool: String, reason: String },
}

/// The fleet that the config of `pool` asks for.
///
/// # Errors
/// What local processes need (folders, ports) or a cloud's client does (a credential) cannot be had.
pub fn from_config(
    pool: &str,
    config: &PoolConfig,
    metrics: &Metrics,
    traces: &Traces,
) -> Result<Box<dyn Fleet>, FleetError> {
    Ok(match &config.fleet {
        FleetConfig::Static { instances } => {
            Box::new(static_list::StaticList::new(pool, config, instances))
        }
        FleetConfig::Process(fleet) => {
            Box::new(process::Processes::prepare(pool, config, fleet.clone())?)
        }
        FleetConfig::Azure(fleet) => Box::new(azure::AzureFleet::new(
            pool,
            config,
            fleet,
            (metrics, traces),
        )?),
        FleetConfig::Command(fleet) => Box::new(command::CommandFleet::new(
            pool,
            config,
            fleet,
            (metrics, traces),
        )),
    })
}

/// One look at the machines of a pool, as a gate takes it every few seconds, and why there is none.
///
/// # Errors
/// In words: the fleet cannot be asked, or has nothing that is looked at.
pub async fn look_once(pool: &str, config: &PoolConfig) -> Result<Observed, String> {
    let unseen = (&Metrics::new(), &Traces::default());
    let looked = match &config.fleet {
        FleetConfig::Azure(fleet) => {
            let fleet = azure::AzureFleet::new(pool, config, fleet, unseen);
            fleet.map_err(|error| error.to_string())?.look_once().await
        }
        FleetConfig::Command(fleet) => {
            let fleet = command::CommandFleet::new(pool, config, fleet, unseen);
            fleet.look_once().await
        }
        FleetConfig::Static { .. } | FleetConfig::Process(_) => {
            return Err("its machines are the gate's own to know".to_owned());
        }
    };
    looked.map_err(|fault| fault.to_string())
}

/// What of its work the pool's cloud would not let the gate do; `None` where a cloud has no such thing.
///
/// # Errors
/// In words: the cloud does not tell.
pub async fn lacking_rights(
    pool: &str,
    config: &PoolConfig,
) -> Option<Result<Vec<Lacking>, String>> {
    let FleetConfig::Azure(fleet) = &config.fleet else {
        return None;
    };
    let unseen = (&Metrics::new(), &Traces::default());
    let fleet = azure::AzureFleet::new(pool, config, fleet, unseen);
    Some(match fleet {
        Ok(fleet) => fleet
            .lacking_rights()
            .await
            .map_err(|fault| fault.to_string()),
        Err(error) => Err(error.to_string()),
    })
}

/// Starts a fleet and returns its listings. The value held before the first `changed()` is no listing.
pub fn start(
    fleet: Box<dyn Fleet>,
    tasks: &TaskTracker,
    shutdown: CancellationToken,
) -> watch::Receiver<Vec<Instance>> {
    let (sender, receiver) = watch::channel(Vec::new());
    tasks.spawn(fleet.run(sender, shutdown));
    receiver
}
