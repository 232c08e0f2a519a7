//! `GET /dash/live?page=ADDRESS`: a page's changes as an event stream, for as long as the browser listens.
//!
//! A stream ends after some minutes and is asked for again by itself, so that whoever is logged out stops being told.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

use super::live::{self, WATCHERS_MAX, Watch};
use super::pages::View;
use super::{Dashboard, show};
use crate::admin::caller::Caller;
use crate::admin::problem::Problem;

const LIFE: Duration = Duration::from_secs(300);
/// Shorter than what proxies and browsers take for a hang.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
pub(super) struct Asked {
    page: String,
}

pub(super) async fn follow(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(caller): Extension<Caller>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let (path, query) = asked.page.split_once('?').unwrap_or((&asked.page, ""));
    let view = View::at(path, query).ok_or_else(|| Problem {
        status: StatusCode::BAD_REQUEST,
        detail: "page is not the address of a page that changes: ask for / or /machines, sessions, queue, events, charts".to_owned(),
    })?;
    let key = (view, show::may_act(&caller));
    let watch = live::watch(&dashboard, key).ok_or_else(|| Problem {
        status: StatusCode::SERVICE_UNAVAILABLE,
        detail: format!("{WATCHERS_MAX} browsers are kept up to date already: load the page anew from time to time"),
    })?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(pass_on(dashboard, watch, sender));
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((kind, Body::new(EventBody { receiver })).into_response())
}

async fn pass_on(dashboard: Arc<Dashboard>, mut watch: Watch, sender: mpsc::Sender<Bytes>) {
    let end = tokio::time::Instant::now() + LIFE;
    let mut next = format!("retry: 1000\n{}", watch.whole);
    loop {
        let is_gone = tokio::select! {
            sent = sender.send(Bytes::from(next)) => sent.is_err(),
            () = dashboard.ending.cancelled() => true,
        };
        if is_gone {
            return;
        }
        next = tokio::select! {
            () = sender.closed() => return,
            () = dashboard.ending.cancelled() => return,
            () = tokio::time::sleep_until(end) => return,
            () = tokio::time::sleep(SIGN_OF_LIFE) => ": still here\n\n".to_owned(),
            change = watch.changes.recv() => match change {
                Ok(change) => change.to_string(),
                Err(RecvError::Lagged(_)) => match dashboard.live.whole(&watch.key) {
                    Some(whole) => whole.to_string(),
                    None => return,
                },
                Err(RecvError::Closed) => return,
            },
        };
    }
}

struct EventBody {
    receiver: mpsc::Receiver<Bytes>,
}

impl hyper::body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.receiver.poll_recv(context);
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
