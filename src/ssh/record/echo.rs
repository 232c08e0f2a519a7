//! Which of what a person types may be recorded: whole lines whose text the instance has shown before they were sent.
//!
//! The gate cannot see whether a program has switched the terminal's echo off. It sees what comes back: a line counts as
//! echoed only if, from its first key to Enter, the output was that text and nothing else. A password that is not echoed,
//! or as asterisks, never is; nor is a line edited in ways that are not followed here. What is left out of the input was
//! on the screen, and so is in the output, unless it was meant for nobody's eyes. Pure.

use zeroize::Zeroize;

/// Characters of one line that are held: longer ones are not recorded.
const LINE_MAX: usize = 4096;

/// The line a person is typing, held back until it is known to have been echoed.
#[derive(Debug, Default)]
pub(super) struct Echo {
    typed: Vec<char>,
    /// What the output made of the line, and where the cursor stands in it.
    shown: Vec<char>,
    cursor: usize,
    sequence: Sequence,
    /// Something came that is not this line's echo: it is forgotten at its end.
    is_spoilt: bool,
}

/// How far into an escape sequence of the output.
#[derive(Debug, Default, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    Escape,
    /// Parameters of a control sequence.
    Parameters(String),
}

impl Echo {
    /// What was typed; appends those lines that may be recorded to `out`.
    pub fn typed(&mut self, text: &str, out: &mut String) {
        for key in text.chars() {
            match key {
                // Enter, and the keys that end a line without it: interrupt, end of input, suspend.
                '\r' | '\n' | '\x03' | '\x04' | '\x1a' => self.end_line(key, out),
                '\x7f' | '\x08' => {
                    if let Some(mut erased) = self.typed.pop() {
                        erased.zeroize();
                    }
                }
                _ if key.is_control() || self.typed.len() >= LINE_MAX => self.is_spoilt = true,
                _ => self.typed.push(key),
            }
        }
    }

    /// What the instance showed.
    pub fn shown(&mut self, text: &str) {
        // Output between lines is no echo.
        if self.typed.is_empty() && self.shown.is_empty() {
            return;
        }
        for shown in text.chars() {
            if !self.is_spoilt {
                self.show(shown);
            }
        }
    }

    fn show(&mut self, shown: char) {
        match std::mem::take(&mut self.sequence) {
            Sequence::None => self.show_plain(shown),
            Sequence::Escape if shown == '[' => {
                self.sequence = Sequence::Parameters(String::new());
            }
            Sequence::Escape => self.is_spoilt = true,
            Sequence::Parameters(mut parameters) => match shown {
                '0'..='9' | ';' | '?' if parameters.len() < 32 => {
                    parameters.push(shown);
                    self.sequence = Sequence::Parameters(parameters);
                }
                // Erase to the end of the line, as editors of lines do after a backspace.
                'K' if parameters.is_empty() || parameters == "0" => {
                    self.shown.truncate(self.cursor)
                }
                // Colours.
                'm' => {}
                _ => self.is_spoilt = true,
            },
        }
    }

    fn show_plain(&mut self, shown: char) {
        match shown {
            '\x1b' => self.sequence = Sequence::Escape,
            '\x08' if self.cursor > 0 => self.cursor -= 1,
            '\x07' => {}
            _ if shown.is_control() || self.cursor >= LINE_MAX => self.is_spoilt = true,
            _ => {
                match self.shown.get_mut(self.cursor) {
                    Some(place) => *place = shown,
                    None => self.shown.push(shown),
                }
                self.cursor += 1;
            }
        }
    }

