//! What a collector is told and what its answer means (OTLP specification 1.9, "OTLP/HTTP"). Pure.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

use crate::config::TracesConfig;
use crate::net::web_client::WebFault;
use crate::telemetry::syslog::host_name;

/// Of what a collector says about its refusal.
const WHY_LETTERS_MAX: usize = 200;

/// What became of a message.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// All but so many spans, and why those.
    Taken { refused: u64, why: String },
    /// It would not be taken another time either.
    Refused(String),
    /// After so long at least, if the collector says.
    Later {
        why: String,
        asked: Option<Duration>,
    },
}

impl Verdict {
    pub fn of(answer: &Response<Bytes>) -> Self {
        let status = answer.status();
        if status.is_success() {
            return Self::taken(answer.body());
        }
        let remark = match status.as_u16() {
            300..=399 => ": redirects are not followed, write the new address into traces.endpoint",
            401 | 403 => ": is what it asks for in traces.headers_file?",
            404 | 405 => ": is this its address for traces by OTLP/HTTP?",
            _ => "",
        };
        let why = format!("it answers {status}{remark}");
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Self::Later {
                why,
                asked: retry_after(answer.headers()),
            },
            _ => Self::Refused(why),
        }
    }

    pub fn of_fault(fault: &WebFault) -> Self {
        match fault {
            WebFault::Address | WebFault::Forbidden(_) => Self::Refused(fault.to_string()),
            fault => Self::Later {
                why: fault.to_string(),
                asked: None,
            },
        }
    }

    /// What cannot be read is a success without words: some collectors answer `{}` or nothing.
    fn taken(body: &[u8]) -> Self {
        let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let refused = u64::try_from(partial.rejected_spans).unwrap_or(0);
        let said: String = partial
            .error_message
            .chars()
            .take(WHY_LETTERS_MAX)
            .collect();
        Self::Taken {
            refused,
            why: format!("it refuses {refused} spans: {said}"),
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    Some(Duration::from_secs(seconds.parse().ok()?))
}

pub(super) fn body(spans: Vec<SpanData>, resource: &ResourceAttributesWithSchema) -> Bytes {
    let message = ExportTraceServiceRequest {
        resource_spans: group_spans_by_resource_and_scope(spans, resource),
    };
    message.encode_to_vec().into()
}

/// Who speaks. Nothing of it is read from the environment.
pub(super) fn resource(config: &TracesConfig) -> Resource {
    let own = [
        KeyValue::new("service.name", config.service_name.clone()),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance_id()),
        KeyValue::new("host.name", host_name()),
        KeyValue::new("process.pid", i64::from(std::process::id())),
    ];
    let more = config.resource_attributes.iter();
    let more = more.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    Resource::builder_empty()
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_attributes(own)
        .with_attributes(more)
        .build()
}

/// Tells this process from the one before it and from other gates: a random UUID (RFC 9562, version 4).
fn instance_id() -> String {
    static ID: OnceLock<u128> = OnceLock::new();
    let id = *ID.get_or_init(|| {
        let mut bytes = [0; 16];
        // Without randomness the process could not have begun; its number then has to do.
        let drawn = aws_lc_rs::rand::fill(&mut bytes).is_ok();
        match drawn {
            true => u128::from_be_bytes(bytes),
            false => u128::from(std::process::id()),
        }
    });
    let id = id & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{id:032x}");
    let mut text = String::with_capacity(36);
    for (at, letter) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    fn answer(status: u16, lines: &[(&'static str, &str)], body: &[u8]) -> Verdict {
        let mut answer = Response::new(Bytes::copy_from_slice(body));
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in lines {
            answer.headers_mut().insert(*name, value.parse().unwrap());
        }
        Verdict::of(&answer)
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [429, 502, 503, 504] {
            let verdict = answer(status, &[("retry-after", "7")], b"");
            let Verdict::Later { asked, .. } = verdict else {
                panic!("{status}: {verdict:?}");
            };
            assert_eq!(asked, Some(Duration::from_secs(7)));
        }
        for status in [302, 400, 401, 404, 413, 500, 501] {
            let verdict = answer(status, &[], b"");
            assert!(
                matches!(verdict, Verdict::Refused(_)),
                "{status}: {verdict:?}"
            );
        }
    }

    #[test]
    fn a_success_may_refuse_some_and_may_say_nothing_sensible() {
        let all = |body: &[u8]| matches!(answer(200, &[], body), Verdict::Taken { refused: 0, .. });
        assert!(all(b"") && all(b"{}") && all(b"\xff\xff\xff"));
        let partial = ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 3,
                error_message: "too old ".repeat(100),
            }),
        };
        let Verdict::Taken { refused: 3, why } = answer(200, &[], &partial.encode_to_vec()) else {
            panic!("nothing refused");
        };
        assert!(
            why.starts_with("it refuses 3 spans: too old") && why.len() < 300,
            "{why}"
        );
    }

    #[test]
    fn an_instance_is_told_by_a_uuid() {
        let id = instance_id();
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_eq!(id, instance_id());
    }
}
