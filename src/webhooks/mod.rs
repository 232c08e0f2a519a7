//! Webhooks: a chat channel or a program of the operator's is told of events that want attention.
//!
//! Each webhook follows the story of events at its own pace, as `poolgate events --follow` does: nobody waits for it, and a
//! flood, or a receiver that is away for a while, becomes one message that sums up. A message that cannot be had delivered in
//! some minutes is given up, counted and told; it is never sent twice on purpose, but may arrive twice.

mod delivery;
mod form;
mod pace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::delivery::Delivery;
use self::pace::Pace;
use crate::config::WebhookConfig;
use crate::telemetry::events::{Event, EventKind, Events};
use crate::telemetry::metrics::Metrics;

/// Events of one message; when more have gathered, the rest follows in the next.
const GATHERED_MAX: usize = 1000;

/// All webhooks of a gate.
pub struct Webhooks {
    events: Events,
    metrics: Metrics,
    running: BTreeMap<String, Running>,
}

struct Running {
    /// The number of the last event it was told of, or need not be.
    seen: Arc<AtomicU64>,
    stop: CancellationToken,
}

/// Webhooks whose secrets and authorities were read; dropped, they change nothing.
pub struct NextWebhooks(BTreeMap<String, (WebhookConfig, Delivery)>);

impl Webhooks {
    pub fn new(events: Events, metrics: Metrics) -> Self {
        Self {
            events,
            metrics,
            running: BTreeMap::new(),
        }
    }

    /// # Errors
    /// One line that names the file at fault.
    pub fn prepare(configs: &BTreeMap<String, WebhookConfig>) -> Result<NextWebhooks, String> {
        let mut next = BTreeMap::new();
        for (name, config) in configs {
            let delivery = Delivery::of(config).map_err(|why| format!("webhooks.{name}: {why}"))?;
            next.insert(name.clone(), (config.clone(), delivery));
        }
        Ok(NextWebhooks(next))
    }

    /// From here on these are told; one that was there goes on where it was.
    pub fn change(&mut self, next: NextWebhooks, tasks: &TaskTracker, ending: &CancellationToken) {
        let is_named = |name: &String| next.0.contains_key(name);
        let gone = self.running.extract_if(.., |name, _| !is_named(name));
        for (_, running) in gone {
            running.stop.cancel();
        }
        self.put(next, tasks, ending);
    }

    /// These in place of what is there of the same names; all others go on as they are.
    pub fn put(&mut self, next: NextWebhooks, tasks: &TaskTracker, ending: &CancellationToken) {
        for (name, (config, delivery)) in next.0 {
            let newest = *self.events.newest().borrow();
            let before = self.running.remove(&name);
            let seen = before.map(|running| {
                running.stop.cancel();
                running.seen
            });
            let seen = seen.unwrap_or_else(|| Arc::new(AtomicU64::new(newest)));
            let stop = ending.child_token();
            let webhook = Webhook {
                name: name.clone(),
                config,
                delivery,
                events: self.events.clone(),
                metrics: self.metrics.clone(),
                seen: seen.clone(),
            };
            let until = stop.clone();
            tasks.spawn(async move {
                until.run_until_cancelled(webhook.follow()).await;
            });
            self.running.insert(name, Running { seen, stop });
        }
    }
}

/// # Errors
/// One line: what the file of its address lacks.
pub fn judge(config: &WebhookConfig) -> Result<(), String> {
    Delivery::address(config).map(drop)
}

/// The receiver's host, once it was reached and has proved itself; nothing is sent.
///
/// # Errors
/// One line: why it could not be told.
pub async fn reach(config: &WebhookConfig) -> Result<String, String> {
    let reached = Delivery::of(config)?.reach().await;
    reached.map_err(|fault| fault.to_string())
}

/// Sends a message to try the webhook; the answer in a word.
///
/// # Errors
/// One line: why it did not arrive.
pub async fn test(name: &str, config: &WebhookConfig) -> Result<String, String> {
    let delivery = Delivery::of(config)?;
    let event = Event {
        number: 0,
        time: SystemTime::now(),
        pool: config.pools.first().cloned().unwrap_or_default(),
        instance: None,
        user: None,
        kind: EventKind::Test,
        text: format!("if you can read this, the webhook {name} works"),
    };
    delivery
        .send_once(&[event])
        .await
        .map_err(|fault| fault.to_string())
}

struct Webhook {
    name: String,
    config: WebhookConfig,
    delivery: Delivery,
    events: Events,
    metrics: Metrics,
    seen: Arc<AtomicU64>,
}

impl Webhook {
    async fn follow(self) {
        let mut newest = self.events.newest();
        let mut pace = Pace::new(self.config.messages_per_minute);
        loop {
            if self.gather().is_empty() {
                if newest.changed().await.is_err() {
                    return;
                }
                continue;
            }
            tokio::time::sleep(pace.wait(Instant::now())).await;
            // More may have come meanwhile.
            let gathered = self.gather();
            pace.spend(Instant::now());
            let sent = self.delivery.send(&gathered).await;
            let last = gathered.last().map_or(0, |event| event.number);
            self.seen.fetch_max(last, Ordering::Relaxed);
            self.tell(sent, gathered.len());
        }
    }

    /// What it is to be told of and was not.
    fn gather(&self) -> Vec<Event> {
        let later = self.events.after(self.seen.load(Ordering::Relaxed));
        let newest = later.last().map(|event| event.number);
        let mut wanted: Vec<_> = later
            .into_iter()
            .filter(|event| self.wants(event))
            .collect();
        match (wanted.is_empty(), newest) {
            (true, Some(newest)) => drop(self.seen.fetch_max(newest, Ordering::Relaxed)),
            _ => wanted.truncate(GATHERED_MAX),
        }
        wanted
    }

    fn wants(&self, event: &Event) -> bool {
        let pools = &self.config.pools;
        let is_of_pool = pools.is_empty() || event.pool.is_empty() || pools.contains(&event.pool);
        is_of_pool && self.config.events.contains(event.kind.name())
    }

    fn tell(&self, sent: Result<String, delivery::Fault>, events: usize) {
        let outcome = if sent.is_ok() { "sent" } else { "failed" };
        self.metrics.count_webhook(&self.name, outcome);
        match sent {
            Ok(answer) => {
                tracing::debug!(
                    webhook = self.name,
                    events,
                    status = answer,
                    "a webhook was told"
                );
            }
            Err(fault) => {
                // A kind that no webhook is told of: it would be told of itself for ever.
                let text = format!(
                    "the webhook {} was not told of {events} events: {fault}",
                    self.name
                );
                self.events.tell("", None, EventKind::WebhookFailed, text);
            }
        }
    }
}

#[cfg(test)]
mod tests;
