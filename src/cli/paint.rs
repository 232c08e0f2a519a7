//! Colours by meaning: what is well, what wants an eye, what is bad. Never by colour alone: the word stands there as well.
//!
//! Texts are painted wherever they are made; `print` takes the paint off where nobody sees it (no terminal, `NO_COLOR`,
//! `--color never`), so that only one place has to know.

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

use super::plain;
use crate::pool::{AdminState, Health};
use crate::telemetry::events::EventKind;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set; CLICOLOR_FORCE=1 also elsewhere
    #[default]
    Auto,
    Always,
    Never,
}

impl When {
    /// From here on, for all that is printed.
    pub(super) fn apply(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::AlwaysAnsi,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// What a word means to whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Plain,
    Heading,
    Good,
    Watch,
    Bad,
}

impl Meaning {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold(),
            Self::Good => colour(AnsiColor::Green),
            Self::Watch => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red),
        }
    }

    /// The text in one line, made harmless.
    pub fn paint(self, text: &str) -> String {
        let style = self.style();
        format!("{style}{}{style:#}", plain::line(text))
    }
}

/// All that `paint` puts around a word.
pub(super) const PAINT: [&str; 5] = [
    "\u{1b}[1m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[0m",
];

impl From<Health> for Meaning {
    fn from(health: Health) -> Self {
        match health {
            Health::Up => Self::Good,
            Health::Unknown => Self::Plain,
            Health::NoLogins => Self::Watch,
            Health::Down => Self::Bad,
        }
    }
}

impl From<AdminState> for Meaning {
    fn from(state: AdminState) -> Self {
        match state {
            AdminState::Ready => Self::Plain,
            AdminState::Cordoned | AdminState::Draining => Self::Watch,
        }
    }
}

impl From<EventKind> for Meaning {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Up | EventKind::Undrain => Self::Good,
            EventKind::Cordon | EventKind::Drain | EventKind::Notice | EventKind::Freeze => {
                Self::Watch
            }
            EventKind::Evict | EventKind::Fault => Self::Bad,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_itself_under_the_paint() {
        for meaning in [
            Meaning::Plain,
            Meaning::Heading,
            Meaning::Good,
            Meaning::Watch,
            Meaning::Bad,
        ] {
            let painted = meaning.paint("no-logins");
            assert_eq!(
                anstream::adapter::strip_str(&painted).to_string(),
                "no-logins"
            );
            assert_eq!(painted == "no-logins", meaning == Meaning::Plain);
            assert_eq!(plain::painted(&painted), painted, "print lets it through");
        }
    }
}
