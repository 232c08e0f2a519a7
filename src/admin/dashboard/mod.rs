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
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::AdminState;
use act::Flashes;
use gather::Gathered;
use kernels::Kernels;
use live::Live;
pub(super) use record::record;

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

/// Nothing runs or is shown on a page but what comes from here, and no other page frames it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = HeaderValue::from_static;
    headers.insert(header::CONTENT_SECURITY_POLICY, fixed(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    headers.insert(header::REFERRER_POLICY, fixed("no-referrer"));
    // Files that never change say otherwise.
    let kept = headers.entry(header::CACHE_CONTROL);
    kept.or_insert(fixed("no-store"));
    response
}

/// All pages, without a guard: whoever mounts them puts one before.
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
        .route("/api/v1/history", get(show::history))
        .merge(assets::router())
        .layer(map_response(harden))
        .with_state(dashboard)
}
