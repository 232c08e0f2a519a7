//! Spans on their way to a collector: OTLP over HTTP with protobuf, a batch at a time, by the client that webhooks have.
//!
//! A collector that is away, slow or answers rubbish costs the gate a task that waits and a line of the log every few minutes:
//! a batch is tried a few times, ever later, and given up; meanwhile the queue fills and what finds no room in it is counted.
//! What is said and what an answer means is in `message`.

mod message;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::message::{Verdict, body, resource};
use super::Traces;
use crate::config::TracesConfig;
use crate::config::secret::Secret;
use crate::net::web_client::{Limits, WebClient};
use crate::telemetry::metrics::Metrics;

/// Spans of one message: what OpenTelemetry's own exporters send at most.
const BATCH_MAX: usize = 512;
/// A batch is given up after so many tries; the waits between them are half a minute, and each try may take `timeout`.
const TRIES_MAX: u32 = 6;
const WAIT_MIN: Duration = Duration::from_secs(1);
/// Also what a collector may ask for at most (`Retry-After`).
const WAIT_MAX: Duration = Duration::from_secs(60);
/// An answer is empty, or says in a sentence what was wrong.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Between two lines of the log about the same trouble.
const TELL_INTERVAL: Duration = Duration::from_secs(300);

/// Everything that can be wrong is read; dropped, it changes nothing.
pub struct Exporter {
    config: TracesConfig,
    resource: Resource,
    collector: Collector,
}

impl Exporter {
    /// # Errors
    /// One line that names the file at fault.
    pub fn of(config: &TracesConfig) -> Result<Self, String> {
        Ok(Self {
            config: config.clone(),
            resource: resource(config),
            collector: Collector::of(config)?,
        })
    }
}

/// From here on spans are begun as this says, or none are.
pub fn change(traces: &Traces, next: Option<Exporter>, metrics: &Metrics) {
    let Some(Exporter {
        config,
        resource,
        collector,
    }) = next
    else {
        return traces.turn_off();
    };
    let interval = config.interval;
    let spans = traces.turn_on(config, &resource, metrics);
    let exporting = Exporting {
        spans,
        interval,
        resource: (&resource).into(),
        collector,
        trouble: Trouble::default(),
        metrics: metrics.clone(),
        closing: traces.closing(),
    };
    traces.exporters().spawn(exporting.run());
}

/// Whether the collector takes what it would be sent; its answer in a word.
///
/// # Errors
/// One line: why not.
pub async fn examine(config: &TracesConfig) -> Result<String, String> {
    let collector = Collector::of(config)?;
    // Who speaks, and no span.
    let nothing = body(Vec::new(), &(&resource(config)).into());
    match collector.ask(nothing).await {
        Verdict::Taken { refused: 0, .. } => Ok("takes traces".to_owned()),
        Verdict::Taken { why, .. } | Verdict::Refused(why) | Verdict::Later { why, .. } => Err(why),
    }
}

/// Where spans are sent, and with what.
struct Collector {
    uri: Uri,
    headers: HeaderMap,
    client: WebClient,
}

impl Collector {
    fn of(config: &TracesConfig) -> Result<Self, String> {
        let uri = config.endpoint.parse::<Uri>();
        let uri = uri.map_err(|error| format!("traces.endpoint: {error}"))?;
        let limits = Limits {
            time: config.timeout,
            body_bytes: ANSWER_BYTES_MAX,
        };
        let headers = headers(config)?;
        let client = WebClient::guarded(limits, config.ca_file.as_deref());
        let client = client.map_err(|error| format!("traces.ca_file: {error}"))?;
        let prepared = client.prepare_for(&uri);
        prepared.map_err(|error| format!("traces.endpoint: {error}"))?;
        Ok(Self {
            uri,
            headers,
            client,
        })
    }

    async fn ask(&self, body: Bytes) -> Verdict {
        let mut request = Request::new(body);
        *request.method_mut() = http::Method::POST;
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        match self.client.send(request).await {
            Ok(answer) => Verdict::of(&answer),
            Err(fault) => Verdict::of_fault(&fault),
        }
    }
}

