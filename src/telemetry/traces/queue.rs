//! Where spans wait for the exporter: a bound, and nobody who waits for room.

use std::fmt;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::mpsc;

use crate::telemetry::metrics::Metrics;

/// Takes spans as they end.
#[derive(Clone)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    metrics: Metrics,
}

impl Queue {
    pub fn new(spans: mpsc::Sender<SpanData>, metrics: Metrics) -> Self {
        Self { spans, metrics }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let is_forgotten = span.name.is_empty();
        if !is_forgotten && self.spans.try_send(span).is_err() {
            self.metrics.count_spans("queue-full", 1);
        }
    }

    /// What is queued is the exporter's business, which has its own ways to be told.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
