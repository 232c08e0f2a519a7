//! What others wrote, made harmless for the terminal and the files of whoever reads it: reasons, names, notices and faults come from
//! people, instances and clouds, and none of them may steer an operator's terminal or turn the direction of a line.
//!
//! The one place that knows how: `line` and `lines` are for texts as they are put together, `json` for documents, and `print` has
//! every output go through `painted`, so that what was forgotten on the way does no harm either.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::paint::PAINT;
use crate::telemetry::log::is_harmful;

/// In one line.
pub(super) fn line(text: &str) -> String {
    escaped(text, |_| None)
}

/// Line by line, as it is.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |rest| {
        rest.starts_with(['\n', '\t'])
            .then_some(1)
            .or_else(|| crlf(rest))
    })
}

/// A finished text: its lines stay, and so does what `Meaning::paint` has put around words.
pub(super) fn painted(text: &str) -> Cow<'_, str> {
    let is_harmless = |c: char| c == '\n' || !is_harmful(c);
    if text.chars().all(is_harmless) {
        return text.into();
    }
    let kept = |rest: &str| {
        let paint = PAINT.iter().find(|paint| rest.starts_with(**paint));
        let plain = rest.starts_with(['\n', '\t']).then_some(1);
        paint
            .map(|paint| paint.len())
            .or(plain)
            .or_else(|| crlf(rest))
    };
    escaped(text, kept).into()
}

/// A JSON document. Within its strings JSON asks for fewer characters to be escaped than terminals act on, and outside of them
/// there are only its own.
pub(super) fn json(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for c in document.chars() {
        match c {
            '\n' => text.push(c),
            // All of them are below U+10000, so that four digits do; writing to a String does not fail.
            c if is_harmful(c) => drop(write!(text, "\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// The end of a line of CSV.
fn crlf(rest: &str) -> Option<usize> {
    rest.starts_with("\r\n").then_some(2)
}

/// `kept` says how many bytes at the head of a rest stay as they are. Breaks that do not stay become spaces.
fn escaped(text: &str, kept: impl Fn(&str) -> Option<usize>) -> String {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let whole = is_harmful(c).then(|| kept(rest)).flatten();
        let (head, tail) = rest.split_at(whole.unwrap_or(c.len_utf8()));
        rest = tail;
        match c {
            _ if whole.is_some() || !is_harmful(c) => done.push_str(head),
            '\n' | '\t' => done.push(' '),
            c => done.extend(c.escape_unicode()),
        }
    }
    done
}

#[cfg(test)]
mod verbs;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::paint::Meaning;

    /// What no terminal may be sent of somebody else's, each between letters that show where it was.
    pub(in crate::cli) const NASTY: [&str; 12] = [
        "a\u{1b}[2Jb",
        "a\u{1b}]0;owned\u{7}b",
        "a\u{1b}[31mred\u{1b}[0mb",
        "a\u{9b}31mb",
        "a\u{90}q\u{9c}b",
        "a\u{85}b",
        "a\u{7f}b",
        "a\u{0}\u{8}\u{e}b",
        "a\rb",
        "a\nok   all is well",
        "a\u{202e}b\u{202a}c\u{202b}d\u{202c}e\u{202d}",
        "a\u{2066}b\u{2067}c\u{2068}d\u{2069}",
    ];

    /// Nothing acts on a terminal but lines and tabs and our own colours, and none of the texts is in it as it was.
    #[track_caller]
    pub(in crate::cli) fn assert_harmless(whose: &str, told: &str) {
        for nasty in NASTY {
            assert!(!told.contains(nasty), "{whose}: {nasty:?} in {told:?}");
        }
        let mut bare = told.replace("\r\n", "\n");
        for paint in PAINT {
            bare = bare.replace(paint, "");
        }
        let acts = |c: &char| !matches!(c, '\n' | '\t') && is_harmful(*c);
        assert_eq!(bare.chars().find(acts), None, "{whose}: {told:?}");
    }

    #[test]
    fn nothing_nasty_comes_through() {
        for nasty in NASTY {
            let one = line(nasty);
            assert_harmless("line", &one);
            assert!(!one.contains(['\n', '\t', '\r']), "{one:?}");
            let many = lines(nasty);
            assert!(!many.contains('\u{1b}'), "{many:?}");
            let all = painted(nasty).replace('\n', " ");
            let all = PAINT.iter().fold(all, |all, paint| all.replace(paint, ""));
            assert_harmless("painted", &all);
            let document = serde_json::json!({ "text": nasty, "more": [nasty] });
            let shown = json(&format!("{document:#}\n"));
            assert_harmless("json", &shown);
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(read, document, "the same text to who reads it as JSON");
        }
    }

    #[test]
    fn what_is_written_out_can_be_read() {
        assert_eq!(line("a\u{1b}[2J\n\u{202e}b"), "a\\u{1b}[2J \\u{202e}b");
        assert_eq!(lines("a\r\n\tb\r"), "a\r\n\tb\\u{d}");
        for kept in ["Zo\u{eb} \u{5c71}\u{7530}", "1,2\r\n", "\ta\n", ""] {
            assert_eq!(painted(kept), kept);
        }
        let word = Meaning::Bad.paint("down");
        assert_eq!(painted(&word), word);
        assert_eq!(painted("\u{1b}[35mx"), "\\u{1b}[35mx");
    }
}
