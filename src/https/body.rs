//! Bodies on their way through: frame by frame, unbuffered and of any length, with a timer against standing still.
//!
//! The answer's body also holds what must last as long as it does: the connection to the instance, which goes back to
//! its pool at the end, and the mark that this person is there.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::access_log::Entry;
use super::instance_pool::Lease;
use super::listener::OpenRequest;
use super::presence::Visit;
use super::stream::Stall;
use super::traced::Followed;
use super::waiting::Events;
use crate::pool::Protocol;
use crate::shared_pool::Meter;
use crate::telemetry::metrics::Metrics;

pub type BodyError = Box<dyn Error + Send + Sync>;

/// What a person is answered.
pub enum Body {
    /// The gate's own words.
    Own(Option<Bytes>),
    Relayed(Box<Relayed>),
    /// The gate's own words as they come.
    Events(Box<Events>),
    /// Any of these, counted for the access log.
    Logged(Box<Body>, Box<Entry>),
    /// Any of these, with whose end a span ends.
    Traced(Box<Body>, Box<Followed>),
}

impl Body {
    pub fn empty() -> Self {
        Self::Own(None)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Relayed(relayed) => relayed.poll_frame(cx),
            Self::Events(events) => {
                let event = ready!(events.poll_next(cx));
                Poll::Ready(event.map(|event| Ok(Frame::data(event))))
            }
            Self::Logged(body, entry) => {
                let frame = ready!(Pin::new(&mut **body).poll_frame(cx));
                if let Some(Ok(frame)) = &frame {
                    entry.count(frame.data_ref().map_or(0, Bytes::len));
                }
                Poll::Ready(frame)
            }
            Self::Traced(body, followed) => {
                let frame = ready!(Pin::new(&mut **body).poll_frame(cx));
                followed.count(&frame);
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Relayed(relayed) => relayed.frames.is_end_stream(),
            Self::Events(_) => false,
            Self::Logged(body, _) | Self::Traced(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, length)),
            Self::Relayed(relayed) => relayed.frames.size_hint(),
            Self::Events(_) => SizeHint::default(),
            Self::Logged(body, _) | Self::Traced(body, _) => body.size_hint(),
        }
    }
}

/// An instance's answer.
pub struct Relayed {
    frames: Incoming,
    silence: Stall,
    /// Given back when the body has ended well; dropped, and so closed, when it has not.
    lease: Option<Lease>,
    toll: Toll,
    _visit: Option<Visit>,
    open: OpenRequest,
}

