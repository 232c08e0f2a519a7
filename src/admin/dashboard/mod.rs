//! The dashboard: what the API tells, as pages for people. Rendered here, whole without JavaScript, and loading nothing from
//! elsewhere; a small script keeps a page up to date where there is one.
//!
//! Nothing is decided here: orders given by form are the very orders of the API.

mod act;
mod assets;
mod bar;
mod chart;
mod csv;
mod gather;
pub mod history;
mod kernels;
mod live;
mod pages;
mod parts;
mod record;
mod scene;
mod show;
mod states;
mod stream;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AdminState;
use act::Flashes;
pub(super) use assets::{icon_path, style_path};
pub use csv::csv_line;
use gather::Gathered;
use kernels::Kernels;
pub use kernels::KernelsView;
use live::Live;
pub use pages::machines::counting_key;
pub(super) use record::record;
pub use states::{State as InstanceState, count as count_states};
pub use words::plain;

/// What all pages share.
pub(super) struct Dashboard {
    state: AdminState,
    started: std::time::SystemTime,
    gathered: Gathered,
    kernels: Kernels,
    live: Live,
    flashes: Flashes,
    ending: CancellationToken,
}

impl Dashboard {
    pub fn new(state: AdminState, ending: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            state,
            started: std::time::SystemTime::now(),
            gathered: Gathered::default(),
            kernels: Kernels::default(),
            live: Live::default(),
            flashes: Flashes::default(),
            ending,
        })
    }
}

/// What is a part of the API, and what the API's description says of it.
pub(super) fn described() -> OpenApiRouter<Arc<Dashboard>> {
    OpenApiRouter::new()
        .routes(routes!(show::history))
        .routes(routes!(kernels::show))
}

/// All pages, without a guard and without the headers of `admin::headers`: whoever mounts them adds both.
pub(super) fn router(dashboard: Arc<Dashboard>) -> Router {
    Router::new()
        .route("/", get(show::overview))
        .route("/machines", get(show::machines))
        .route("/machines.csv", get(show::machines_csv))
        .route("/machines/{pool}/{name}", get(show::machine))
        .route("/sessions", get(show::sessions))
        .route("/sessions.csv", get(show::sessions_csv))
        .route("/queue", get(show::queue))
        .route("/events", get(show::events))
        .route("/charts", get(show::charts))
        .route("/explain", get(show::explain))
        .route("/act", get(act::ask).post(act::give))
        .route("/dash/live", get(stream::follow))
        .merge(described().split_for_parts().0)
        .merge(assets::router())
        .with_state(dashboard)
}
