//! What a recording may do to the terminal that plays it: draw on its screen, and nothing else.
//!
//! A recording holds what other people's programs wrote. Sequences that make a terminal answer (the answer would be typed
//! into the operator's shell), set its title, its clipboard or its keyboard, or go beyond the screen, are left out.

/// Ends colours and modes that a recording cut short may have left, and the alternate screen.
pub(super) const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l\x1b[?7h\x1b[r\x1b(B\r\n";

/// Private modes that only change how the screen looks: origin, wrap, cursor, alternate screens.
const SCREEN_MODES: [&str; 8] = ["6", "7", "12", "25", "47", "1047", "1048", "1049"];
/// Bytes of one control sequence: longer ones mean nothing to any terminal.
const SEQUENCE_MAX: usize = 256;

/// The state between two events: a sequence may begin in one and end in the next.
#[derive(Debug, Default)]
pub(super) struct Screen {
    state: State,
    /// The control sequence so far, from its escape.
    sequence: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    /// After an escape and one of its intermediates, such as a character set's.
    Intermediate,
    Control,
    /// A string for the terminal itself: up to its end nothing is shown.
    Command,
    CommandEscape,
}

impl Screen {
    /// Appends what may be shown of `text` to `out`.
    pub fn filter(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            self.take(c, out);
        }
    }

    fn take(&mut self, c: char, out: &mut String) {
        match self.state {
            // Cancel and substitute end any sequence.
            _ if matches!(c, '\x18' | '\x1a') => self.state = State::Text,
            State::Command if c == '\x07' || c == '\u{9c}' => self.state = State::Text,
            State::Command if c == '\x1b' => self.state = State::CommandEscape,
            State::Command => {}
            State::CommandEscape if c == '\\' => self.state = State::Text,
            _ if c == '\x1b' => {
                self.sequence.clear();
                self.sequence.push(c);
                self.state = State::Escape;
            }
            State::Text => Self::take_text(c, out),
            State::Escape | State::CommandEscape => self.take_escape(c, out),
            State::Intermediate => {
                self.sequence.push(c);
                out.push_str(&self.sequence);
                self.state = State::Text;
            }
            State::Control => self.take_control(c, out),
        }
    }

    fn take_text(c: char, out: &mut String) {
        let is_shown = !c.is_control()
            || matches!(
                c,
                '\n' | '\r' | '\t' | '\x07' | '\x08' | '\x0b' | '\x0c' | '\x0e' | '\x0f'
            );
        if is_shown {
            out.push(c);
        }
    }

    fn take_escape(&mut self, c: char, out: &mut String) {
        self.state = match c {
            '[' => {
                self.sequence.truncate(1);
                self.sequence.push(c);
                State::Control
            }
            // Commands and strings to the terminal.
            ']' | 'P' | 'X' | '^' | '_' => State::Command,
            '(' | ')' => {
                self.sequence.push(c);
                State::Intermediate
            }
            // Saves and restores the cursor, moves it by a line.
            '7' | '8' | 'D' | 'E' | 'M' | 'H' => {
                self.sequence.push(c);
                out.push_str(&self.sequence);
                State::Text
            }
            _ => State::Text,
        };
    }

    fn take_control(&mut self, c: char, out: &mut String) {
        match c {
            '\x20'..='\x3f' if self.sequence.len() < SEQUENCE_MAX => self.sequence.push(c),
            '\x40'..='\x7e' => {
                let is_drawing = is_drawing(self.sequence.get(2..).unwrap_or_default(), c);
                if is_drawing {
                    self.sequence.push(c);
                    out.push_str(&self.sequence);
                }
                self.state = State::Text;
            }
            _ => self.state = State::Text,
        }
    }
}

/// Whether a control sequence only draws.
fn is_drawing(parameters: &str, end: char) -> bool {
    if let Some(modes) = parameters.strip_prefix('?') {
        let is_known = modes.split(';').all(|mode| SCREEN_MODES.contains(&mode));
        return matches!(end, 'h' | 'l') && is_known || matches!(end, 'J' | 'K');
    }
    let is_plain = parameters
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':'));
    let draws = "@ABCDEFGHIJKLMPSTXZ`abdefgmrsu";
    is_plain && draws.contains(end) || matches!(parameters, "4" | "20") && matches!(end, 'h' | 'l')
}
