//! Windows over the lists: help, details, and the prompt in which an order is written. Pure.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::super::details::Reading;
use super::super::keys::HELP;
use super::super::looks::{Looks, Tone};
use super::super::model::{Mode, Model};
use super::super::prompt::{Prompt, Step};
use super::{put, width};

/// Wider lines than this are hard to read.
const WIDTH_MAX: u16 = 100;

/// Returns where the cursor is to stand, if something is written.
pub fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let looks = model.looks;
    match &model.mode {
        Mode::Looking | Mode::Filtering => None,
        Mode::Helping => {
            let lines = HELP.iter().map(|(key, what)| format!("{key:<15} {what}"));
            let lines: Vec<_> = lines.collect();
            window(looks, buffer, area, "Keys", &lines);
            None
        }
        Mode::Reading(reading) => {
            read(looks, buffer, area, reading);
            None
        }
        Mode::Asking(prompt) => ask(looks, buffer, area, prompt),
    }
}

fn read(looks: Looks, buffer: &mut Buffer, area: Rect, reading: &Reading) {
    let columns = usize::from(inner_width(area));
    let mut lines: Vec<_> = reading
        .lines
        .iter()
        .flat_map(|line| wrap(line, columns))
        .collect();
    if reading.is_waiting() {
        lines.push("the gate is asked ...".to_owned());
    }
    let room = usize::from(area.height.saturating_sub(4));
    // The end of the text stays at the end of the window.
    let above = reading.above.min(lines.len().saturating_sub(room));
    lines.drain(..above);
    window(looks, buffer, area, &reading.title, &lines);
}

fn ask(looks: Looks, buffer: &mut Buffer, area: Rect, prompt: &Prompt) -> Option<(u16, u16)> {
    let columns = usize::from(inner_width(area));
    let mut lines = Vec::new();
    let mut cursor = None;
    for (at, (question, word)) in prompt
        .verb
        .questions()
        .iter()
        .zip(&prompt.words)
        .enumerate()
    {
        lines.push(format!("{question}:"));
        // Of a long text its end, where it is written.
        let word = looks.text(word);
        let surplus = word
            .chars()
            .count()
            .saturating_sub(columns.saturating_sub(3));
        let word: String = word.chars().skip(surplus).collect();
        let is_written = prompt.step == Step::Writing && at == prompt.at;
        if is_written {
            cursor = Some((lines.len(), width(&word).saturating_add(2)));
        }
        lines.push(format!("{} {word}", if is_written { ">" } else { " " }));
    }
    lines.push(String::new());
    let (text, hint) = match &prompt.step {
        Step::Writing => (
            prompt.fault.clone().unwrap_or_default(),
            "Enter goes on, Esc orders nothing",
        ),
        Step::Trying(_) => ("the gate is asked ...".to_owned(), "Esc orders nothing"),
        Step::Confirming(would) => (would.clone(), "y orders it, n or Esc does not"),
        Step::Giving(_) => ("it is ordered ...".to_owned(), "Esc leaves this window"),
    };
    lines.extend(wrap(&text, columns));
    lines.push(String::new());
    lines.push(hint.to_owned());
    let inner = window(looks, buffer, area, &prompt.title(), &lines);
    let (line, column) = cursor?;
    let line = u16::try_from(line).unwrap_or(u16::MAX);
    (line < inner.height).then(|| {
        let x = inner.x.saturating_add(column).min(inner.right());
        (x, inner.y.saturating_add(line))
    })
}

fn inner_width(area: Rect) -> u16 {
    area.width.saturating_sub(4).min(WIDTH_MAX)
}

/// A frame with a title in the middle of the area, as high as its lines; returns the room within.
fn window(looks: Looks, buffer: &mut Buffer, area: Rect, title: &str, lines: &[String]) -> Rect {
    let columns = inner_width(area);
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let height = height.min(area.height.saturating_sub(4));
    let x = area
        .x
        .saturating_add(area.width.saturating_sub(columns.saturating_add(4)) / 2);
    let y = area
        .y
        .saturating_add(area.height.saturating_sub(height.saturating_add(2)) / 2);
    let inner = Rect::new(x.saturating_add(2), y.saturating_add(1), columns, height);
    let edge = looks
        .rule()
        .to_string()
        .repeat(usize::from(columns.saturating_add(2)));
    let [left_above, right_above, side, left_below, right_below] = corners(looks);
    let whole = Rect::new(x, y, columns.saturating_add(4), height.saturating_add(2));
    // Whatever style the lists have there ends here.
    for position in whole.positions() {
        if let Some(cell) = buffer.cell_mut(position) {
            cell.reset();
        }
    }
    let style = looks.style(Tone::Heading);
    put(
        buffer,
        whole,
        0,
        &format!("{left_above}{edge}{right_above}"),
        style,
    );
    let named = Rect::new(inner.x, y, columns, 1);
    put(buffer, named, 0, &format!(" {title} "), style);
    for (line, text) in (1..=height).zip(lines) {
        let blank = " ".repeat(usize::from(columns.saturating_add(2)));
        put(buffer, whole, line, &format!("{side}{blank}{side}"), style);
        put(buffer, inner, line.saturating_sub(1), text, Style::new());
    }
    let below = format!("{left_below}{edge}{right_below}");
    put(buffer, whole, height.saturating_add(1), &below, style);
    inner
}

fn corners(looks: Looks) -> [char; 5] {
    match looks.has_unicode {
        true => ['\u{250c}', '\u{2510}', '\u{2502}', '\u{2514}', '\u{2518}'],
        false => ['+', '+', '|', '+', '+'],
    }
}

/// Breaks a line between words; a word that is longer than a line is broken too.
fn wrap(line: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in line.split_inclusive(' ') {
        let length = usize::from(width(word.trim_end()));
        if taken > 0 && taken + length > columns {
            lines.push(String::new());
            taken = 0;
        }
        for one in word.chars() {
            let wide = usize::from(width(one.encode_utf8(&mut [0; 4])));
            if taken + wide > columns {
                if one == ' ' {
                    continue;
                }
                lines.push(String::new());
                taken = 0;
            }
            taken += wide;
            if let Some(last) = lines.last_mut() {
                last.push(one);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_are_broken_between_words_and_long_words_within() {
        assert_eq!(wrap("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij ", "kl"]);
        assert_eq!(wrap("", 4), [""]);
    }
}
