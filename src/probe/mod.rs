//! One task an instance: does each of its services answer? What the answers amount to (rise, fall, up or down) is the
//! pool's to say.
//!
//! The services of an instance are probed independently, so that a hung hub does not delay the news of a dead sshd. A dead
//! service that refuses is known after at most `fall` intervals, one that is silent after one timeout more.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::HealthConfig;
use crate::net::client_tls::ClientTls;
use crate::net::proxy_header;
use crate::pool::{Answer, Health, Instance, InstanceId, Protocol};
use crate::shared_pool::SharedPool;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Traces, works};

mod api;
mod clock;
mod http;
mod hub;
mod idle;
mod load;
mod ssh;
mod token;

pub use clock::clock_of;
pub use hub::{HubConfig, watch_hubs};
pub use idle::{IdleProbe, Watched};
pub use load::{LoadProbe, OpenShell, Shell};
pub use token::{Grade, TokenFinding, examine_token};

/// Between the probes of a service that has not risen yet: an instance that starts is in use within a moment.
const STARTING_INTERVAL: Duration = Duration::from_millis(200);
/// How long a service counts as starting.
const STARTING_TIME: Duration = Duration::from_secs(120);

/// How a pool's instances are probed.
#[derive(Clone)]
pub struct ProbeConfig {
    pub health: HealthConfig,
    /// Where their sshd is behind something that waits for a header of the PROXY protocol.
    pub says_proxy: bool,
    /// How their hubs are spoken to, where that is with TLS.
    pub tls: Option<ClientTls>,
}

/// Probes every instance that `listing` names, from when it is listed until it is not, and tells the pool. Runs until
/// `shutdown` or the fleet's end.
pub async fn watch_pool(
    pool: SharedPool,
    name: String,
    config: ProbeConfig,
    listing: watch::Receiver<Vec<Instance>>,
    (metrics, traces): (Metrics, Traces),
    shutdown: CancellationToken,
) {
    tracing::debug!(pool = name, "probes started");
    let report = move |id: &InstanceId, service: Protocol, answer: &Answer, took: Duration| {
        metrics.count_probe(service, answer.health == Health::Up);
        metrics.time_probe(service, took);
        let flipped = pool.observe(id, service, answer.clone());
        if let Some(health) = flipped {
            tell_trace(&traces, id, (service, health), &answer.why, took);
        }
        flipped
    };
    follow(config, listing, shutdown, report).await;
}

/// Of the probe that made the difference; all others would be most of what a gate tells.
fn tell_trace(
    traces: &Traces,
    id: &InstanceId,
    (service, health): (Protocol, Health),
    why: &str,
    took: Duration,
) {
    let now = SystemTime::now();
    let began = now.checked_sub(took).unwrap_or(now);
    let span = traces.begin_at(&works::HEALTH_CHANGE, began);
    span.tell(works::POOL, &id.pool);
    span.tell(works::INSTANCE, &id.name);
    span.tell(works::SERVICE, &service);
    span.tell(works::HEALTH, &health);
    span.tell(works::REASON, &why);
}

/// Told of every answer and how long it took; returns the instance's overall health if that answer flipped it.
trait Report:
    Fn(&InstanceId, Protocol, &Answer, Duration) -> Option<Health> + Clone + Send + Sync + 'static
{
}

impl<F> Report for F where
    F: Fn(&InstanceId, Protocol, &Answer, Duration) -> Option<Health>
        + Clone
        + Send
        + Sync
        + 'static
{
}

