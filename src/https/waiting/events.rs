//! `/.poolgate/wait`: what a waiting page watches, as an event stream (HTML 9.2).
//!
//! Sent is only what has changed, each stage in the page's own language. A stream ends after a minute, and with a gate that takes
//! nothing new; the browser opens the next by itself, at the gate that has the place by then.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use super::line::{StreamGuard, Told};
use crate::https::answer::{self, Trouble};
use crate::https::body::Body;
use crate::https::front::Front;
use crate::https::listener::OpenRequest;
use crate::https::pages::words::Words;
use crate::https::route::Ask;
use crate::pool::Waiter;

const LIFETIME: Duration = Duration::from_secs(60);
/// The least time between two looks: thousands of pages watch.
const PAUSE: Duration = Duration::from_millis(500);
/// The most, so that a place in the line is kept and seconds are counted.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Some proxies on the way close what is silent.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// The events of one stream, as they come.
pub struct Events {
    next: Pin<Box<Next>>,
}

/// An event, and what comes after it.
type Next = dyn Future<Output = Option<(Bytes, Watch)>> + Send;

struct Watch {
    front: Arc<Front>,
    pool: Arc<str>,
    waiter: Waiter,
    words: &'static Words,
    ends: Instant,
    told: Option<(Told, Instant)>,
    is_over: bool,
    _stream: StreamGuard,
    open: OpenRequest,
}

impl Front {
    /// The stream for whoever has a ticket; nothing for others, and a refusal where too many watch.
    pub(in crate::https) fn watch_line(
        self: &Arc<Self>,
        ask: &Ask,
        words: &'static Words,
        open: OpenRequest,
    ) -> Response<Body> {
        let waiter = super::waiter(ask, ask.ticket);
        let Some(waiter) = waiter.filter(|_| self.waiting.ahead(ask).is_some()) else {
            // To a browser the end of all attempts (HTML 9.2.2): its page asks for itself in a while.
            return answer::not_found();
        };
        let Some(stream) = self.waiting.stream(ask.peer) else {
            return answer::unavailable(Trouble::Full, None);
        };
        let watch = Watch {
            front: self.clone(),
            pool: ask.pool.clone(),
            waiter,
            words,
            ends: Instant::now() + LIFETIME,
            told: None,
            is_over: false,
            _stream: stream,
            open,
        };
        let events = Events {
            next: Box::pin(watch.next()),
        };
        let mut response = Response::new(Body::Events(Box::new(events)));
        let headers = response.headers_mut();
        let stream = HeaderValue::from_static("text/event-stream");
        headers.insert(CONTENT_TYPE, stream);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Some proxies on the way hold back what they are not told to pass on.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

impl Events {
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let next = ready!(self.next.as_mut().poll(cx));
        let Some((event, watch)) = next else {
            self.next = Box::pin(std::future::ready(None));
            return Poll::Ready(None);
        };
        self.next = Box::pin(watch.next());
        Poll::Ready(Some(event))
    }
}

impl Watch {
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let mut changes = self.front.pool.subscribe();
        let closing = self.open.connection().closing.clone();
        while !self.is_over && !closing.is_cancelled() && Instant::now() < self.ends {
            let snapshot = changes.borrow_and_update().clone();
            let stand = self
                .front
                .waiting
                .watch(&self.pool, &self.waiter, &snapshot)?;
            let waiting = &self.front.waiting;
            let told = waiting.tell(&self.pool, &stand, &snapshot, self.words);
            self.is_over = stand.is_ready();
            if self.told.as_ref().is_none_or(|(before, _)| *before != told) {
                let event = render(&told, stand.is_ready())?;
                self.told = Some((told, Instant::now()));
                return Some((event, self));
            }
            if let Some((_, at)) = self
                .told
                .as_mut()
                .filter(|(_, at)| at.elapsed() > SIGN_OF_LIFE)
            {
                *at = Instant::now();
                return Some((Bytes::from_static(b":\n\n"), self));
            }
            let looking = async {
                tokio::time::sleep(PAUSE).await;
                // Changed or not: time has passed.
                drop(tokio::time::timeout(LOOK_INTERVAL, changes.changed()).await);
            };
            closing.run_until_cancelled(looking).await;
        }
        None
    }
}

fn render(told: &Told, is_ready: bool) -> Option<Bytes> {
    let name = if is_ready { "event: ready\n" } else { "" };
    let data = serde_json::to_string(told).ok()?;
    Some(Bytes::from(format!("{name}retry: 2000\ndata: {data}\n\n")))
}
