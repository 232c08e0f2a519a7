//! What each key does. Pure.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Effect, Mode, Model};
use super::order::{Target, Verb};
use super::pane::Pane;

/// Rows that a page key goes.
const PAGE: isize = 10;
/// Rows that no list has.
const FAR: isize = isize::MAX;

/// The help, a key and what it does.
pub const HELP: &[(&str, &str)] = &[
    ("arrows, j k", "choose a row"),
    ("PgUp PgDn, g G", "ten rows on, the first and the last"),
    ("Tab, Shift-Tab", "the next list, the one before"),
    ("Enter", "all about the chosen row, and why it is so"),
    ("/", "show only rows that hold a text; Esc drops it"),
    ("s S", "order by the next column, the other way round"),
    ("a", "sessions of the chosen machine, or all"),
    ("c u d", "cordon, uncordon, drain the chosen machine"),
    ("e", "end the chosen session"),
    ("n N", "a line for people there, for everybody"),
    ("q, Ctrl-C", "quit"),
];

impl Model {
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Effect> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return Some(Effect::Stop);
        }
        self.said = None;
        match std::mem::replace(&mut self.mode, Mode::Looking) {
            Mode::Looking if is_control => None,
            Mode::Looking => self.press_in_list(key.code),
            Mode::Filtering => {
                self.press_in_filter(key);
                None
            }
            Mode::Asking(prompt) => self.press_in_prompt(prompt, key),
            Mode::Reading(mut reading) => {
                let last = reading.lines.len().saturating_sub(1);
                let above = match key.code {
                    KeyCode::Down | KeyCode::Char('j' | ' ') => reading.above.saturating_add(1),
                    KeyCode::Up | KeyCode::Char('k') => reading.above.saturating_sub(1),
                    KeyCode::PageDown => reading.above.saturating_add(PAGE.unsigned_abs()),
                    KeyCode::PageUp => reading.above.saturating_sub(PAGE.unsigned_abs()),
                    // Any other key ends it.
                    _ => return None,
                };
                reading.above = above.min(last);
                self.mode = Mode::Reading(reading);
                None
            }
            Mode::Helping => None,
        }
    }

    /// Text from a clipboard goes where text is written, and is nothing elsewhere.
    pub(super) fn paste(&mut self, text: &str) {
        match &mut self.mode {
            Mode::Asking(prompt) => prompt.write(text),
            Mode::Filtering => {
                let choice = self.choices.of_mut(self.focus);
                let text: String = text.chars().filter(|one| !one.is_control()).collect();
                choice.filter.push_str(&text.to_lowercase());
            }
            _ => {}
        }
    }

    fn press_in_list(&mut self, code: KeyCode) -> Option<Effect> {
        match code {
            KeyCode::Char('q') => return Some(Effect::Stop),
            KeyCode::Enter => return self.read_on(),
            KeyCode::Char('?' | 'h') | KeyCode::F(1) => self.mode = Mode::Helping,
            KeyCode::Down | KeyCode::Char('j') => self.go(1),
            KeyCode::Up | KeyCode::Char('k') => self.go(-1),
            KeyCode::PageDown => self.go(PAGE),
            KeyCode::PageUp => self.go(-PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.go(-FAR),
            KeyCode::End | KeyCode::Char('G') => self.go(FAR),
            KeyCode::Tab | KeyCode::Right => self.focus = self.focus.next(),
            KeyCode::BackTab | KeyCode::Left => self.focus = self.focus.before(),
            KeyCode::Char('/') => self.mode = Mode::Filtering,
            KeyCode::Esc => self.show_all(),
            KeyCode::Char('s') => self.choices.of_mut(self.focus).sort_next(self.focus),
            KeyCode::Char('S') => {
                let choice = self.choices.of_mut(self.focus);
                choice.is_reversed = !choice.is_reversed;
            }
            KeyCode::Char('a') => self.narrow(),
            KeyCode::Char('N') => self.begin(Verb::Notify, Some(Target::Everybody)),
            KeyCode::Char(letter) => {
                if let Some(verb) = verb_of(letter) {
                    let target = self.chosen(self.focus).and_then(|row| row.target);
                    self.begin(verb, target);
                }
            }
            _ => {}
        }
        None
    }

    fn go(&mut self, by: isize) {
        let (pane, rows) = (self.focus, self.rows(self.focus));
        self.choices.of_mut(pane).go(by, &rows, pane);
    }

    /// Only sessions of the chosen machine, or all again.
    fn narrow(&mut self) {
        self.is_of_machine = !self.is_of_machine;
        // The first of a list may become another one: what was chosen is meant.
        let chosen = self.chosen(Pane::Machines).map(|row| row.key);
        self.choices.of_mut(Pane::Machines).key = chosen;
    }

    /// Without the filter; the row that is chosen among a few stays chosen among all.
    fn show_all(&mut self) {
        let pane = self.focus;
        let chosen = self.chosen(pane).map(|row| row.key);
        let choice = self.choices.of_mut(pane);
        // Whoever follows the events goes on following.
        if pane != Pane::Events || choice.key.is_some() {
            choice.key = chosen;
        }
        choice.filter.clear();
    }

    fn press_in_filter(&mut self, key: KeyEvent) {
        let choice = self.choices.of_mut(self.focus);
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Enter => return,
            KeyCode::Esc => return self.show_all(),
            KeyCode::Char('u') if is_control => choice.filter.clear(),
            KeyCode::Char(one) if !is_control => choice.filter.extend(one.to_lowercase()),
            KeyCode::Backspace => drop(choice.filter.pop()),
            KeyCode::Down => self.go(1),
            KeyCode::Up => self.go(-1),
            _ => {}
        }
        self.mode = Mode::Filtering;
    }
}

fn verb_of(letter: char) -> Option<Verb> {
    match letter {
        'c' => Some(Verb::Cordon),
        'u' => Some(Verb::Uncordon),
        'd' => Some(Verb::Drain),
        'e' => Some(Verb::Evict),
        'n' => Some(Verb::Notify),
        _ => None,
    }
}
