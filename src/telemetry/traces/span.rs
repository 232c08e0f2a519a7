//! One span, and the span at work in a task.
//!
//! The span at work is OpenTelemetry's current context, which `around` puts in place for each step of a future and takes away
//! again: a thread that goes on with another task carries nothing over. Lines of the log find their trace there too.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::pin;
use std::time::SystemTime;

use http::HeaderMap;
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::parents;
use super::works::{ERROR_TYPE, Work};
use crate::telemetry::bounded::cut;

/// Of one value: names and addresses are shorter, and a stranger may send any.
const TEXT_BYTES_MAX: usize = 256;

/// Begins spans; it goes along with the context, so that parts can begin theirs.
#[derive(Clone)]
pub(super) struct Tracer(SdkTracer);

impl Tracer {
    pub fn new(sdk: SdkTracer) -> Self {
        Self(sdk)
    }

    /// The first span of a trace; `None` where this trace is not kept.
    pub fn root(&self, builder: SpanBuilder) -> Option<Span> {
        let span = self.start(builder, &Context::new());
        span.is_kept.then_some(span)
    }

    /// The same, or a part of somebody's trace. It is there even where it is not kept, as those who are asked next hear of that.
    pub fn request(&self, builder: SpanBuilder, parent: Option<SpanContext>) -> Span {
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        self.start(builder, &parent)
    }

    fn start(&self, builder: SpanBuilder, parent: &Context) -> Span {
        let span = self.0.build_with_context(builder, parent);
        let is_kept = span.is_recording();
        let context = match is_kept {
            true => Context::new().with_value(self.clone()).with_span(span),
            false => Context::new().with_remote_span_context(span.span_context().clone()),
        };
        Span {
            context: Some(context),
            is_kept,
            ended: None,
        }
    }
}

pub(super) fn builder(work: &'static Work) -> SpanBuilder {
    SpanBuilder::from_name(work.name).with_kind(work.role.clone())
}

pub(super) fn following(work: &'static Work, origin: SpanContext) -> SpanBuilder {
    builder(work).with_links(vec![Link::with_context(origin)])
}

/// Something under way, until it is dropped; or nothing, where no trace is on.
#[derive(Default)]
pub struct Span {
    context: Option<Context>,
    is_kept: bool,
    ended: Option<SystemTime>,
}

impl Span {
    /// Whether anything that is told here arrives anywhere.
    pub fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// A part of this one.
    pub fn child(&self, work: &'static Work) -> Span {
        self.context
            .as_ref()
            .map_or_else(Span::default, |context| part_of(context, builder(work)))
    }

    /// An attribute as text, cut at a length.
    pub fn tell(&self, attribute: &'static str, value: &dyn Display) {
        if let Some(context) = self.kept() {
            let value = bounded(value);
            context
                .span()
                .set_attribute(KeyValue::new(attribute, value));
        }
    }

    /// An attribute as a number.
    pub fn count(&self, attribute: &'static str, number: u64) {
        if let Some(context) = self.kept() {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            context
                .span()
                .set_attribute(KeyValue::new(attribute, number));
        }
    }

    /// It came to nothing: `kind` is one of a few words, `why` is for a person.
    pub fn fail(&self, kind: &str, why: &dyn Display) {
        if let Some(context) = self.kept() {
            let span = context.span();
            span.set_attribute(KeyValue::new(ERROR_TYPE, kind.to_owned()));
            span.set_status(Status::error(bounded(why)));
        }
    }

    /// Another name than that of its work, as conventions want it for some.
    pub fn rename(&self, name: String) {
        if let Some(context) = self.kept() {
            context.span().update_name(name);
        }
    }

    /// It has ended at this moment, whenever it is dropped.
    pub fn end_at(&mut self, at: SystemTime) {
        self.ended = Some(at);
    }

    /// As if it had never begun; for a first span none of whose parts has ended yet.
    pub fn forget(&self) {
        if let Some(context) = self.kept() {
            // The queue takes no span without a name.
            context.span().update_name("");
            context.span().end();
        }
    }

    /// What this span is made of its future: the span at work in all of its steps.
    pub async fn around<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let _at_work = self.context.clone().map(Context::attach);
            future.as_mut().poll(cx)
        })
        .await
    }

    /// Within `work` this is the span at work.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _at_work = self.context.clone().map(Context::attach);
        work()
    }

    /// Tells whoever is asked next that this is where it comes from, in place of what these headers said (W3C Trace Context).
    /// Without a trace they are left as they are.
    pub fn continue_in(&self, headers: &mut HeaderMap) {
        if let Some(context) = &self.context {
            parents::write(context.span().span_context(), headers);
        }
    }

    fn kept(&self) -> Option<&Context> {
        self.context.as_ref().filter(|_| self.is_kept)
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(context) = self.kept() {
            let at = self.ended.unwrap_or_else(SystemTime::now);
            context.span().end_with_timestamp(at);
        }
    }
}

/// A part of the span at work.
pub fn child(work: &'static Work) -> Span {
    let parent = Context::map_current(|context| context.has_active_span().then(|| context.clone()));
    parent.map_or_else(Span::default, |parent| part_of(&parent, builder(work)))
}

/// A part of the span at work that is over: it began then, and ends now.
pub fn past(work: &'static Work, began: SystemTime) -> Span {
    let parent = Context::map_current(|context| context.has_active_span().then(|| context.clone()));
    let builder = builder(work).with_start_time(began);
    parent.map_or_else(Span::default, |parent| part_of(&parent, builder))
}

/// An attribute of the span at work.
pub fn tell(attribute: &'static str, value: &dyn Display) {
    Context::map_current(|context| {
        let span = context.span();
        if span.is_recording() {
            span.set_attribute(KeyValue::new(attribute, bounded(value)));
        }
    });
}

/// Something that happened in the span at work.
pub fn note(event: &'static str, tells: &[(&'static str, &dyn Display)]) {
    Context::map_current(|context| {
        let span = context.span();
        if span.is_recording() {
            let tells = tells
                .iter()
                .map(|(name, value)| KeyValue::new(*name, bounded(value)));
            span.add_event(event, tells.collect());
        }
    });
}

/// Whether there is a span at work that is kept.
pub fn is_kept() -> bool {
    Context::map_current(|context| context.span().span_context().is_sampled())
}

/// Of the span at work, if it is kept.
pub fn trace_id() -> Option<String> {
    at_work().map(|span| span.trace_id().to_string())
}

/// The span at work, if it is kept.
pub(in crate::telemetry) fn at_work() -> Option<SpanContext> {
    Context::map_current(|context| {
        let span = context.span();
        span.is_recording().then(|| span.span_context().clone())
    })
}

fn part_of(parent: &Context, builder: SpanBuilder) -> Span {
    let Some(Tracer(tracer)) = parent.get::<Tracer>() else {
        // A trace that is not kept: who is asked next hears of it as it is.
        return Span {
            context: Some(parent.clone()),
            ..Span::default()
        };
    };
    let span = tracer.build_with_context(builder, parent);
    Span {
        is_kept: span.is_recording(),
        context: Some(parent.with_span(span)),
        ended: None,
    }
}

fn bounded(value: &dyn Display) -> String {
    cut(value, TEXT_BYTES_MAX)
}
