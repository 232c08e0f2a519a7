//! How things look on this terminal: with colours or without, in Unicode or in ASCII, and what others wrote made harmless.
//!
//! Nothing is told by colour alone: without colours, words and bold type say the same. Pure.

use ratatui::style::{Color, Modifier, Style};

use crate::admin::{InstanceState, plain};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    pub has_colours: bool,
    pub has_unicode: bool,
}

/// What a line or a cell is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Good,
    Busy,
    New,
    Closed,
    Bad,
    Faint,
    Heading,
}

/// Terminals of one colour, by the beginning of their names.
const MONOCHROME: [&str; 4] = ["vt1", "vt2", "vt3", "hurd-mono"];

impl Looks {
    /// By what the environment says: `NO_COLOR`, `TERM`, and the locale.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let said = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = said("TERM").unwrap_or_default();
        let is_monochrome =
            MONOCHROME.iter().any(|one| term.starts_with(one)) || term.ends_with("-m");
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(said);
        let locale = locale.unwrap_or_default().to_lowercase();
        Self {
            has_colours: said("NO_COLOR").is_none() && !is_monochrome,
            has_unicode: locale.contains("utf-8") || locale.contains("utf8"),
        }
    }

    pub fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        let style = match tone {
            Tone::Bad | Tone::Heading => style.add_modifier(Modifier::BOLD),
            Tone::Faint => style.add_modifier(Modifier::DIM),
            _ => style,
        };
        let colour = match tone {
            Tone::Plain | Tone::Heading | Tone::Faint => return style,
            Tone::Good => Color::Green,
            Tone::Busy => Color::Yellow,
            Tone::New => Color::Cyan,
            Tone::Closed => Color::Magenta,
            Tone::Bad => Color::Red,
        };
        match self.has_colours {
            true => style.fg(colour),
            false => style,
        }
    }

    /// A text of somebody else's in one line that acts on nothing, in characters this terminal has.
    pub fn text(self, text: &str) -> String {
        let text = plain(text);
        match self.has_unicode {
            true => text,
            false => text.chars().map(in_ascii).collect(),
        }
    }

    pub fn rule(self) -> char {
        self.sign('\u{2500}', '-')
    }

    pub fn between(self) -> &'static str {
        match self.has_unicode {
            true => " \u{b7} ",
            false => " - ",
        }
    }

    /// Beside the heading of the column that rows are ordered by.
    pub fn order(self, is_reversed: bool) -> char {
        match is_reversed {
            true => self.sign('\u{25bc}', 'v'),
            false => self.sign('\u{25b2}', '^'),
        }
    }

    fn sign(self, unicode: char, ascii: char) -> char {
        match self.has_unicode {
            true => unicode,
            false => ascii,
        }
    }
}

/// What `plain` writes out by number stays readable; other signs become question marks.
fn in_ascii(one: char) -> char {
    match one {
        '\u{27e8}' => '<',
        '\u{27e9}' => '>',
        '\u{2013}' | '\u{2014}' => '-',
        '\u{b7}' => '-',
        one if one.is_ascii() => one,
        _ => '?',
    }
}

pub fn tone_of(state: InstanceState) -> Tone {
    match state {
        InstanceState::Ready => Tone::Good,
        InstanceState::Full => Tone::Busy,
        InstanceState::Starting => Tone::New,
        InstanceState::Cordoned | InstanceState::Draining => Tone::Closed,
        InstanceState::NoLogins | InstanceState::Down => Tone::Bad,
        InstanceState::Off => Tone::Faint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(said: &[(&str, &str)]) -> Looks {
        Looks::of(|name| {
            let found = said.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_and_unicode_are_used_where_the_environment_has_them() {
        let full = looks(&[("TERM", "xterm-256color"), ("LANG", "C.UTF-8")]);
        assert!(full.has_colours && full.has_unicode);
        let quiet = looks(&[("NO_COLOR", "1"), ("LC_ALL", "C"), ("LANG", "de_DE.utf8")]);
        assert!(!quiet.has_colours && !quiet.has_unicode);
        let empty = looks(&[("NO_COLOR", ""), ("LC_ALL", ""), ("LANG", "de_DE.utf8")]);
        assert!(empty.has_colours && empty.has_unicode);
        assert!(!looks(&[("TERM", "vt220")]).has_colours);
        assert_eq!(quiet.style(Tone::Bad).fg, None);
        assert_eq!(full.style(Tone::Bad).fg, Some(Color::Red));
    }

    #[test]
    fn what_others_wrote_acts_on_nothing() {
        let wrote = "Zo\u{eb}\u{1b}[2J\u{202e}\n";
        let unicode = looks(&[("LANG", "C.UTF-8")]);
        let shown = "Zo\u{eb}\u{27e8}U+001B\u{27e9}[2J\u{27e8}U+202E\u{27e9}\u{27e8}U+000A\u{27e9}";
        assert_eq!(unicode.text(wrote), shown);
        assert_eq!(looks(&[]).text(wrote), "Zo?<U+001B>[2J<U+202E><U+000A>");
    }
}
