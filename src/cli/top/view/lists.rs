//! The four lists, each under a line with its name, what is chosen in it, and its headings. Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::super::looks::Tone;
use super::super::model::Model;
use super::super::pane::{Pane, Row, Weight};
use super::shares::{Want, share};
use super::{put, reversed, width};

/// A name longer than this leaves no room for the rest.
const COLUMN_MAX: u16 = 28;
/// Lines of rows that a list keeps when another one is in front.
const ROWS_LEAST: u16 = 2;

pub fn draw(model: &Model, buffer: &mut Buffer, area: Rect) {
    let lists: Vec<_> = Pane::ALL.map(|pane| (pane, model.rows(pane))).into();
    let wants: Vec<_> = lists.iter().map(|(pane, rows)| want(*pane, rows)).collect();
    let front = Pane::ALL.iter().position(|pane| *pane == model.focus);
    let heights = share(area.height, &wants, front.unwrap_or(0));
    let mut y = area.y;
    for ((pane, rows), height) in lists.iter().zip(heights) {
        if height > 0 {
            list(
                model,
                buffer,
                Rect::new(area.x, y, area.width, height),
                (*pane, rows),
            );
        }
        y = y.saturating_add(height);
    }
}

fn want(pane: Pane, rows: &[Row]) -> Want {
    let count = u16::try_from(rows.len()).unwrap_or(u16::MAX);
    let above = if count == 0 { 1 } else { above(pane) };
    Want {
        least: above.saturating_add(count.min(ROWS_LEAST)),
        most: above.saturating_add(count),
    }
}

/// Lines above the rows: the name, and headings where columns need some.
fn above(pane: Pane) -> u16 {
    match pane {
        Pane::Events => 1,
        Pane::Machines | Pane::Sessions | Pane::Queue => 2,
    }
}

fn list(model: &Model, buffer: &mut Buffer, area: Rect, (pane, rows): (Pane, &[Row])) {
    name(model, buffer, area, (pane, rows));
    let above = above(pane);
    let height = area.height.saturating_sub(above);
    let Some(chosen) = model
        .choices
        .of(pane)
        .place(rows, pane)
        .filter(|_| height > 0)
    else {
        return;
    };
    let shown = usize::from(height);
    // The chosen row in the middle, unless an end of the list is near.
    let from = chosen.saturating_sub(shown / 2);
    let from = from.min(rows.len().saturating_sub(shown));
    let headings = headings(model, pane);
    let widths = widths(&headings, rows);
    if above > 1 {
        let style = model.looks.style(Tone::Heading);
        for (heading, part) in headings.iter().zip(columns(area, &widths)) {
            put(buffer, part, 1, heading, style);
        }
    }
    for (line, (at, row)) in (above..).zip(rows.iter().enumerate().skip(from).take(shown)) {
        for (cell, part) in row.cells.iter().zip(columns(area, &widths)) {
            let text = match cell.weight {
                Weight::Number(_) => {
                    let before = usize::from(part.width.saturating_sub(width(&cell.text)));
                    format!("{}{}", " ".repeat(before), cell.text)
                }
                _ => cell.text.clone(),
            };
            put(buffer, part, line, &text, model.looks.style(cell.tone));
        }
        if at == chosen && pane == model.focus {
            let y = area.y.saturating_add(line);
            let whole = Rect::new(area.x, y, area.width, 1);
            buffer.set_style(whole, reversed(ratatui::style::Style::new()));
        }
    }
}

/// `- Machines 3 of 50 - /gpu ------`
fn name(model: &Model, buffer: &mut Buffer, area: Rect, (pane, rows): (Pane, &[Row])) {
    let (looks, choice) = (model.looks, model.choices.of(pane));
    let all = match pane {
        Pane::Machines => model.picture.instances.len(),
        Pane::Sessions => model.picture.sessions.len(),
        Pane::Queue => model.picture.waiters.len(),
        Pane::Events => model.events.len(),
    };
    let title = match pane {
        Pane::Machines => "Machines",
        Pane::Sessions => "Sessions",
        Pane::Queue => "Queue",
        Pane::Events => "Events",
    };
    let mut text = match (pane, all, rows.len()) {
        (Pane::Queue, 0, _) => "Queue: nobody waits".to_owned(),
        (_, all, shown) if all == shown => format!("{title} {all}"),
        (_, all, shown) => format!("{title} {shown} of {all}"),
    };
    if pane == Pane::Sessions
        && let Some(machine) = model.machine_shown()
    {
        text.push_str(&format!("{}on {}", looks.between(), looks.text(&machine)));
    }
    if !choice.filter.is_empty() {
        text.push_str(&format!(
            "{}/{}",
            looks.between(),
            looks.text(&choice.filter)
        ));
    }
    let line = looks.rule().to_string().repeat(usize::from(area.width));
    put(buffer, area, 0, &line, looks.style(Tone::Faint));
    let inner = Rect::new(
        area.x.saturating_add(1),
        area.y,
        area.width.saturating_sub(2),
        1,
    );
    let style = match pane == model.focus {
        true => reversed(looks.style(Tone::Heading)),
        false => looks.style(Tone::Plain).add_modifier(Modifier::BOLD),
    };
    put(buffer, inner, 0, &format!(" {text} "), style);
}

/// With a mark on the one that rows are ordered by.
fn headings(model: &Model, pane: Pane) -> Vec<String> {
    let choice = model.choices.of(pane);
    let headings = pane.headings().iter().enumerate();
    let marked = headings.map(|(at, heading)| match choice.sort == Some(at) {
        true => format!("{heading}{}", model.looks.order(choice.is_reversed)),
        false => (*heading).to_owned(),
    });
    marked.collect()
}

/// As wide as what stands in them, whichever part of it is shown: columns do not move while somebody goes through a list.
fn widths(headings: &[String], rows: &[Row]) -> Vec<u16> {
    let mut widths: Vec<_> = headings.iter().map(|heading| width(heading)).collect();
    for row in rows {
        for (cell, most) in row.cells.iter().zip(&mut widths) {
            *most = (*most).max(width(&cell.text).min(COLUMN_MAX));
        }
    }
    widths
}

/// The columns of an area; the last one has what is left.
fn columns(area: Rect, widths: &[u16]) -> impl Iterator<Item = Rect> {
    let last = widths.len().saturating_sub(1);
    let mut x = area.x;
    widths.iter().enumerate().map(move |(at, width)| {
        let left = area.right().saturating_sub(x);
        let width = if at == last { left } else { (*width).min(left) };
        let part = Rect::new(x, area.y, width, area.height);
        x = x.saturating_add(width).saturating_add(1).min(area.right());
        part
    })
}
