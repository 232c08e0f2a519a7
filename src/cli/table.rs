//! Aligned columns, and ages a person can read.

use std::time::{Duration, SystemTime};

use super::paint::Meaning;
use super::plain;

/// What stands in a column; its colour takes no room.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    meaning: Meaning,
}

impl Cell {
    /// Made harmless here, as what stands in a cell is mostly somebody else's.
    pub fn new(text: impl AsRef<str>, meaning: impl Into<Meaning>) -> Self {
        Self {
            text: plain::line(text.as_ref()),
            meaning: meaning.into(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Meaning::Plain)
    }
}

/// Rows under their headings; columns are as wide as they must be, numbers stand to the right.
pub(super) fn table<const N: usize, C: Into<Cell>>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [C; N]>,
) -> String {
    let rows = rows.into_iter().map(|row| row.map(Into::into));
    let rows: Vec<[Cell; N]> = rows.collect();
    let mut widths = headings.map(str::len);
    let mut is_number = [!rows.is_empty(); N];
    for row in &rows {
        for ((cell, width), number) in row.iter().zip(&mut widths).zip(&mut is_number) {
            *width = (*width).max(cell.text.chars().count());
            *number &= is_number_cell(&cell.text);
        }
    }
    let headings = headings.map(|heading| Cell::new(heading, Meaning::Heading));
    let mut text = line(&headings, &widths, &is_number);
    for row in &rows {
        text.push_str(&line(row, &widths, &is_number));
    }
    text
}

/// By the clock of whoever reads it.
pub(super) fn local(time: SystemTime, format: &str) -> String {
    match jiff::Timestamp::try_from(time) {
        Ok(at) => {
            let at = at.to_zoned_datetime(jiff::tz::TimeZone::system());
            at.strftime(format).to_string()
        }
        Err(_) => "-".to_owned(),
    }
}

/// How long ago, in its two largest units: `3d 4h`, `12s`.
pub(super) fn age(since: SystemTime) -> String {
    span(since.elapsed().unwrap_or(Duration::ZERO))
}

pub(super) fn span(length: Duration) -> String {
    let s = length.as_secs();
    let (days, hours, minutes, seconds) = (s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    match s {
        86400.. => format!("{days}d {hours}h"),
        3600.. => format!("{hours}h {minutes}m"),
        60.. => format!("{minutes}m {seconds}s"),
        _ => format!("{seconds}s"),
    }
}

/// `12`, `3/8`, `-0.5`.
fn is_number_cell(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    let begins = digits.is_empty() || digits.starts_with(|c: char| c.is_ascii_digit());
    let is_plain = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"/.".contains(&byte));
    begins && is_plain && cell != "-" && digits.matches('.').count() <= 1
}

fn line<const N: usize>(cells: &[Cell; N], widths: &[usize; N], is_number: &[bool; N]) -> String {
    let mut text = String::new();
    // Blanks are owed until something follows them.
    let mut blanks = 0;
    for ((cell, &width), is_number) in cells.iter().zip(widths).zip(is_number) {
        let pad = width.saturating_sub(cell.text.chars().count());
        if *is_number {
            blanks += pad;
        }
        if !cell.text.is_empty() {
            text.push_str(&" ".repeat(std::mem::take(&mut blanks)));
            text.push_str(&cell.meaning.paint(&cell.text));
        }
        if !is_number {
            blanks += pad;
        }
        blanks += 2;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::plain::tests::{NASTY, assert_harmless};

    #[test]
    fn columns_are_aligned() {
        let rows = [
            ["vm1".to_owned(), "up".to_owned(), "7".to_owned()],
            ["vm10".to_owned(), "no-logins".to_owned(), "12".to_owned()],
        ];
        let expected = "NAME  HEALTH     LOAD\nvm1   up            7\nvm10  no-logins    12\n";
        let unpainted = |text: String| anstream::adapter::strip_str(&text).to_string();
        let painted = rows.map(|[name, health, load]| {
            [name.into(), Cell::new(health, Meaning::Bad), load.into()]
        });
        let painted = table(["NAME", "HEALTH", "LOAD"], painted);
        assert!(
            painted.contains("\u{1b}[31mup\u{1b}[0m            7"),
            "{painted:?}"
        );
        assert_eq!(unpainted(painted), expected);
        let none: [[String; 2]; 0] = [];
        assert_eq!(unpainted(table(["NAME", "LOAD"], none)), "NAME  LOAD\n");
        for (cell, is_number) in [
            ("12", true),
            ("3/8", true),
            ("-0.5", true),
            ("", true),
            ("10.0.0.4", false),
            ("2026-11", false),
            ("-", false),
        ] {
            assert_eq!(is_number_cell(cell), is_number, "{cell}");
        }
    }

    #[test]
    fn what_others_wrote_stays_in_its_cell() {
        for nasty in NASTY {
            let told = table(["A", "B"], [[nasty.to_owned(), "x".to_owned()]]);
            assert_harmless("table", &told);
            assert_eq!(told.lines().count(), 2, "{told:?}");
        }
    }

    #[test]
    fn ages_have_two_units() {
        let cases = [(5, "5s"), (65, "1m 5s"), (7260, "2h 1m"), (90000, "1d 1h")];
        for (seconds, text) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
