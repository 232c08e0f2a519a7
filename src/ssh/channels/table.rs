//! The channels of one session, found by either side's number.
//!
//! A number belongs to the side that chose it: a message *to* somebody carries that somebody's number, a message that
//! opens or confirms carries its sender's own. Deliberately absent: what messages mean (`channels`).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Side;
use super::notices::Scanner;
use super::own::Said;
use super::reserve::Reserve;

/// Open channels in one session: as many as OpenSSH's own table holds.
pub const CHANNELS_MAX: usize = 10_000;

/// Names a channel within the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u32);

/// One channel, from its CHANNEL_OPEN to the second CHANNEL_CLOSE.
#[derive(Debug)]
pub struct Channel {
    /// By `Side`: the number that side chose.
    ids: [Option<u32>; 2],
    /// By `Side`: has sent CHANNEL_CLOSE.
    pub closed: [bool; 2],
    pub is_session: bool,
    /// The client asked for a terminal, and was not refused.
    pub has_terminal: bool,
    /// A shell or a command was asked for: what the person sees is its output.
    pub has_program: bool,
    /// The instance will send no more data.
    pub is_finished: bool,
    /// The gate has closed both sides of it; whatever comes is dropped until they have confirmed.
    pub is_cut: bool,
    /// For what the gate has to say to the client.
    pub reserve: Reserve,
    pub packet_max: u32,
    /// Requests of the client passed on that want an answer, and answers to them.
    pub asked: u32,
    pub answered: u32,
    /// Which of them asked for the terminal.
    pub terminal_asked: Option<u32>,
    /// What the gate itself answers on this channel, behind so many answers.
    pub owed: VecDeque<Owed>,
    /// What is to be said on this channel's terminal, as soon as it does not break into anything.
    pub notices: VecDeque<Arc<str>>,
    /// When the oldest of them came, and when the instance last showed something since.
    pub noticed: Option<Instant>,
    pub shown: Option<Instant>,
    pub scanner: Scanner,
}

/// A request the gate answers, until its turn to be answered has come.
#[derive(Debug)]
pub struct Owed {
    /// Behind so many answers of the instance.
    pub behind: u32,
    pub want_reply: bool,
    pub answer: OwnAnswer,
}

#[derive(Debug)]
pub enum OwnAnswer {
    /// CHANNEL_FAILURE.
    Failure,
    /// A program that is not allowed, with the reason.
    RefusedProgram(String),
    Program(Said),
}

impl Channel {
    pub fn opened_by(side: Side, id: u32) -> Self {
        let mut ids = [None; 2];
        *side.of_mut(&mut ids) = Some(id);
        Self {
            ids,
            closed: [false; 2],
            is_session: false,
            has_terminal: false,
            has_program: false,
            is_finished: false,
            is_cut: false,
            reserve: Reserve::default(),
            packet_max: 0,
            asked: 0,
            answered: 0,
            terminal_asked: None,
            owed: VecDeque::new(),
            notices: VecDeque::new(),
            noticed: None,
            shown: None,
            scanner: Scanner::default(),
        }
    }

    /// The number this side chose; `None` until it has confirmed the channel.
    pub fn id(&self, side: Side) -> Option<u32> {
        *side.of(&self.ids)
    }

    /// Takes room in the client's window for so many bytes of the gate's own; `false` where there is none.
    pub fn may_say(&mut self, bytes: usize) -> bool {
        let fits = u32::try_from(bytes).is_ok_and(|bytes| bytes <= self.packet_max);
        fits && self.reserve.spend(bytes)
    }
}

/// Why a channel cannot be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEntry {
    Full,
    /// Its opener uses the number for another channel.
    Taken,
}

#[derive(Debug, Default)]
pub struct Table {
    channels: HashMap<Key, Channel>,
    /// The oldest first: of a channel that the gate has cut, a side that is done with it may use the number again while the
    /// other has yet to close.
    by_id: [HashMap<u32, Vec<Key>>; 2],
    next: u32,
}

impl Table {
    pub fn enter(&mut self, opener: Side, channel: Channel) -> Result<Key, NoEntry> {
        let id = channel.id(opener).unwrap_or_default();
        if self.is_taken(opener, id) {
            return Err(NoEntry::Taken);
        }
        if self.channels.len() >= CHANNELS_MAX {
            return Err(NoEntry::Full);
        }
        // Numbers come round after 2^32 channels, and one of the first may still be open.
        while self.channels.contains_key(&Key(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        let key = Key(self.next);
        self.next = self.next.wrapping_add(1);
        self.channels.insert(key, channel);
        self.note(opener, id, key);
        Ok(key)
    }

    /// The side that confirms a channel names it; `false` if it uses the number for another one.
    pub fn name(&mut self, key: Key, side: Side, id: u32) -> bool {
        let is_taken = self.is_taken(side, id);
        let Some(channel) = self.channels.get_mut(&key) else {
            return false;
        };
        if is_taken || channel.id(side).is_some() {
            return false;
        }
        *side.of_mut(&mut channel.ids) = Some(id);
        self.note(side, id, key);
        true
    }

    /// The channel a message from `from` is about, by the number its recipient chose. Nobody sends anything on a channel
    /// after closing it.
    pub fn find(&self, from: Side, id: u32) -> Option<Key> {
        self.find_where(from.other(), id, |channel| !*from.of(&channel.closed))
    }

    /// The channel that `from` is asked to open and has not answered.
    pub fn find_unconfirmed(&self, from: Side, id: u32) -> Option<Key> {
        self.find_where(from.other(), id, |channel| channel.id(from).is_none())
    }

    fn find_where(&self, side: Side, id: u32, is_meant: impl Fn(&Channel) -> bool) -> Option<Key> {
        let keys = side.of(&self.by_id).get(&id)?;
        let mut keys = keys.iter().copied();
        keys.find(|key| self.channels.get(key).is_some_and(&is_meant))
    }

    fn is_taken(&self, side: Side, id: u32) -> bool {
        let is_in_use = |channel: &Channel| !channel.is_cut || !*side.of(&channel.closed);
        self.find_where(side, id, is_in_use).is_some()
    }

    fn note(&mut self, side: Side, id: u32, key: Key) {
        let keys = side.of_mut(&mut self.by_id);
        keys.entry(id).or_default().push(key);
    }

    pub fn get(&mut self, key: Key) -> Option<&mut Channel> {
        self.channels.get_mut(&key)
    }

    pub fn remove(&mut self, key: Key) -> Option<Channel> {
        let channel = self.channels.remove(&key)?;
        for side in [Side::Client, Side::Instance] {
            let Some(id) = channel.id(side) else {
                continue;
            };
            let ids = side.of_mut(&mut self.by_id);
            if let Some(keys) = ids.get_mut(&id) {
                keys.retain(|one| *one != key);
                if keys.is_empty() {
                    ids.remove(&id);
                }
            }
        }
        Some(channel)
    }

    pub fn keys(&self) -> Vec<Key> {
        self.channels.keys().copied().collect()
    }
}
