//! The operators' side: answers over HTTP what the pools look like and takes orders, on an address and on a socket file.
//!
//! It reads published snapshots, passes orders on, and knows neither the front doors nor the fleets. The socket is its owner's
//! and asks for nothing; at the address `access` wants a token or a session, and a browser lured here is turned away by its Host.

mod access;
mod caller;
mod cost;
mod dashboard;
mod explain;
mod headers;
mod host;
mod idle;
mod listener;
mod me;
mod moves;
mod named;
mod notices;
mod openapi;
mod orders;
mod problem;
mod readiness;
mod reload;
mod routes;
mod scale;
mod socket;
mod story;
mod tls;
mod upgrade;
mod verbs;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::diff::Written;
use crate::files::FileFaults;
use crate::net::current::Current;
use crate::shared_pool::{AskIdle, SharedPool};
use crate::state::Folder;
use crate::telemetry::audit::AuditLog;
use crate::telemetry::events::Events;
use crate::telemetry::metrics::Metrics;

pub use access::{
    Access, AccessFault, NewToken, NextWays, Role, TokensFault, ask_provider, judge_tokens,
    new_token,
};
pub use cost::{AskCost, CostView};
use dashboard::Dashboard;
pub use dashboard::{InstanceState, KernelsView, count_states, counting_key, csv_line, plain};
pub use explain::{HealthStory, ScalingStory, UserStory};
use listener::Answerer;
pub use me::Me;
pub use moves::{MoveOrder, Moved};
pub use notices::{Given, Notice};
pub use orders::{CordonOrder, Done, DrainOrder, EvictOrder, KeepOrder, UncordonOrder};
pub use readiness::Readiness;
pub use reload::{AskReload, ConfigState, FileRead, RefusedReload, Reloaded};
pub use routes::Status;
pub use scale::{AskScale, ScaleAnswer, ScaleRequest, ScaleWish};
pub use socket::{AdminSocket, SocketFile, bind_socket, inherit_socket};
pub use story::RUN_HEADER;
pub use tls::{AdminTls, NextTls};
pub use upgrade::{
    AskUpgrade, TookOver, Upgrade, UpgradeOrder, UpgradeOutcome, UpgradeStep, UpgradeView,
    UpgradeWish, Upgrades,
};

/// What the admin side may see.
#[derive(Clone)]
pub struct AdminState {
    pub pool: SharedPool,
    pub metrics: Metrics,
    pub audit: AuditLog,
    pub readiness: Readiness,
    pub events: Events,
    pub ask_idle: AskIdle,
    pub ask_scale: AskScale,
    pub ask_cost: AskCost,
    /// Whose clocks the times of a pool's people are, by pool; UTC where one is not named.
    pub zones: Arc<Current<BTreeMap<String, TimeZone>>>,
    /// Where what the charts are drawn from outlives the process.
    pub folder: Option<Folder>,
    pub config: Arc<Current<ConfigState>>,
    /// What is wrong with files that it names.
    pub files: FileFaults,
    pub ask_reload: AskReload,
    pub ask_upgrade: AskUpgrade,
    pub upgrades: Upgrades,
    pub started: Timestamp,
    /// Who may ask at the address.
    pub access: Arc<Access>,
    /// What the address proves itself with.
    pub tls: AdminTls,
}

impl AdminState {
    /// For a gate whose doors are open, none of whose pools is resized.
    pub fn new(pool: SharedPool, (metrics, files): (Metrics, FileFaults), audit: AuditLog) -> Self {
        Self {
            access: Arc::new(Access::closed(audit.clone(), metrics.clone())),
            tls: AdminTls::none(metrics.clone(), files.clone()),
            files,
            pool,
            metrics,
            events: Events::new(audit.clone()),
            audit,
            readiness: Readiness::default(),
            ask_idle: Arc::new(|_| Box::pin(std::future::ready(None))),
            ask_scale: scale::none_resized(),
            ask_cost: cost::none_asked(),
            zones: Current::new(Arc::default()),
            folder: None,
            config: Current::new(Arc::new(ConfigState::loaded(
                &Written::default(),
                SystemTime::now(),
            ))),
            ask_reload: reload::nothing_to_reload(),
            ask_upgrade: upgrade::nothing_to_upgrade(),
            upgrades: Upgrades::default(),
            started: Timestamp::now(),
        }
    }
}

impl AdminState {
    /// The configuration in force, and what is wrong with files that it names at this moment.
    fn config_state(&self) -> ConfigState {
        ConfigState {
            file_faults: self.files.now(),
            ..(*self.config.get()).clone()
        }
    }
}

/// The operators' side at work: what it answers is made once, wherever it is asked.
#[derive(Clone)]
pub struct AdminSide {
    router: Router,
    tls: AdminTls,
}

impl AdminSide {
    /// Keeps what charts are drawn from, who has logged in and its certificate, as some of `tasks`, until `ending`.
    pub fn begin(state: AdminState, tasks: &TaskTracker, ending: CancellationToken) -> Self {
        let (access, tls) = (state.access.clone(), state.tls.clone());
        let events = state.events.clone();
        let dashboard = Dashboard::new(state.clone(), ending.clone());
        let router = routes::router(state.clone(), ending.clone())
            .merge(orders::router(state))
            .merge(access::login_router(access.clone()))
            .merge(dashboard::router(dashboard.clone()))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
        // Whatever stands above is behind the guard, and out of reach unless the table of roles names it.
        let router = access::guard(router, access.clone());
        let router = headers::harden(host::guard(router, access.clone(), tls.clone()));
        tasks.spawn(dashboard::record(dashboard));
        tasks.spawn(access.keep(ending.clone()));
        tasks.spawn(tls.clone().keep(events, ending));
        Self { router, tls }
    }

    /// Answers here until `until`, then ends open connections after their current answer.
    pub async fn serve_tcp(self, listener: TcpListener, until: CancellationToken) {
        listener::serve(listener, self.answerer(until)).await;
    }

    /// The same on a socket.
    pub async fn serve_socket(self, socket: AdminSocket, until: CancellationToken) {
        listener::serve(socket, self.answerer(until)).await;
    }

    fn answerer(self, until: CancellationToken) -> Answerer {
        Answerer {
            router: self.router,
            tls: self.tls,
            until,
        }
    }
}

/// Answers on both until `shutdown`.
#[cfg(test)]
pub async fn serve_both(
    state: AdminState,
    tcp: Option<TcpListener>,
    socket: Option<AdminSocket>,
    shutdown: CancellationToken,
) {
    let tasks = TaskTracker::new();
    let side = AdminSide::begin(state, &tasks, shutdown.clone());
    if let Some(tcp) = tcp {
        tasks.spawn(side.clone().serve_tcp(tcp, shutdown.clone()));
    }
    if let Some(socket) = socket {
        tasks.spawn(side.serve_socket(socket, shutdown));
    }
    tasks.close();
    tasks.wait().await;
}

/// A reason and a name; a notice is longer than that, and still far below.
const BODY_BYTES_MAX: usize = 16 * 1024;
