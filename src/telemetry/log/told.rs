//! One event of the log, taken apart: when, how grave, from where, what, and its fields, ready for any form.
//!
//! Values are cut at a length, so that no client makes a line of any size. They may hold anything: making them harmless is
//! the form's business.

use std::fmt;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::telemetry::bounded::cut;
use crate::telemetry::traces;

/// Of a message or of one value; what is cut ends in an ellipsis.
const VALUE_BYTES_MAX: usize = 8192;

pub(super) struct Told {
    pub time: Timestamp,
    pub level: Level,
    pub target: &'static str,
    pub message: String,
    pub fields: Vec<(&'static str, Value)>,
}

pub(super) enum Value {
    Text(String),
    /// A number, true or false, as it is written everywhere.
    Bare(String),
}

impl Told {
    pub fn of(event: &Event<'_>) -> Self {
        let mut told = Self {
            time: Timestamp::now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut told);
        if let Some(span) = traces::at_work() {
            told.put("trace_id", span.trace_id());
            told.put("span_id", span.span_id());
        }
        told
    }

    fn put(&mut self, name: &'static str, value: impl fmt::Display) {
        self.fields.push((name, Value::Text(value.to_string())));
    }

    fn bare(&mut self, field: &Field, value: impl ToString) {
        let value = Value::Bare(value.to_string());
        self.fields.push((field.name(), value));
    }

    fn text(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            name => self.fields.push((name, Value::Text(text))),
        }
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = cut(format_args!("{value:?}"), VALUE_BYTES_MAX);
        self.text(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, cut(value, VALUE_BYTES_MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.bare(field, value),
            false => self.text(field, value.to_string()),
        }
    }
}
