//! Lines of the gate's own in a person's terminals: when they may be said, and how they look.
//!
//! A line waits until it breaks into nothing: behind output that ends neither within a character nor within an escape
//! sequence, or until the program has been silent for a moment. Only terminals are spoken to, never the bare streams of
//! `exec`, `sftp` and forwardings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::table::{Channel, Key};
use super::{Channels, Side, Tally};
use crate::ssh::wire::message::channel;

/// A terminal that has shown nothing for so long is not within a sequence: programs write those in one go.
const QUIET: Duration = Duration::from_millis(100);
/// A notice waits no longer than this, whatever the terminal is showing.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Notices that wait for one terminal; beyond them the oldest goes.
const NOTICES_MAX: usize = 4;
/// Bytes of a notice's text: with its frame it fits the room kept for the gate.
const TEXT_MAX: usize = 1000;

impl Channels {
    /// Has a line said in every terminal of this session.
    pub fn post(&mut self, text: &Arc<str>, now: Instant) {
        for key in self.table.keys() {
            if self
                .table
                .get(key)
                .is_some_and(|channel| channel.takes_notices())
            {
                self.post_to(key, text.clone(), now);
            }
        }
    }

    pub(super) fn post_to(&mut self, key: Key, text: Arc<str>, now: Instant) {
        let Some(channel) = self.table.get(key) else {
            return;
        };
        let before = Tally::of(channel);
        if channel.notices.is_empty() {
            channel.noticed = Some(now);
            channel.shown = None;
            channel.scanner = Scanner::default();
        }
        if channel.notices.len() == NOTICES_MAX {
            channel.notices.pop_front();
        }
        channel.notices.push_back(text);
        self.tally.exchange(before, Tally::of(channel));
        self.set_alarm(now);
    }

    /// Says at once what waits, since there will be no better moment.
    pub fn speak_all(&mut self, now: Instant) {
        for key in self.table.keys() {
            self.speak(key, now);
        }
    }

    /// When [`Channels::ring`] has something to do.
    pub fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    pub(super) fn set_alarm(&mut self, now: Instant) {
        let next = now + QUIET;
        self.alarm = Some(self.alarm.map_or(next, |alarm| alarm.min(next)));
    }

    /// Says what has waited long enough.
    pub fn ring(&mut self, now: Instant) {
        self.alarm = None;
        for key in self.table.keys() {
            let moment = self.table.get(key).and_then(|channel| channel.moment());
            match moment {
                Some(moment) if moment <= now => self.speak(key, now),
                Some(moment) => {
                    self.alarm = Some(self.alarm.map_or(moment, |alarm| alarm.min(moment)))
                }
                None => {}
            }
        }
    }

    /// Says what waits on this channel. What finds no room in the client's window is lost: it has shown that it takes
    /// nothing.
    pub(super) fn speak(&mut self, key: Key, now: Instant) {
        let Some(channel) = self
            .table
            .get(key)
            .filter(|channel| channel.takes_notices())
        else {
            return;
        };
        let before = Tally::of(channel);
        let id = channel.id(Side::Client).unwrap_or_default();
        while let Some(text) = channel.notices.pop_front() {
            let line = line(&text);
            if !channel.may_say(line.len()) {
                continue;
            }
            let message = channel::channel_data(id, line.as_bytes());
            self.answers.client.push(message);
            if let Some(observer) = &mut self.observer {
                observer.data(id, Side::Instance, None, line.as_bytes(), now);
            }
        }
        self.tally.exchange(before, Tally::of(channel));
    }
}

impl Channel {
    fn takes_notices(&self) -> bool {
        self.is_session
            && self.has_terminal
            && self.has_program
            && !self.is_finished
            && !self.is_cut
            && self.closed == [false; 2]
            && self.id(Side::Instance).is_some()
    }

