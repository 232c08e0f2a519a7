//! Draws a model: header, lists, the line of keys, and what lies over them. Pure: the same model gives the same screen.

mod header;
mod lists;
mod overlay;
mod shares;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Span;

use super::looks::Tone;
use super::model::{Mode, Model};
use super::pane::Pane;

/// Smaller than this nothing can be read.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 12;

pub fn draw(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!("make this window larger: {WIDTH_MIN} by {HEIGHT_MIN} at least");
        put(buffer, area, 0, &text, Style::new());
        return;
    }
    let header = header::lines(model, area.width, area.height / 3);
    let mut at = 0;
    for line in &header {
        let row = Rect::new(area.x, area.y.saturating_add(at), area.width, 1);
        buffer.set_line(row.x, row.y, line, row.width);
        at = at.saturating_add(1);
    }
    let below = area.height.saturating_sub(at).saturating_sub(1);
    lists::draw(
        model,
        buffer,
        Rect::new(area.x, area.y.saturating_add(at), area.width, below),
    );
    let last = Rect::new(area.x, area.bottom().saturating_sub(1), area.width, 1);
    draw_last_line(model, buffer, last);
    if let Some((x, y)) = overlay::draw(model, buffer, area) {
        frame.set_cursor_position((x, y));
    }
}

/// What is typed, what came of the last key, or which keys there are.
fn draw_last_line(model: &Model, buffer: &mut Buffer, area: Rect) {
    let looks = model.looks;
    if model.mode == Mode::Filtering {
        let filter = &model.choices.of(model.focus).filter;
        let text = format!("/{}_   (Enter keeps it, Esc drops it)", looks.text(filter));
        put(buffer, area, 0, &text, looks.style(Tone::Heading));
        return;
    }
    match &model.said {
        Some(said) => {
            let tone = if said.is_fault { Tone::Bad } else { Tone::Good };
            put(buffer, area, 0, &said.text, looks.style(tone));
        }
        None => {
            let keys = keys(model, area.width);
            put(buffer, area, 0, &keys, looks.style(Tone::Faint));
        }
    }
}

/// The keys that matter most; in a narrow window fewer.
fn keys(model: &Model, columns: u16) -> String {
    let orders = match (model.me.may_act(), model.focus) {
        (true, Pane::Machines) => "c cordon  u uncordon  d drain  n notice  ",
        (true, Pane::Sessions) => "e end  n notice  ",
        _ => "",
    };
    let more = if columns < 100 {
        ""
    } else {
        "s order  Tab next list  "
    };
    format!("q quit  ? help  Enter why  / filter  {more}{orders}")
}

/// Writes one line of an area, from its left edge; what has no room is cut.
fn put(buffer: &mut Buffer, area: Rect, line: u16, text: &str, style: Style) {
    if line < area.height {
        let y = area.y.saturating_add(line);
        buffer.set_stringn(area.x, y, text, usize::from(area.width), style);
    }
}

/// Columns that a text takes.
fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

fn reversed(style: Style) -> Style {
    style.add_modifier(Modifier::REVERSED)
}
