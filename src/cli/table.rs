//! Aligned columns, and ages a person can read.

use std::time::{Duration, SystemTime};

/// Rows under their headings; columns are as wide as they must be, numbers stand to the right.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(str::len);
    let mut is_number = [!rows.is_empty(); N];
    for row in rows {
        for ((cell, width), number) in row.iter().zip(&mut widths).zip(&mut is_number) {
            *width = (*width).max(cell.chars().count());
            *number &= is_number_cell(cell);
        }
    }
    let mut text = line(&headings.map(str::to_owned), &widths, &is_number);
    for row in rows {
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

/// A text of somebody else's, which must not break a line or the terminal.
pub(super) fn plain(text: &str) -> String {
    let space = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(space).collect()
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

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N], is_number: &[bool; N]) -> String {
    let mut text = String::new();
    for ((cell, &width), is_number) in cells.iter().zip(widths).zip(is_number) {
        match is_number {
            true => text.push_str(&format!("{cell:>width$}  ")),
            false => text.push_str(&format!("{cell:width$}  ")),
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [
            ["vm1".to_owned(), "up".to_owned(), "7".to_owned()],
            ["vm10".to_owned(), "no-logins".to_owned(), "12".to_owned()],
        ];
        let expected = "NAME  HEALTH     LOAD\nvm1   up            7\nvm10  no-logins    12\n";
        assert_eq!(table(["NAME", "HEALTH", "LOAD"], &rows), expected);
        assert_eq!(table(["NAME", "LOAD"], &[]), "NAME  LOAD\n");
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
    fn what_others_wrote_stays_in_its_line() {
        assert_eq!(plain("a\n\u{1b}[2Jb"), "a  [2Jb");
    }

    #[test]
    fn ages_have_two_units() {
        let cases = [(5, "5s"), (65, "1m 5s"), (7260, "2h 1m"), (90000, "1d 1h")];
        for (seconds, text) in cases {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