/// What goes with each message. No fault names a value: it may be a secret.
fn headers(config: &TracesConfig) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::from_static("application/x-protobuf");
    headers.insert(header::CONTENT_TYPE, kind);
    let Some(path) = &config.headers_file else {
        return Ok(headers);
    };
    let file = path.display();
    let secret = Secret::read(path);
    let secret = secret.map_err(|error| format!("traces.headers_file: {file}: {error}"))?;
    for (at, line) in secret.expose().split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().map(<[u8]>::trim_ascii_end);
        let name = name.and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().map(<[u8]>::trim_ascii_start);
        let value = value.and_then(|value| HeaderValue::from_bytes(value).ok());
        let (Some(name), Some(mut value)) = (name, value) else {
            return Err(format!(
                "traces.headers_file: line {} of {file} is no header; write lines such as \"authorization: Bearer ...\"",
                at + 1
            ));
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Sends what comes out of the queue until nobody puts anything in.
struct Exporting {
    spans: mpsc::Receiver<SpanData>,
    interval: Duration,
    resource: ResourceAttributesWithSchema,
    collector: Collector,
    trouble: Trouble,
    metrics: Metrics,
    closing: CancellationToken,
}

impl Exporting {
    async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let body = body(batch, &self.resource);
            self.deliver(body, count).await;
        }
    }

    /// The next spans, once there are many or the first of them has waited long enough; `None` when there will be no more.
    async fn gather(&mut self) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        let first = tokio::select! {
            first = self.spans.recv() => first?,
            () = self.closing.cancelled() => self.spans.try_recv().ok()?,
        };
        batch.push(first);
        let filled = async {
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                if self.spans.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = filled => {}
            () = tokio::time::sleep(self.interval) => {}
            () = self.closing.cancelled() => {}
        }
        Some(batch)
    }

    /// Tries until the batch is taken, refused for good, or tried often enough.
    async fn deliver(&mut self, body: Bytes, count: u64) {
        let mut wait = WAIT_MIN;
        for tries in 1.. {
            match self.collector.ask(body.clone()).await {
                Verdict::Taken { refused: 0, .. } => {
                    self.metrics.count_spans("sent", count);
                    return self.trouble.over();
                }
                Verdict::Taken { refused, why } => {
                    let refused = refused.min(count);
                    self.metrics.count_spans("sent", count - refused);
                    return self.lose("refused", refused, &why);
                }
                Verdict::Refused(why) => return self.lose("refused", count, &why),
                Verdict::Later { why, .. } if tries >= TRIES_MAX || self.closing.is_cancelled() => {
                    return self.lose("unreachable", count, &why);
                }
                Verdict::Later { why, asked } => {
                    self.trouble.tell(&why);
                    let asked = asked.unwrap_or(wait).clamp(wait, WAIT_MAX);
                    tokio::select! {
                        () = tokio::time::sleep(asked) => {}
                        () = self.closing.cancelled() => {}
                    }
                    wait = WAIT_MAX.min(wait * 2);
                }
            }
        }
    }

    fn lose(&mut self, outcome: &'static str, count: u64, why: &str) {
        self.metrics.count_spans(outcome, count);
        self.trouble.tell(why);
    }
}

/// What the log has been told, which a collector that is away for a night must not fill.
#[derive(Default)]
struct Trouble {
    told: Option<Instant>,
}

impl Trouble {
    fn tell(&mut self, why: &str) {
        let is_due = |told: Instant| told.elapsed() >= TELL_INTERVAL;
        if self.told.is_none_or(is_due) {
            tracing::warn!(
                reason = why,
                "traces do not reach their collector; poolgate_trace_spans_total counts those that are lost"
            );
            self.told = Some(Instant::now());
        }
    }

    fn over(&mut self) {
        if self.told.take().is_some() {
            tracing::info!("traces reach their collector again");
        }
    }
}
