//! Where a request comes from and whom it goes to, by the headers of W3C Trace Context: `traceparent` and `tracestate`.
//!
//! Whether a peer is believed is not decided here. What is written twice, or is longer than the specification allows, counts
//! as not written.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// "Vendors SHOULD propagate at least 512 characters of a combined header" (Trace Context, section 3.3.1.5).
const VALUE_BYTES_MAX: usize = 512;

pub(super) fn read(headers: &HeaderMap) -> Option<SpanContext> {
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Read(headers));
    let parent = context.span().span_context().clone();
    parent.is_valid().then_some(parent)
}

pub(super) fn write(span: &SpanContext, headers: &mut HeaderMap) {
    headers.remove(TRACEPARENT);
    headers.remove(TRACESTATE);
    let context = Context::new().with_remote_span_context(span.clone());
    TraceContextPropagator::new().inject_context(&context, &mut Written(headers));
}

struct Read<'a>(&'a HeaderMap);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.0.get_all(key).iter();
        let value = values.next()?.to_str().ok()?;
        let is_one = values.next().is_none() && value.len() <= VALUE_BYTES_MAX;
        is_one.then_some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Written<'a>(&'a mut HeaderMap);

impl Injector for Written<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::try_from(key);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(&value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_parent_is_read_and_passed_on() {
        let parent = read(&headers(&[(TRACEPARENT, PARENT), (TRACESTATE, "a=b")])).unwrap();
        assert!(parent.is_sampled() && parent.is_remote());
        let mut sent = headers(&[(TRACEPARENT, "forged"), (TRACESTATE, "x=y"), ("host", "h")]);
        write(&parent, &mut sent);
        assert_eq!(
            sent,
            headers(&[("host", "h"), (TRACEPARENT, PARENT), (TRACESTATE, "a=b")])
        );
    }

    #[test]
    fn what_is_no_parent_is_none() {
        let long = format!("a={}", "b".repeat(600));
        for wrong in [
            "",
            "00-00-00-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-x",
        ] {
            assert_eq!(read(&headers(&[(TRACEPARENT, wrong)])), None, "{wrong}");
        }
        assert_eq!(
            read(&headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)])),
            None
        );
        let parent = read(&headers(&[(TRACEPARENT, PARENT), (TRACESTATE, &long)])).unwrap();
        assert_eq!(parent.trace_state().header(), "");
    }
}