async fn follow(
    config: ProbeConfig,
    mut listing: watch::Receiver<Vec<Instance>>,
    shutdown: CancellationToken,
    report: impl Report,
) {
    let mut probed = Probed::default();
    loop {
        let instances = listing.borrow_and_update().clone();
        probed.update(instances, &config, &report);
        tokio::select! {
            changed = listing.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}

/// The running tasks; dropping them ends all probes.
#[derive(Default)]
struct Probed {
    tasks: HashMap<InstanceId, (Instance, JoinHandle<()>)>,
}

impl Probed {
    fn update(&mut self, listing: Vec<Instance>, config: &ProbeConfig, report: &impl Report) {
        self.tasks.retain(|_, (probed, task)| {
            let stays = listing.contains(probed);
            if !stays {
                task.abort();
            }
            stays
        });
        for instance in listing {
            self.tasks.entry(instance.id.clone()).or_insert_with(|| {
                let task = probe_instance(instance.clone(), config.clone(), report.clone());
                (instance, tokio::spawn(task))
            });
        }
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

async fn probe_instance(instance: Instance, config: ProbeConfig, report: impl Report) {
    let last = std::sync::Mutex::new(Health::Unknown);
    let tell = |service: Protocol, answer: &Answer, took: Duration| {
        let Some(to) = report(&instance.id, service, answer, took) else {
            return;
        };
        let mut last = last.lock().unwrap_or_else(|e| e.into_inner());
        let from = std::mem::replace(&mut *last, to);
        let (id, why) = (&instance.id, &*answer.why);
        tracing::info!(instance = %id, %from, %to, %service, reason = why, "instance health changed");
    };
    let ssh = probe_service(&instance, Protocol::Ssh, instance.ssh_port, &config, &tell);
    match instance.jupyter_port {
        None => ssh.await,
        Some(port) => {
            let hub = probe_service(&instance, Protocol::Jupyter, port, &config, &tell);
            tokio::join!(ssh, hub);
        }
    }
}

async fn probe_service(
    instance: &Instance,
    service: Protocol,
    port: u16,
    config: &ProbeConfig,
    tell: &impl Fn(Protocol, &Answer, Duration),
) {
    let listed = Instant::now();
    let mut good_in_a_row = 0;
    let mut risen = false;
    let mut is_failing = false;
    let says_proxy = config.says_proxy && service == Protocol::Ssh;
    let way = Way {
        says_proxy,
        tls: config.tls.as_ref(),
    };
    let config = &config.health;
    for round in 0_u64.. {
        let started = Instant::now();
        // A silence that is to be confirmed gets no more time than the next probe is away, so that `fall` silent probes
        // take little longer than `fall` refused ones.
        let patience = match is_failing {
            true => config.timeout.min(config.interval),
            false => config.timeout,
        };
        let deadline = started + patience;
        let answer = probe_once(&instance.address, port, service, &way, deadline).await;
        is_failing = answer.health != Health::Up;
        good_in_a_row = match answer.health {
            Health::Up => good_in_a_row + 1,
            _ => 0,
        };
        risen |= good_in_a_row >= config.rise;
        tell(service, &answer, started.elapsed());
        let interval = if risen || listed.elapsed() > STARTING_TIME {
            jittered(config.interval, (&instance.id, service, round))
        } else {
            config.interval.min(STARTING_INTERVAL)
        };
        tokio::time::sleep_until(started + interval).await;
    }
}

/// What goes before the first word.
struct Way<'a> {
    says_proxy: bool,
    tls: Option<&'a ClientTls>,
}

async fn probe_once(
    address: &str,
    port: u16,
    service: Protocol,
    way: &Way<'_>,
    deadline: Instant,
) -> Answer {
    let mut stream = match timeout_at(deadline, TcpStream::connect((address, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return Answer::new(Health::Down, format!("port {port}: {error}"));
        }
        Err(_) => {
            return Answer::new(
                Health::Down,
                format!("port {port}: connecting took too long"),
            );
        }
    };
    if way.says_proxy
        && let Err(error) = stream.write_all(&proxy_header::OWN).await
    {
        return Answer::new(Health::Down, format!("port {port}: {error}"));
    }
    let answered = match service {
        Protocol::Ssh => timeout_at(deadline, ssh::ask(stream)).await,
        Protocol::Jupyter => {
            let authority = format!("{address}:{port}");
            let asked = async {
                match way.tls {
                    None => http::ask(stream, &authority).await,
                    Some(tls) => match tls.connect(address, stream).await {
                        Ok(stream) => http::ask(stream, &authority).await,
                        Err(error) => {
                            Answer::new(Health::Down, format!("port {port}: TLS: {error}"))
                        }
                    },
                }
            };
            timeout_at(deadline, asked).await
        }
    };
    answered.unwrap_or_else(|_| match service {
        Protocol::Ssh => Answer::new(Health::Down, "connected, but no identification in time"),
        Protocol::Jupyter => Answer::new(Health::NoLogins, "connected, but no answer in time"),
    })
}

/// Between 0.8 and 1 of the interval, so that probes of many instances do not march in step; never longer, because the
/// time to notice a death is promised.
fn jittered(interval: Duration, salt: impl std::hash::Hash) -> Duration {
    let drawn = RandomState::new().hash_one(salt) % 1000;
    interval.mul_f64(0.8 + 0.2 * drawn as f64 / 1000.0)
}

#[cfg(test)]
mod tests;