    fn end_line(&mut self, key: char, out: &mut String) {
        let (echoed, beyond) = self.shown.split_at(self.cursor.min(self.shown.len()));
        // A terminal rubs a character out by a blank.
        let is_echoed = echoed == self.typed && beyond.iter().all(|shown| *shown == ' ');
        if !self.is_spoilt && is_echoed {
            out.extend(&self.typed);
            out.push(key);
        }
        self.typed.zeroize();
        *self = Self::default();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.typed.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keys each with what came back for it.
    fn recorded(keys: &[(&str, &str)]) -> String {
        let mut echo = Echo::default();
        let mut out = String::new();
        for (typed, shown) in keys {
            echo.typed(typed, &mut out);
            echo.shown(shown);
        }
        out
    }

    fn echoed(line: &str) -> Vec<(String, String)> {
        let key = |key: char| match key {
            '\r' => (key.to_string(), "\r\n".to_owned()),
            _ => (key.to_string(), key.to_string()),
        };
        line.chars().map(key).collect()
    }

    #[test]
    fn an_echoed_line_is_recorded_once_it_is_sent() {
        let keys = [("l", "l"), ("s", "s"), ("\r", "\r\nfile\r\n$ ")];
        assert_eq!(recorded(&keys), "ls\r");
        assert_eq!(recorded(&keys[..2]), "", "not before Enter");
        assert_eq!(
            recorded(&[("gr\u{fc}n", "gr\u{fc}n"), ("\r", "\r\n")]),
            "gr\u{fc}n\r"
        );
    }

    #[test]
    fn a_line_without_echo_is_not() {
        assert_eq!(recorded(&[("h", ""), ("i", ""), ("\r", "\r\n")]), "");
        assert_eq!(
            recorded(&[("hi\r", "hi\r\n")]),
            "",
            "shown too late to tell"
        );
        assert_eq!(recorded(&[("h", "*"), ("i", "*"), ("\r", "\r\n")]), "");
        assert_eq!(recorded(&[("h", "h"), ("i", ""), ("\r", "\r\nhi\r\n")]), "");
    }

    #[test]
    fn a_password_between_commands_leaves_the_commands() {
        let mut keys = echoed("sudo id\r");
        keys.push((String::new(), "[sudo] password: ".into()));
        keys.extend(
            "secret\r"
                .chars()
                .map(|key| (key.to_string(), String::new())),
        );
        keys.push((String::new(), "\r\nuid=0(root)\r\n# ".into()));
        keys.extend(echoed("exit\r"));
        let keys: Vec<_> = keys.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(recorded(&keys), "sudo id\rexit\r");
    }

    #[test]
    fn rubbing_out_is_followed() {
        let terminal = [
            ("a", "a"),
            ("b", "b"),
            ("\x7f", "\x08 \x08"),
            ("c", "c"),
            ("\r", ""),
        ];
        assert_eq!(recorded(&terminal), "ac\r");
        let readline = [("a", "a"), ("b", "b"), ("\x7f", "\x08\x1b[K"), ("\r", "")];
        assert_eq!(recorded(&readline), "a\r");
        // Kept off the screen, the rest of a password may be rubbed out to what is on it.
        assert_eq!(
            recorded(&[("a", "a"), ("b", ""), ("\x7f", ""), ("\r", "")]),
            "a\r"
        );
    }

    #[test]
    fn a_line_with_other_output_or_keys_is_left_out_and_the_next_one_is_not() {
        let keys = [
            ("a", "a"),
            ("", "mail!"),
            ("\r", ""),
            ("b", "b"),
            ("\r", ""),
        ];
        assert_eq!(recorded(&keys), "b\r");
        let arrow = [("a", "a"), ("\x1b[D", "\x08"), ("\r", "")];
        assert_eq!(recorded(&arrow), "");
        assert_eq!(
            recorded(&[("\x03", "^C\r\n$ "), ("x", "x"), ("\x03", "^C")]),
            "\x03x\x03"
        );
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut echo = Echo::default();
        let mut out = String::new();
        for _ in 0..3 * LINE_MAX {
            echo.typed("x", &mut out);
            echo.shown("x");
        }
        echo.typed("\r", &mut out);
        assert!(out.is_empty());
        assert!(echo.typed.is_empty() && echo.shown.is_empty());
    }

    proptest! {
        /// Whatever else is shown, text that was on no screen before Enter is in no input.
        #[test]
        fn nothing_unseen_is_recorded(
            secret in "[a-z]{1,12}",
            noise in "[ -~\r\n\x08\x1b\\[K]{0,24}",
        ) {
            prop_assume!(!noise.contains(&secret[..1]));
            let mut echo = Echo::default();
            let mut out = String::new();
            for key in secret.chars() {
                echo.typed(&key.to_string(), &mut out);
                echo.shown(&noise);
            }
            echo.typed("\r", &mut out);
            prop_assert_eq!(out, "");
        }
    }
}