    /// The instance has shown these bytes while a notice waits; whether it can be said right behind them.
    pub(super) fn has_shown(&mut self, bytes: &[u8], now: Instant) -> bool {
        self.shown = Some(now);
        self.scanner.read(bytes)
    }

    /// When what waits is to be said even if no better moment comes before.
    fn moment(&self) -> Option<Instant> {
        let noticed = self
            .noticed
            .filter(|_| !self.notices.is_empty() && self.takes_notices())?;
        let quiet = self.shown.unwrap_or(noticed) + QUIET;
        Some(quiet.min(noticed + LONGEST_WAIT))
    }
}

/// A notice as a terminal shows it: on a line of its own, without control characters, of bounded length.
pub(super) fn line(text: &str) -> String {
    let end = text.floor_char_boundary(TEXT_MAX);
    let text = text.get(..end).unwrap_or_default();
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\r\npoolgate: {clean}\r\n")
}

/// Follows a terminal's output just far enough to know whether it is within a character or a sequence (ECMA-48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanner {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between characters.
    #[default]
    Ground,
    /// So many bytes of a UTF-8 character are missing.
    Character(u8),
    /// Behind ESC, and the bytes 0x20-0x2f that may follow it.
    Escape,
    /// Within a control sequence, `ESC [`, up to its final byte.
    Control,
    /// Within a string, `ESC ]`, `ESC P`, `ESC X`, `ESC ^`, `ESC _`, up to BEL or `ESC \`.
    String,
    StringEscape,
}

impl Scanner {
    /// Whether the output stands between characters and sequences after these bytes.
    fn read(&mut self, bytes: &[u8]) -> bool {
        self.state = bytes
            .iter()
            .fold(self.state, |state, byte| state.after(*byte));
        self.state == State::Ground
    }
}

impl State {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::String, 0x07) | (Self::StringEscape, b'\\') => Self::Ground,
            (Self::String, 0x1b) => Self::StringEscape,
            (Self::String, _) => Self::String,
            // CAN and SUB break anything off; ESC begins anew.
            (_, 0x18 | 0x1a) => Self::Ground,
            (Self::StringEscape, _) => Self::Escape.after(byte),
            (_, 0x1b) => Self::Escape,
            (Self::Escape, b'[') => Self::Control,
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Self::String,
            (Self::Escape, 0x20..=0x2f) => Self::Escape,
            (Self::Control, 0x00..=0x3f) => Self::Control,
            (Self::Character(missing @ 2..), 0x80..=0xbf) => Self::Character(missing - 1),
            (_, 0xc0..=0xdf) => Self::Character(1),
            (_, 0xe0..=0xef) => Self::Character(2),
            (_, 0xf0..=0xf7) => Self::Character(3),
            _ => Self::Ground,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_into_neither_characters_nor_sequences() {
        let whole: &[&[u8]] = &[
            b"plain",
            b"\x1b[1;31mred",
            "für".as_bytes(),
            b"\x1b]0;title\x07",
            b"\x1b(B",
            b"\x1b]8;;x\x1b\\",
            b"\xff\xfe",
        ];
        for bytes in whole {
            assert!(Scanner::default().read(bytes), "{bytes:?}");
        }
        let cut: &[&[u8]] = &[
            b"x\x1b",
            b"\x1b[",
            b"\x1b[38;5",
            b"f\xc3",
            b"\xe2\x82",
            b"\x1b]0;tit",
            b"\x1b(",
            b"\x1bPq#0",
        ];
        for bytes in cut {
            assert!(!Scanner::default().read(bytes), "{bytes:?}");
        }
        let mut scanner = Scanner::default();
        assert!(!scanner.read(b"\xf0\x9f"));
        assert!(scanner.read(b"\x98\x80"));
    }

    #[test]
    fn a_notice_is_one_clean_line() {
        assert_eq!(
            line("going\x1b[31m\ndown"),
            "\r\npoolgate: going[31mdown\r\n"
        );
        assert!(line(&"ü".repeat(5000)).len() <= 1020);
    }
}