impl Relayed {
    pub fn new(
        frames: Incoming,
        silence: Duration,
        lease: Lease,
        metrics: Metrics,
        visit: Option<Visit>,
        mut open: OpenRequest,
    ) -> Self {
        // Nobody has asked for it yet.
        open.hold_up();
        let meter = visit.as_ref().map(Visit::meter);
        let mut relayed = Self {
            frames,
            silence: Stall::new(silence),
            lease: Some(lease),
            toll: Toll {
                meter,
                metrics,
                outward: true,
                bytes: 0,
            },
            _visit: visit,
            open,
        };
        relayed.finish_if_ended();
        relayed
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.open.go_on();
        let Poll::Ready(frame) = Pin::new(&mut self.frames).poll_frame(cx) else {
            ready!(self.silence.poll_stalled(cx));
            self.lease = None;
            return Poll::Ready(Some(Err("the instance has fallen silent".into())));
        };
        self.silence.moved();
        match frame {
            Some(Ok(frame)) => {
                self.toll.count(&frame);
                self.finish_if_ended();
                self.open.hold_up();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(failed)) => {
                self.lease = None;
                Poll::Ready(Some(Err(failed.into())))
            }
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn finish_if_ended(&mut self) {
        if self.frames.is_end_stream() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

/// What an instance is sent.
pub enum Upload {
    Empty,
    /// What was read here, or made here.
    Whole(Option<Bytes>),
    Streamed(Box<Streamed>),
}

pub struct Streamed {
    /// What was read here already: goes first.
    start: Option<Bytes>,
    /// Met while it was read here: comes last, so that a torn body never looks whole.
    broken: Option<hyper::Error>,
    frames: Incoming,
    stall: Stall,
    toll: Toll,
}

impl Upload {
    /// `stall`: how long the client may send nothing.
    pub fn new(frames: Incoming, stall: Duration, metrics: Metrics) -> Self {
        if frames.is_end_stream() {
            return Self::Empty;
        }
        let toll = Toll {
            meter: None,
            metrics,
            outward: false,
            bytes: 0,
        };
        Self::Streamed(Box::new(Streamed {
            start: None,
            broken: None,
            frames,
            stall: Stall::new(stall),
            toll,
        }))
    }

    /// Reads all of a short body. `None` if it is longer than `limit`, slower than `patience` or breaks off; whatever
    /// became of it, it can be sent on as it was.
    pub async fn read_whole(&mut self, limit: usize, patience: Duration) -> Option<Bytes> {
        if let Self::Streamed(streamed) = self {
            let reading = tokio::time::timeout(patience, streamed.read_to_end(limit));
            if !reading.await.unwrap_or(false) {
                return None;
            }
            *self = Self::Whole(streamed.start.take());
        }
        match self {
            Self::Whole(Some(bytes)) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Its bytes count for this session from here on.
    pub fn count_for(&mut self, visit: Option<&Visit>) {
        if let Self::Streamed(streamed) = self {
            streamed.toll.meter = visit.map(Visit::meter);
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let streamed = match self.get_mut() {
            Self::Empty => return Poll::Ready(None),
            Self::Whole(bytes) => return Poll::Ready(bytes.take().map(|all| Ok(Frame::data(all)))),
            Self::Streamed(streamed) => streamed,
        };
        if let Some(start) = streamed.start.take() {
            return Poll::Ready(Some(Ok(Frame::data(start))));
        }
        if let Some(broken) = streamed.broken.take() {
            return Poll::Ready(Some(Err(broken.into())));
        }
        match Pin::new(&mut streamed.frames).poll_frame(cx) {
            Poll::Ready(frame) => {
                streamed.stall.moved();
                if let Some(Ok(frame)) = &frame {
                    streamed.toll.count(frame);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(streamed.stall.poll_stalled(cx));
                Poll::Ready(Some(Err("the client has stopped sending".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_none(),
            Self::Streamed(streamed) => {
                streamed.start.is_none()
                    && streamed.broken.is_none()
                    && streamed.frames.is_end_stream()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, length)),
            Self::Streamed(streamed) => streamed.size_hint(),
        }
    }
}

impl Streamed {
    /// False where it does not end within `limit`; what came is kept in `start`.
    async fn read_to_end(&mut self, limit: usize) -> bool {
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut self.frames).poll_frame(cx)).await;
            let frame = match next {
                None => return true,
                Some(Err(broken)) => {
                    self.broken = Some(broken);
                    return false;
                }
                Some(Ok(frame)) => frame,
            };
            self.toll.count(&frame);
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let joined = match self.start.take() {
                None => data,
                Some(start) => [start, data].concat().into(),
            };
            let is_short = joined.len() <= limit;
            self.start = Some(joined);
            if !is_short {
                return false;
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let start = self.start.as_ref().map_or(0, length);
        let rest = self.frames.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(start)) {
            hint.set_upper(upper);
        }
        hint.set_lower(rest.lower().saturating_add(start));
        hint
    }
}

/// Counts a body's bytes for its session as they pass, and for the gate at the end.
struct Toll {
    meter: Option<Arc<Meter>>,
    metrics: Metrics,
    outward: bool,
    bytes: u64,
}

impl Toll {
    fn count(&mut self, frame: &Frame<Bytes>) {
        let Some(data) = frame.data_ref() else { return };
        self.bytes = self.bytes.saturating_add(length(data));
        if let Some(meter) = &self.meter {
            add(
                if self.outward {
                    &meter.bytes_out
                } else {
                    &meter.bytes_in
                },
                length(data),
            );
        }
    }
}

impl Drop for Toll {
    fn drop(&mut self) {
        let (inward, outward) = if self.outward {
            (0, self.bytes)
        } else {
            (self.bytes, 0)
        };
        self.metrics.count_bytes(Protocol::Jupyter, inward, outward);
    }
}

fn add(counter: &AtomicU64, bytes: u64) {
    counter.fetch_add(bytes, Ordering::Relaxed);
}

fn length(data: &Bytes) -> u64 {
    u64::try_from(data.len()).unwrap_or(u64::MAX)
}
