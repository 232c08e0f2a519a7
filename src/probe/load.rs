//! How busy is an instance, and does it want people? One task an instance, by a script over a connection that is kept, or
//! by an agent's word.
//!
//! The figures order placement beside the sessions that the gate counts. A look that fails changes nothing; after some in a
//! row the last figures are forgotten, because a stale one draws everybody to the machine that hangs. How a script is run
//! on an instance is given by `app`.

mod told;

use std::collections::HashMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::jittered;
use crate::config::{LoadConfig, LoadSource};
use crate::pool::{Instance, InstanceId, Measured};
use crate::shared_pool::SharedPool;
use crate::telemetry::metrics::Metrics;

const SCRIPT: &str = include_str!("load/script.sh");
/// Where Azure tells a machine what is about to happen to it.
const EVENTS: &str = "http://169.254.169.254/metadata/scheduledevents?api-version=2020-07-01";
/// An agent's word is one line.
const WORD_MAX: u64 = 1024;

/// A connection to one instance on which scripts are run; made anew where it broke.
pub trait Shell: Send {
    /// What the script printed, no more than the given bytes; why there is nothing, for the log.
    fn run<'a>(
        &'a mut self,
        script: &'a str,
        bytes_max: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send + 'a>>;
}

/// Opens nothing yet: the instance, and the account to run as.
pub type OpenShell = Arc<dyn Fn(Arc<Instance>, &str) -> Box<dyn Shell> + Send + Sync>;

/// How one pool's instances are asked.
#[derive(Clone)]
pub struct LoadProbe {
    pub pool: SharedPool,
    pub config: LoadConfig,
    pub open_shell: OpenShell,
    pub metrics: Metrics,
}

impl LoadProbe {
    /// Asks every instance that `listing` names, from when it is listed until it is not. Runs until `shutdown` or the
    /// fleet's end.
    pub async fn watch(
        self,
        mut listing: watch::Receiver<Vec<Instance>>,
        shutdown: CancellationToken,
    ) {
        let mut asked = Asked::default();
        loop {
            let instances = listing.borrow_and_update().clone();
            asked.tasks.retain(|_, (known, task)| {
                let stays = instances.contains(known);
                if !stays {
                    task.abort();
                }
                stays
            });
            for instance in instances {
                asked.tasks.entry(instance.id.clone()).or_insert_with(|| {
                    let asking = self.clone().ask_for_ever(Arc::new(instance.clone()));
                    (instance, tokio::spawn(asking))
                });
            }
            tokio::select! {
                changed = listing.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn ask_for_ever(self, instance: Arc<Instance>) {
        let id = &instance.id;
        let mut source = Source::new(&self, &instance);
        let (mut failed, mut last) = (0_u32, None);
        for round in 0_u64.. {
            let started = Instant::now();
            let look = timeout(self.config.timeout, source.look()).await;
            let look = look.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            self.metrics.count_load_probe(look.is_ok());
            let now = match look {
                Ok(measured) => {
                    failed = 0;
                    let closed = measured.closed.clone();
                    self.pool.measure(id, Some(measured));
                    Ok(closed)
                }
                Err(why) => {
                    failed = failed.saturating_add(1);
                    if failed == self.config.stale_after {
                        self.pool.measure(id, None);
                    }
                    Err(why)
                }
            };
            if last.as_ref() != Some(&now) {
                tell(id, &now);
                last = Some(now);
            }
            let interval = jittered(self.config.interval, (id, "load", round));
            tokio::time::sleep_until(started + interval).await;
        }
    }
}

fn tell(id: &InstanceId, now: &Result<Option<Arc<str>>, String>) {
    match now {
        Ok(None) => tracing::info!(instance = %id, "the instance tells its load"),
        Ok(Some(why)) => {
            tracing::warn!(instance = %id, reason = %why, "the instance tells that it takes nobody new");
        }
        Err(why) => {
            tracing::warn!(instance = %id, reason = why, "the instance does not tell its load")
        }
    }
}

/// The running tasks; dropping them ends all looks.
#[derive(Default)]
struct Asked {
    tasks: HashMap<InstanceId, (Instance, JoinHandle<()>)>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

/// Where one instance's figures come from.
enum Source {
    Script {
        shell: Box<dyn Shell>,
        script: String,
        account: String,
    },
    Agent {
        address: String,
        port: u16,
    },
}

impl Source {
    fn new(probe: &LoadProbe, instance: &Arc<Instance>) -> Self {
        match &probe.config.source {
            LoadSource::Ssh { account } => {
                let events = probe.config.scheduled_events.then_some(EVENTS);
                Self::Script {
                    shell: (probe.open_shell)(instance.clone(), account),
                    script: script_for(probe.config.shared_drive.as_deref(), events),
                    account: account.clone(),
                }
            }
            LoadSource::Agent { port } => Self::Agent {
                address: instance.address.clone(),
                port: *port,
            },
        }
    }

    async fn look(&mut self) -> Result<Measured, String> {
        match self {
            Self::Script {
                shell,
                script,
                account,
            } => {
                let answer = shell.run(script, told::ANSWER_MAX).await?;
                let told = told::read_script(&answer, account, SystemTime::now());
                told.map_err(|error| error.to_string())
            }
            Self::Agent { address, port } => {
                let mut word = Vec::new();
                let connected = TcpStream::connect((address.as_str(), *port)).await;
                let stream = connected.map_err(|error| format!("port {port}: {error}"))?;
                let read = stream.take(WORD_MAX).read_to_end(&mut word).await;
                read.map_err(|error| format!("port {port}: {error}"))?;
                let told = told::read_agent(&word, SystemTime::now());
                told.map_err(|error| error.to_string())
            }
        }
    }
}

/// The script with what it is to look at before it.
fn script_for(drive: Option<&Path>, events: Option<&str>) -> String {
    let drive = drive.map(|path| path.to_string_lossy().into_owned());
    format!(
        "drive={}\nevents={}\n{SCRIPT}",
        quoted(drive.as_deref().unwrap_or_default()),
        quoted(events.unwrap_or_default())
    )
}

/// As one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_the_script_is_no_code() {
        let script = script_for(Some("/a'b $(c)".as_ref()), None);
        assert!(
            script.starts_with("drive='/a'\\''b $(c)'\nevents=''\n"),
            "{script}"
        );
    }
}
