//! The forms of a line: text for people, logfmt and JSON for programs. Pure.
//!
//! A line is one line whatever is in it: control characters and those that turn the direction of text are escaped, so that
//! nobody forges a second line or hides a part of one.

use std::fmt::Write;

use tracing::Level;

use super::told::{Told, Value};
use crate::config::LogFormat;

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// For a terminal: with colours.
    Terminal,
    /// For a file or a pipe.
    Plain,
    /// For a daemon that adds the time itself.
    Untimed,
}

/// Without a line end.
pub(super) fn render(told: &Told, format: LogFormat, look: Look) -> String {
    let mut line = String::with_capacity(160);
    match format {
        LogFormat::Text => text(&mut line, told, look),
        LogFormat::Logfmt => logfmt(&mut line, told, look),
        LogFormat::Json => json(&mut line, told, look),
    }
    line
}

/// `2026-11-29T08:24:18.123456Z  INFO poolgate::ssh::front: a session began user=alice`
fn text(line: &mut String, told: &Told, look: Look) {
    let colour = |code: &'static str| if look == Look::Terminal { code } else { "" };
    let (dim, plain) = (colour("\x1b[2m"), colour("\x1b[0m"));
    if look != Look::Untimed {
        let _ = write!(line, "{dim}{:.6}{plain} ", told.time);
    }
    let level = colour(colour_of(told.level));
    let _ = write!(line, "{level}{:>5}{plain} ", told.level.as_str());
    let _ = write!(line, "{dim}{}:{plain} ", told.target);
    escape(line, &told.message, Quotes::Kept);
    for (name, value) in &told.fields {
        let _ = write!(line, " {dim}{name}={plain}");
        word(line, value);
    }
}

fn colour_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    }
}

/// `timestamp=2026-11-29T08:24:18.123456Z level=info target=poolgate::ssh::front message="a session began" user=alice`
fn logfmt(line: &mut String, told: &Told, look: Look) {
    if look != Look::Untimed {
        let _ = write!(line, "timestamp={:.6} ", told.time);
    }
    let level = level_word(told.level);
    let _ = write!(line, "level={level} target={} message=", told.target);
    quoted(line, &told.message);
    for (name, value) in &told.fields {
        let _ = write!(line, " {name}=");
        word(line, value);
    }
}

/// `{"timestamp":"...","level":"INFO","message":"a session began","user":"alice","target":"poolgate::ssh::front"}`
fn json(line: &mut String, told: &Told, look: Look) {
    line.push('{');
    if look != Look::Untimed {
        let _ = write!(line, "\"timestamp\":\"{:.6}\",", told.time);
    }
    let _ = write!(line, "\"level\":\"{}\",\"message\":", told.level);
    quoted(line, &told.message);
    for (name, value) in &told.fields {
        let _ = write!(line, ",\"{name}\":");
        match value {
            Value::Text(text) => quoted(line, text),
            Value::Bare(text) => line.push_str(text),
        }
    }
    let _ = write!(line, ",\"target\":\"{}\"}}", told.target);
}

fn level_word(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// In quotes only where it would not be one word.
fn word(line: &mut String, value: &Value) {
    let is_plain = |text: &str| {
        let is_plain = |c: char| !c.is_whitespace() && !"\"=\\".contains(c) && !is_harmful(c);
        !text.is_empty() && text.chars().all(is_plain)
    };
    match value {
        Value::Bare(text) => line.push_str(text),
        Value::Text(text) if is_plain(text) => line.push_str(text),
        Value::Text(text) => quoted(line, text),
    }
}

/// As JSON has it, which readers of logfmt understand as well.
fn quoted(line: &mut String, text: &str) {
    line.push('"');
    escape(line, text, Quotes::Escaped);
    line.push('"');
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    Kept,
    Escaped,
}

fn escape(line: &mut String, text: &str, quotes: Quotes) {
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '"' | '\\' if quotes == Quotes::Escaped => {
                line.push('\\');
                line.push(c);
            }
            // All of them are below U+10000, so that four digits do.
            c if is_harmful(c) => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

/// Characters that end a line, steer a terminal, or turn the direction of text.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
