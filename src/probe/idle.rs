//! Is an instance idle in this moment? Asks its hub and, with a token for each of them alone, the servers of its people.
//!
//! Only when somebody wants to know: a server is looked into with three requests that it is asked not to take for
//! activity. What does not answer in time is not known, and so busy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::api::{Api, Fault, time};
use super::hub::{self, User};
use crate::config::secret::Secret;
use crate::net::client_tls::ClientTls;
use crate::pool::InstanceId;
use crate::pool::idle::{HubFact, Idle, ServerFact, ServerState, judge};
use crate::shared_pool::SharedPool;

/// People's servers looked into at once, so that asking is no load.
const AT_ONCE: usize = 4;
const SERVER_PATIENCE: Duration = Duration::from_secs(2);
/// Of the whole question: whoever asks on a command line waits 10 s.
const PATIENCE: Duration = Duration::from_secs(8);
const TOKEN_LIFETIME: Duration = Duration::from_secs(30);
/// A kernel is some 200 bytes.
const ANSWER_MAX: usize = 1 << 20;

/// What it takes to judge the instances of one pool.
#[derive(Clone)]
pub struct Watched {
    /// `None` where hubs are not asked.
    pub token_file: Option<PathBuf>,
    pub idle_after: Duration,
    /// As in `ProbeConfig`.
    pub tls: Option<ClientTls>,
}

/// Judges instances of every pool.
pub struct IdleProbe {
    pub pool: SharedPool,
    pub watched: BTreeMap<String, Watched>,
}

impl IdleProbe {
    /// `None` if there is no such instance.
    pub async fn judge(&self, id: &InstanceId) -> Option<Idle> {
        let watched = self.watched.get(&*id.pool)?;
        let instance = self.pool.instance(id)?;
        let hub = match (instance.jupyter_port, &watched.token_file) {
            (None, _) => HubFact::NoHub,
            (Some(_), None) => {
                HubFact::Unknown("no pools.NAME.jupyter.api_token_file is configured".to_owned())
            }
            (Some(port), Some(token_file)) => {
                let api = Api::new(&instance.address, port, watched.tls.clone());
                ask_hub(&api, token_file).await
            }
        };
        let snapshot = self.pool.snapshot();
        let sessions = snapshot.sessions_on(id);
        let now = SystemTime::now();
        Some(judge(id, sessions, hub, watched.idle_after, now))
    }
}

async fn ask_hub(api: &Api, token_file: &Path) -> HubFact {
    let users = match hub::people_with_servers(api, token_file).await {
        Ok(users) => users,
        Err(fault) => return HubFact::Unknown(fault.to_string()),
    };
    let deadline = Instant::now() + PATIENCE;
    let mut asked = JoinSet::new();
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    for user in users {
        let (api, token_file) = (api.clone(), token_file.to_owned());
        let permits = permits.clone();
        asked.spawn(async move {
            let looking = async {
                let _permit = permits.acquire().await;
                look_into(&api, &token_file, &user).await
            };
            let inside = timeout_at(deadline, looking).await;
            ServerFact {
                user: user.name.clone(),
                is_pending: user.servers().any(|server| server.pending.is_some()),
                last_activity: user.last_activity(),
                inside: inside
                    .unwrap_or(Err(Fault::Slow))
                    .map_err(|fault| fault.to_string()),
            }
        });
    }
    let mut servers = asked.join_all().await;
    servers.sort_by(|one, other| one.user.cmp(&other.user));
    HubFact::Servers(servers)
}

/// All of one person's servers together.
async fn look_into(api: &Api, token_file: &Path, user: &User) -> Result<ServerState, Fault> {
    let ready: Vec<&str> = user
        .servers()
        .filter(|server| server.ready)
        .filter_map(|server| server.url.as_deref())
        .collect();
    let mut state = ServerState::default();
    if ready.is_empty() {
        return Ok(state);
    }
    let making = hub::token_for(api, token_file, &user.name, TOKEN_LIFETIME);
    let token = timeout(SERVER_PATIENCE, making).await;
    let token = token.map_err(|_| Fault::Slow)??;
    for url in ready {
        // What a hub says of its servers' paths; an absolute one would lead the token astray.
        if !url.starts_with("/user/") {
            return Err(Fault::Nonsense);
        }
        let asking = ask_server(api, &token, url);
        let one = timeout(SERVER_PATIENCE, asking).await;
        state.add(one.map_err(|_| Fault::Slow)??);
    }
    Ok(state)
}

#[derive(Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "time")]
    last_activity: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Kernel {
    execution_state: Option<String>,
    #[serde(default)]
    connections: u32,
    #[serde(default, deserialize_with = "time")]
    last_activity: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Terminal {
    #[serde(default, deserialize_with = "time")]
    last_activity: Option<SystemTime>,
}

async fn ask_server(api: &Api, token: &Secret, url: &str) -> Result<ServerState, Fault> {
    let kernels: Vec<Kernel> = ask(api, token, url, "kernels").await?;
    let terminals: Vec<Terminal> = match ask(api, token, url, "terminals").await {
        // A server without terminals.
        Err(Fault::Status(StatusCode::NOT_FOUND)) => Vec::new(),
        answered => answered?,
    };
    let status: Status = ask(api, token, url, "status").await?;
    let is_busy = |kernel: &&Kernel| {
        let state = kernel.execution_state.as_deref();
        !matches!(state, Some("idle" | "dead"))
    };
    let busy_kernels = kernels.iter().filter(is_busy).count();
    let times = kernels.iter().filter_map(|kernel| kernel.last_activity);
    let times = times.chain(
        terminals
            .iter()
            .filter_map(|terminal| terminal.last_activity),
    );
    let last_activity = times.chain(status.last_activity).max();
    let sockets = kernels.iter().map(|kernel| kernel.connections);
    Ok(ServerState {
        busy_kernels: u32::try_from(busy_kernels).unwrap_or(u32::MAX),
        sockets: sockets.fold(0, u32::saturating_add),
        last_activity,
    })
}

async fn ask<T: DeserializeOwned>(
    api: &Api,
    token: &Secret,
    url: &str,
    what: &str,
) -> Result<T, Fault> {
    let path = format!("{url}api/{what}?no_track_activity=1");
    let accept = "application/json";
    let answer = api
        .ask(token, (Method::GET, &path), accept, None, ANSWER_MAX)
        .await?;
    serde_json::from_slice(&answer).map_err(|_| Fault::Nonsense)
}
