//! Instances that are local processes: each with its own folder and ports, started again when it dies, all ended on
//! shutdown. For the demo, for tests, and for trying a config without machines. Who is on, and commands: `crew`.
//!
//! A restarted process keeps its folder, ports and generation: to people it is the same machine after a reboot. Ports are
//! found by binding port 0; between that and the process's own bind another program could take one, and then the process
//! fails, is seen in its log, and is tried again.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::child::GroupChild;
use super::{Fleet, FleetControl, FleetError};
use crate::config::{PoolConfig, ProcessFleet};
use crate::pool::{Instance, InstanceId};
use crew::{Crew, Orders, ProcessControl};

mod crew;

/// Local processes, ready to be started.
pub struct Processes {
    crew: Crew,
    control: Arc<ProcessControl>,
    orders: Orders,
}

/// One instance and how to run it.
#[derive(Clone)]
struct Machine {
    instance: Instance,
    command: Vec<String>,
    folder: PathBuf,
    stop_timeout: Duration,
}

/// How each machine of the fleet is made.
struct Recipe {
    pool: Arc<str>,
    fleet: ProcessFleet,
    has_hub: bool,
    capacity: u32,
}

impl Processes {
    /// Makes each instance's folder (0700) and finds it two free ports.
    ///
    /// # Errors
    /// A folder cannot be made, no port is free, or the command is empty.
    pub fn prepare(
        pool: &str,
        config: &PoolConfig,
        fleet: ProcessFleet,
    ) -> Result<Self, FleetError> {
        if fleet.command.is_empty() {
            return Err(FleetError::NoCommand { pool: pool.into() });
        }
        let count = fleet.count;
        let recipe = Recipe {
            pool: pool.into(),
            fleet,
            has_hub: config.jupyter_port.is_some(),
            capacity: config.capacity,
        };
        // Held until every port is chosen: a port that is bound cannot be given twice.
        let mut held = Vec::new();
        let machines: Result<Vec<_>, _> = (1..=count)
            .map(|number| Ok((number, recipe.machine(number, 0, &mut held)?)))
            .collect();
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        let (sight, seen) = watch::channel(None);
        Ok(Self {
            crew: Crew::new(recipe, machines?, sight),
            control: Arc::new(ProcessControl::new(sender, seen)),
            orders,
        })
    }
}

/// Commands that may wait; there is one controller, which sends them one after the other.
const ORDERS_MAX: usize = 16;

impl Recipe {
    fn machine(
        &self,
        number: u32,
        generation: u64,
        held: &mut Vec<TcpListener>,
    ) -> Result<Machine, FleetError> {
        let name = format!("{}-{number}", self.pool);
        let folder = make_folder(&self.fleet, &name)?;
        let ssh_port = free_port(&name, held)?;
        let jupyter_port = free_port(&name, held)?;
        let fill = |word: &String| {
            word.replace("{name}", &name)
                .replace("{ssh_port}", &ssh_port.to_string())
                .replace("{jupyter_port}", &jupyter_port.to_string())
                .replace("{state_dir}", &folder.to_string_lossy())
        };
        let command = self.fleet.command.iter().map(fill).collect();
        let instance = Instance {
            id: InstanceId {
                pool: Arc::clone(&self.pool),
                name: name.as_str().into(),
            },
            address: Ipv4Addr::LOCALHOST.to_string(),
            ssh_port,
            jupyter_port: self.has_hub.then_some(jupyter_port),
            capacity: self.capacity,
            generation,
        };
        Ok(Machine {
            instance,
            command,
            folder,
            stop_timeout: self.fleet.stop_timeout,
        })
    }
}

impl Fleet for Processes {
    fn control(&self) -> Arc<dyn FleetControl> {
        Arc::clone(&self.control) as Arc<dyn FleetControl>
    }

    fn run(
        self: Box<Self>,
        listing: watch::Sender<Vec<Instance>>,
        shutdown: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // The listing stays open until the end: receivers take its drop for the end of the fleet.
        Box::pin(self.crew.run(self.orders, listing, shutdown))
    }
}

/// How long to wait before the next start: doubling while the process keeps dying young, back to the least once it lives.
struct Backoff {
    next: Duration,
}

impl Backoff {
    const LEAST: Duration = Duration::from_millis(250);
    const MOST: Duration = Duration::from_secs(15);
    const LIVED: Duration = Duration::from_secs(30);

    fn new() -> Self {
        Self { next: Self::LEAST }
    }

    fn after(&mut self, lived: Duration) -> Duration {
        if lived >= Self::LIVED {
            self.next = Self::LEAST;
        }
        let wait = self.next;
        self.next = (self.next * 2).min(Self::MOST);
        wait
    }
}

/// Runs one machine until `shutdown`.
async fn supervise(machine: Machine, shutdown: CancellationToken) {
    let instance = &machine.instance.id;
    let mut backoff = Backoff::new();
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        match GroupChild::spawn(&machine.command, &machine.folder) {
            Ok(mut child) => {
                tracing::info!(%instance, pid = child.id(), "instance started");
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    () = shutdown.cancelled() => {
                        child.stop(machine.stop_timeout).await;
                        tracing::info!(%instance, "instance stopped");
                        return;
                    }
                };
                let status = ended.map_or_else(|e| e.to_string(), |status| status.to_string());
                let log = machine.folder.join("log");
                tracing::warn!(%instance, status, file = %log.display(), "instance died and is started again");
            }
            Err(error) => {
                let program = machine.command.first().map_or("", String::as_str);
                tracing::error!(%instance, program, %error, "instance cannot be started; tried again");
            }
        }
        let wait = backoff.after(started.elapsed());
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

fn make_folder(fleet: &ProcessFleet, name: &str) -> Result<PathBuf, FleetError> {
    let path = fleet.state_dir.join(name);
    // The mode is set again because a folder that was there before keeps its own.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)))
        .map_err(|source| FleetError::Folder {
            name: name.into(),
            path: path.clone(),
            source,
        })?;
    Ok(path)
}

fn free_port(name: &str, held: &mut Vec<TcpListener>) -> Result<u16, FleetError> {
    let failed = |source| FleetError::Port {
        name: name.into(),
        source,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    held.push(listener);
    Ok(port)
}

#[cfg(test)]
#[path = "process/tests.rs"]
pub(super) mod tests;
