//! Traces (OpenTelemetry): where the time of a login or a request goes, as spans that a collector is sent.
//!
//! A `Span` is begun here where something begins; within it, `child` is all that its parts need, as the span at work is known by
//! task (`Span::around`). Off, which is the default, `begin` reads one flag and everything else is nothing. Nobody ever waits
//! for a collector: spans go into a queue with a bound, and what finds no room is counted. `works` has every name, `export` is
//! the one part that speaks to others.

pub mod export;
mod parents;
mod queue;
mod span;
#[cfg(test)]
mod tests;
pub mod works;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, SpanData, SpanLimits};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::queue::Queue;
pub(super) use self::span::at_work;
pub use self::span::{Span, child, is_kept, note, past, tell, trace_id};
use self::span::{Tracer, builder, following};
use self::works::{REQUEST, Work};
use super::metrics::Metrics;
use crate::config::TracesConfig;

/// Of one span. Each of ours has fewer attributes; events are failed tries and the like, which a stranger can make many of.
const LIMITS: SpanLimits = SpanLimits {
    max_events_per_span: 32,
    max_attributes_per_span: 32,
    max_links_per_span: 1,
    max_attributes_per_event: 8,
    max_attributes_per_link: 0,
};

/// Begins spans, or nothing while no collector is named; cheap to clone.
#[derive(Clone, Default)]
pub struct Traces(Arc<Shared>);

#[derive(Default)]
struct Shared {
    is_on: AtomicBool,
    live: RwLock<Option<Arc<Live>>>,
    exporters: TaskTracker,
    /// What is queued goes out at once, and then nothing more.
    closing: CancellationToken,
}

/// What spans are begun with, as one config says.
struct Live {
    config: TracesConfig,
    tracer: Tracer,
    /// Requests are many, and have a share of their own.
    of_requests: Tracer,
    always: Tracer,
}

impl Traces {
    /// The first span of a trace.
    pub fn begin(&self, work: &'static Work) -> Span {
        let span = self.live().and_then(|live| live.tracer.root(builder(work)));
        span.unwrap_or_default()
    }

    /// The same for something that has begun already.
    pub fn begin_at(&self, work: &'static Work, began: SystemTime) -> Span {
        let begin = |live: Arc<Live>| live.tracer.root(builder(work).with_start_time(began));
        self.live().and_then(begin).unwrap_or_default()
    }

    /// A trace of its own for what follows from the span at work and outlives it by far; it is kept where that one is.
    pub fn follow(&self, work: &'static Work) -> Span {
        let live = self.live().zip(at_work());
        let begin = |(live, origin): (Arc<Live>, _)| live.always.root(following(work, origin));
        live.and_then(begin).unwrap_or_default()
    }

    /// A browser's request; `None` where no traces are on. Its own trace is continued where the peer is trusted.
    pub fn begin_request(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Span> {
        let live = self.live()?;
        let is_trusted = live.config.trusts(peer);
        let parent = is_trusted.then(|| parents::read(headers)).flatten();
        Some(live.of_requests.request(builder(&REQUEST), parent))
    }

    /// Sends what is left, for at most so long, and begins nothing more.
    pub async fn close(&self, limit: Duration) {
        self.turn_off();
        self.0.closing.cancel();
        self.0.exporters.close();
        if tokio::time::timeout(limit, self.0.exporters.wait())
            .await
            .is_err()
        {
            tracing::warn!("the last traces could not be sent in time");
        }
    }

    fn exporters(&self) -> &TaskTracker {
        &self.0.exporters
    }

    fn closing(&self) -> CancellationToken {
        self.0.closing.clone()
    }

    fn live(&self) -> Option<Arc<Live>> {
        if !self.0.is_on.load(Ordering::Relaxed) {
            return None;
        }
        let live = self.0.live.read();
        live.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From here on spans are begun so, and come out of the queue that is returned. Those that were begun before go where
    /// they belong.
    fn turn_on(
        &self,
        config: TracesConfig,
        resource: &Resource,
        metrics: &Metrics,
    ) -> mpsc::Receiver<SpanData> {
        let (queue, spans) = mpsc::channel(config.queue_max);
        let queue = Queue::new(queue, metrics.clone());
        let tracer = |ratio: f64| {
            let provider = SdkTracerProvider::builder()
                .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                    ratio,
                ))))
                .with_span_limits(LIMITS)
                .with_resource(resource.clone())
                .with_span_processor(queue.clone())
                .build();
            Tracer::new(provider.tracer(works::INSTRUMENTATION))
        };
        let live = Live {
            tracer: tracer(config.sample_ratio),
            of_requests: tracer(config.request_sample_ratio),
            always: tracer(1.0),
            config,
        };
        self.set(Some(Arc::new(live)));
        spans
    }

    fn turn_off(&self) {
        self.set(None);
    }

    fn set(&self, live: Option<Arc<Live>>) {
        let is_on = live.is_some();
        let before = {
            let current = self.0.live.write();
            let mut current = current.unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, live)
        };
        self.0.is_on.store(is_on, Ordering::Relaxed);
        drop(before);
    }
}
