//! The lines above the lists: the gate, and each pool with what is done about it next. Pure.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::super::table::span;
use super::super::looks::{Tone, tone_of};
use super::super::model::Model;
use super::super::picture::Standing;
use super::{reversed, width};
use crate::admin::count_states;
use crate::pool::{Intent, PoolView};

/// Cells of a pool's bar of seats.
const BAR: u32 = 16;

/// At most so many lines of so many columns.
pub fn lines(model: &Model, columns: u16, lines_max: u16) -> Vec<Line<'static>> {
    let mut lines = vec![gate(model, columns)];
    let pools = &model.picture.status.pools;
    let mut hidden = 0_usize;
    for pool in pools {
        let of_pool = of_pool(model, pool);
        let room = usize::from(lines_max.saturating_sub(1));
        match lines.len().saturating_add(of_pool.len()) <= room.max(3) {
            true => lines.extend(of_pool),
            false => hidden = hidden.saturating_add(1),
        }
    }
    if hidden > 0 {
        let text =
            format!("and {hidden} more pools: make the window higher, or see poolgate status");
        lines.push(Line::styled(text, model.looks.style(Tone::Faint)));
    }
    lines
}

/// Which gate it is and how it is; or that it is not there.
fn gate(model: &Model, columns: u16) -> Line<'static> {
    let (looks, status) = (model.looks, &model.picture.status);
    let clock = model.clock(model.now);
    let mut spans = vec![Span::styled(
        format!("poolgate {}", looks.text(&status.version)),
        looks.style(Tone::Heading),
    )];
    let mut say = |text: String, tone| {
        spans.push(Span::raw(looks.between()));
        spans.push(Span::styled(text, looks.style(tone)));
    };
    if model.is_away {
        let seen = model.clock(model.picture.at);
        let text = format!("the gate does not answer, trying again (last seen {seen})");
        spans.push(Span::raw(looks.between()));
        spans.push(Span::styled(text, reversed(looks.style(Tone::Bad))));
    } else {
        say(
            format!("up {}", span(Duration::from_secs(status.uptime_s))),
            Tone::Plain,
        );
        match &status.readiness.reason {
            None => say("ready".to_owned(), Tone::Good),
            Some(why) => say(format!("not ready: {}", looks.text(why)), Tone::Bad),
        }
        let (text, tone) = config(model);
        say(text, tone);
        if status.audit_failing {
            say("the audit log cannot be written".to_owned(), Tone::Bad);
        }
        if !model.me.may_act() {
            say(format!("{}: read-only", model.me.role.name()), Tone::Busy);
        }
    }
    let mut line = Line::from(spans);
    let taken = u16::try_from(line.width()).unwrap_or(u16::MAX);
    let clock_width = width(&clock);
    let gap = columns.saturating_sub(taken).saturating_sub(clock_width);
    if gap > 0 {
        line.push_span(Span::raw(" ".repeat(usize::from(gap))));
        line.push_span(Span::raw(clock));
    }
    line
}

/// Whether the gate works by what stands in its file.
fn config(model: &Model) -> (String, Tone) {
    let config = &model.picture.status.config;
    let file = config.written.file.file_name().unwrap_or_default();
    let file = model.looks.text(&file.to_string_lossy());
    if let Some(refused) = &config.refused {
        let at = model.clock(refused.at);
        return (format!("{file} was refused at {at}"), Tone::Bad);
    }
    match &model.picture.config {
        Standing::AsWritten => (format!("config as in {file}"), Tone::Plain),
        Standing::Differs(1) => (format!("1 key differs from {file}"), Tone::Busy),
        Standing::Differs(keys) => (format!("{keys} keys differ from {file}"), Tone::Busy),
        Standing::Faulty => (format!("{file} has faults now"), Tone::Bad),
        Standing::Unknown(why) => (model.looks.text(why), Tone::Faint),
    }
}

fn of_pool(model: &Model, pool: &PoolView) -> Vec<Line<'static>> {
    let looks = model.looks;
    let mut spans = vec![Span::styled(
        looks.text(&pool.name),
        looks.style(Tone::Heading),
    )];
    let of_pool = model.picture.instances.iter();
    let of_pool = of_pool.filter(|view| view.pool == pool.name);
    let states = count_states(pool, of_pool);
    if states.is_empty() {
        spans.push(Span::raw("  no machine"));
    }
    for (at, (state, count)) in states.iter().enumerate() {
        let before = if at == 0 { "  " } else { ", " };
        spans.push(Span::raw(before));
        let style = looks.style(tone_of(*state));
        spans.push(Span::styled(format!("{count} {}", state.name()), style));
    }
    let waiting = model.picture.waiters.iter();
    let waiting = waiting.filter(|waiter| waiter.pool == pool.name).count();
    let (load, capacity) = (pool.load, pool.capacity);
    let between = looks.between();
    let waits = format!("{between}{waiting} waiting");
    spans.push(match waiting {
        0 => Span::raw(waits),
        _ => Span::styled(waits, looks.style(Tone::Busy)),
    });
    let seats = format!(
        "{between}{load}/{capacity} seats used, {} free ",
        pool.headroom
    );
    spans.push(Span::raw(seats));
    // Last: where it has no room, nothing is lost that is not said in figures.
    spans.push(Span::raw(bar(load, capacity)));
    let mut lines = vec![Line::from(spans)];
    if let Some(intent) = &pool.intent {
        let (text, style) = next(model, intent);
        lines.push(Line::styled(format!("  {text}"), style));
    }
    lines
}

/// What is being done about the pool's size, or is next, and why.
fn next(model: &Model, intent: &Intent) -> (String, Style) {
    let looks = model.looks;
    if let Some(why) = &intent.frozen {
        let text = format!("frozen: {}", looks.text(why));
        return (text, looks.style(Tone::Bad));
    }
    if !intent.steps.is_empty() {
        let steps: Vec<_> = intent.steps.iter().map(|step| looks.text(step)).collect();
        return (format!("now: {}", steps.join("; ")), looks.style(Tone::New));
    }
    let text = match &intent.next {
        Some(next) => {
            let (at, step) = (model.clock(next.at), looks.text(&next.step));
            format!("next: at {at} {step}")
        }
        None => {
            let notes: Vec<_> = intent.notes.iter().map(|note| looks.text(note)).collect();
            let why = if notes.is_empty() { "" } else { ": " };
            format!("next: nothing within an hour{why}{}", notes.join("; "))
        }
    };
    (text, looks.style(Tone::Plain))
}

fn bar(load: u32, capacity: u32) -> String {
    let share = u64::from(load.min(capacity)) * u64::from(BAR);
    let full = share.div_ceil(u64::from(capacity.max(1)));
    let full = usize::try_from(full).unwrap_or(0);
    let whole = usize::try_from(BAR).unwrap_or(0);
    format!("[{:<whole$}]", "|".repeat(full))
}
