//! Who has a server on an instance? Asks its hub's API with a service's token, past the gate's own front door.
//!
//! The token goes to hubs alone, never to a person's server: code of that person would read it there. What a hub says
//! counts sessions; whether it is well is `http`'s to find out. An answer that fails keeps the last one, marked as old.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::{Api, Fault, time};
use crate::config::secret::Secret;
use crate::net::client_tls::ClientTls;
use crate::pool::{HubPerson, Instance, InstanceId};
use crate::shared_pool::SharedPool;
use crate::telemetry::metrics::Metrics;

/// How a pool's hubs are asked.
#[derive(Clone)]
pub struct HubConfig {
    /// Read at each poll, so that a new token needs no restart.
    pub token_file: PathBuf,
    pub interval: Duration,
    /// As in `ProbeConfig`.
    pub tls: Option<ClientTls>,
}

/// One poll with all its pages.
const POLL_PATIENCE: Duration = Duration::from_secs(10);
/// A user with a server is some 1 KB of JSON.
const PAGE_PEOPLE: usize = 200;
const PAGES_MAX: usize = 100;
const PAGE_BYTES_MAX: usize = 4 << 20;
const PAGINATED: &str = "application/jupyterhub-pagination+json";

/// Asks the hub of every instance that `listing` names, from when it is listed until it is not. Runs until `shutdown` or
/// the fleet's end.
pub async fn watch_hubs(
    pool: SharedPool,
    config: HubConfig,
    mut listing: watch::Receiver<Vec<Instance>>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let mut polled = Polled::default();
    loop {
        let instances = listing.borrow_and_update().clone();
        polled.tasks.retain(|_, (known, task)| {
            let stays = instances.contains(known);
            if !stays {
                task.abort();
            }
            stays
        });
        for instance in instances {
            let Some(port) = instance.jupyter_port else {
                continue;
            };
            polled.tasks.entry(instance.id.clone()).or_insert_with(|| {
                let api = Api::new(&instance.address, port, config.tls.clone());
                let id = instance.id.clone();
                let polling = poll(pool.clone(), id, api, config.clone(), metrics.clone());
                (instance, tokio::spawn(polling))
            });
        }
        tokio::select! {
            changed = listing.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}

/// The running tasks; dropping them ends all polls.
#[derive(Default)]
struct Polled {
    tasks: HashMap<InstanceId, (Instance, JoinHandle<()>)>,
}

impl Drop for Polled {
    fn drop(&mut self) {
        for (_, task) in self.tasks.values() {
            task.abort();
        }
    }
}

async fn poll(pool: SharedPool, id: InstanceId, api: Api, config: HubConfig, metrics: Metrics) {
    let mut told = None;
    loop {
        let started = tokio::time::Instant::now();
        let fault = match people_with_servers(&api, &config.token_file).await {
            Ok(users) => {
                pool.hear_hub(&id, Some(users.iter().map(User::person).collect()));
                None
            }
            Err(fault) => {
                pool.hear_hub(&id, None);
                Some(fault.to_string())
            }
        };
        metrics.count_hub_poll(fault.is_none());
        if fault != told {
            match &fault {
                Some(fault) => {
                    tracing::warn!(instance = %id, error = fault, "the hub does not say who has a server");
                }
                None => tracing::info!(instance = %id, "the hub says who has a server"),
            }
            told = fault;
        }
        tokio::time::sleep_until(started + config.interval).await;
    }
}

/// A user as a hub tells of them.
#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub name: Arc<str>,
    /// Missing where the token lacks a scope.
    servers: Option<BTreeMap<String, Server>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Server {
    #[serde(default)]
    pub ready: bool,
    #[serde(default)]
    pub pending: Option<String>,
    #[serde(default, deserialize_with = "time")]
    pub last_activity: Option<SystemTime>,
    pub url: Option<String>,
}

impl User {
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().flat_map(BTreeMap::values)
    }

    pub fn last_activity(&self) -> Option<SystemTime> {
        let times = self.servers().filter_map(|server| server.last_activity);
        times.max()
    }

    fn person(&self) -> HubPerson {
        HubPerson {
            name: self.name.clone(),
            is_pending: self.servers().any(|server| server.pending.is_some()),
            last_activity: self.last_activity().unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<User>,
    #[serde(rename = "_pagination")]
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    next: Option<Next>,
}

#[derive(Deserialize)]
struct Next {
    offset: usize,
}

/// Everybody with a server that runs, starts or stops.
pub(super) async fn people_with_servers(
    api: &Api,
    token_file: &std::path::Path,
) -> Result<Vec<User>, Fault> {
    let token = Secret::read(token_file)
        .map_err(|error| Fault::Token(format!("{}: {error}", token_file.display())))?;
    let all = tokio::time::timeout(POLL_PATIENCE, all_pages(api, &token)).await;
    let users = all.map_err(|_| Fault::Slow)??;
    if users.iter().any(|user| user.servers.is_none()) {
        return Err(Fault::Scope("read:servers"));
    }
    Ok(users)
}

async fn all_pages(api: &Api, token: &Secret) -> Result<Vec<User>, Fault> {
    let mut users = Vec::new();
    let mut offset = 0;
    for _ in 0..PAGES_MAX {
        let path = format!("/hub/api/users?state=active&limit={PAGE_PEOPLE}&offset={offset}");
        let page: Page = ask(api, token, Method::GET, &path, None).await?;
        users.extend(page.items);
        match page.pagination.next {
            Some(next) if next.offset > offset => offset = next.offset,
            _ => return Ok(users),
        }
    }
    Err(Fault::Long)
}

/// Whom the hub takes the token's holder for, and what they may do.
pub(super) async fn holder_of<T: DeserializeOwned>(api: &Api, token: &Secret) -> Result<T, Fault> {
    let asking = ask(api, token, Method::GET, "/hub/api/user", None);
    let answer = tokio::time::timeout(POLL_PATIENCE, asking).await;
    answer.map_err(|_| Fault::Slow)?
}

/// A token that opens this person's servers alone, for as long as one look into them takes. The person may see it.
pub(super) async fn token_for(
    api: &Api,
    token_file: &std::path::Path,
    user: &str,
    lifetime: Duration,
) -> Result<Secret, Fault> {
    #[derive(Deserialize)]
    struct Made {
        token: String,
    }
    let token = Secret::read(token_file)
        .map_err(|error| Fault::Token(format!("{}: {error}", token_file.display())))?;
    let escaped = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/hub/api/users/{escaped}/tokens");
    let wish = serde_json::json!({
        "expires_in": lifetime.as_secs(),
        "scopes": [format!("access:servers!user={user}")],
        // Hubs take requests with a token of another note for activity of its user.
        "note": "Server at rest? A gate looks",
    });
    let made: Result<Made, Fault> = ask(api, &token, Method::POST, &path, Some(wish)).await;
    match made {
        Ok(made) => Ok(Secret::new(made.token.into_bytes())),
        Err(Fault::Status(StatusCode::FORBIDDEN)) => Err(Fault::Scope("tokens")),
        Err(fault) => Err(fault),
    }
}

async fn ask<T: DeserializeOwned>(
    api: &Api,
    token: &Secret,
    method: Method,
    path: &str,
    json: Option<serde_json::Value>,
) -> Result<T, Fault> {
    let accept = match method {
        Method::GET => PAGINATED,
        _ => "application/json",
    };
    let body = json.map(|json| json.to_string().into());
    let answer = api
        .ask(token, (method, path), accept, body, PAGE_BYTES_MAX)
        .await?;
    serde_json::from_slice(&answer).map_err(|_| Fault::Nonsense)
}

#[cfg(test)]
mod tests;
