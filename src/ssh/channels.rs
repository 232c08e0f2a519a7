//! What the relay knows of a session's channels: whose numbers belong together, what was asked, what the gate itself owes.
//!
//! Pure: messages and the time come in, a passage for each message and the gate's own messages come out. Channels keep
//! their numbers and windows from end to end, and data pass unread: they are looked at (never changed) only while somebody
//! watches a terminal, a notice waits for its moment, or the gate has cut a channel off. What cannot be attributed to a
//! channel ends the session, since a rule could otherwise be got round by naming a channel before it is confirmed.

mod notices;
mod observer;
mod own;
mod requests;
mod reserve;
mod table;
#[cfg(test)]
mod tests;

use std::time::Instant;

pub use observer::{Observer, Program};
pub use own::{OwnPrograms, Said};

use self::requests::REFUSALS_MAX;
use self::table::{CHANNELS_MAX, Channel, Key, NoEntry, Table};
use super::policy::{Policy, Refusal};
use super::wire::message::channel::{self, ChannelData, ChannelOpen, OpenFailure};
use super::wire::message::{GlobalKind, GlobalRequest, Malformed, number};

/// One of the two legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Instance,
}

impl Side {
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Instance,
            Self::Instance => Self::Client,
        }
    }

    fn of<T>(self, [client, instance]: &[T; 2]) -> &T {
        match self {
            Self::Client => client,
            Self::Instance => instance,
        }
    }

    fn of_mut<T>(self, [client, instance]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Client => client,
            Self::Instance => instance,
        }
    }
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage {
    /// It goes on as it is.
    Pass,
    /// This goes on in its place.
    Replace(Vec<u8>),
    /// It ends here.
    Drop,
}

/// What the gate itself says, to be sent after the message that caused it.
#[derive(Debug, Default)]
pub struct Answers {
    pub client: Vec<Vec<u8>>,
    pub instance: Vec<Vec<u8>>,
}

impl Answers {
    fn to(&mut self, side: Side) -> &mut Vec<Vec<u8>> {
        match side {
            Side::Client => &mut self.client,
            Side::Instance => &mut self.instance,
        }
    }

    fn is_empty(&self) -> bool {
        self.client.is_empty() && self.instance.is_empty()
    }
}

/// Why a session cannot go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    #[error("a malformed message: {0}")]
    Malformed(#[from] Malformed),
    #[error("message {number} for channel {channel}, which is not open")]
    Unknown { number: u8, channel: u32 },
    #[error("channel {0} was opened while it was open already")]
    Taken(u32),
    #[error("more than {REFUSALS_MAX} refused requests wait on channel {0}")]
    TooManyRefusals(u32),
}

/// All channels of one session.
#[derive(Default)]
pub struct Channels {
    table: Table,
    tally: Tally,
    policy: Policy,
    observer: Option<Box<dyn Observer>>,
    own: Option<Box<dyn OwnPrograms>>,
    /// The client has renounced further sessions.
    is_last_session: bool,
    answers: Answers,
    refusals: Vec<Refusal>,
    alarm: Option<Instant>,
}

/// How many channels there are for whose sake data must be looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    cut: usize,
    terminals: usize,
    noticed: usize,
}

impl Tally {
    fn of(channel: &Channel) -> Self {
        Self {
            cut: channel.is_cut.into(),
            terminals: channel.has_terminal.into(),
            noticed: usize::from(!channel.notices.is_empty()),
        }
    }

    fn exchange(&mut self, before: Self, after: Self) {
        self.cut = self.cut + after.cut - before.cut;
        self.terminals = self.terminals + after.terminals - before.terminals;
        self.noticed = self.noticed + after.noticed - before.noticed;
    }
}

impl Channels {
    pub fn new(policy: Policy, observer: Option<Box<dyn Observer>>) -> Self {
        Self {
            policy,
            observer,
            ..Self::default()
        }
    }

    /// With programs that the gate answers itself.
    pub fn with_own(self, own: Option<Box<dyn OwnPrograms>>) -> Self {
        Self { own, ..self }
    }

    /// Whether data from this side have to be shown to [`Channels::take`]; while not, they may pass without it.
    pub fn watches_data(&self, from: Side) -> bool {
        let tally = &self.tally;
        tally.cut > 0
            || (tally.noticed > 0 && from == Side::Instance)
            || (tally.terminals > 0 && self.is_observed())
    }

    /// Whether a global request may pass. One by which the client renounces further sessions (OpenSSH PROTOCOL section
    /// 2.2) holds whatever the instance makes of it.
    pub fn permits_global(&mut self, from: Side, request: &GlobalRequest<'_>) -> bool {
        if from == Side::Instance {
            return true;
        }
        self.is_last_session |= request.kind() == GlobalKind::NoMoreSessions;
        match self.policy.check_global(request) {
            Ok(()) => true,
            Err(refusal) => {
                self.refusals.push(refusal);
                false
            }
        }
    }

    /// What the gate has to say itself, after the latest message has gone where it goes. `None`: nothing.
    pub fn take_answers(&mut self) -> Option<Answers> {
        (!self.answers.is_empty()).then(|| std::mem::take(&mut self.answers))
    }

    /// For what is refused elsewhere.
    pub fn note_refusal(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }

    /// What has been refused since this was last asked; for the log.
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// One message about channels, from its number on.
    pub fn take(
        &mut self,
        from: Side,
        payload: &[u8],
        now: Instant,
    ) -> Result<Passage, ChannelError> {
        match payload.first().copied().unwrap_or_default() {
            number::CHANNEL_OPEN => self.open(from, payload),
            number::CHANNEL_OPEN_CONFIRMATION => self.confirm(from, payload),
            number::CHANNEL_OPEN_FAILURE => self.fail(from, payload),
            number::CHANNEL_WINDOW_ADJUST => self.adjust(from, payload),
            number::CHANNEL_DATA | number::CHANNEL_EXTENDED_DATA => self.data(from, payload, now),
            number::CHANNEL_REQUEST => self.request(from, payload, now),
            number::CHANNEL_SUCCESS | number::CHANNEL_FAILURE => self.answer(from, payload, now),
            number::CHANNEL_EOF => self.finish(from, payload),
            number::CHANNEL_CLOSE => self.close(from, payload, now),
            // From the protocol's free range: nobody knows what they are about.
            _ => Ok(Passage::Pass),
        }
    }

    fn open(&mut self, from: Side, payload: &[u8]) -> Result<Passage, ChannelError> {
        let open = ChannelOpen::parse(payload)?;
        let is_session = from == Side::Client && open.kind == b"session";
        let ruling = match is_session && self.is_last_session {
            true => Err(Refusal::sessions_over()),
            false => self.policy.check_open(from, &open),
        };
        if let Err(refusal) = ruling {
            let why = OpenFailure::AdministrativelyProhibited;
            return Ok(self.refuse_open(from, open.sender, why, refusal));
        }
        let mut channel = Channel::opened_by(from, open.sender);
        channel.is_session = is_session;
        channel.packet_max = open.packet_max;
        let mut told = open.window;
        if is_session {
            (channel.reserve, told) = reserve::Reserve::of_window(open.window);
        }
        match self.table.enter(from, channel) {
            Ok(_) if told == open.window => Ok(Passage::Pass),
            Ok(_) => Ok(Passage::Replace(open.with_window(told))),
            Err(NoEntry::Taken) => Err(ChannelError::Taken(open.sender)),
            Err(NoEntry::Full) => {
                let refusal = Refusal::too_many_channels(CHANNELS_MAX);
                let why = OpenFailure::ResourceShortage;
                Ok(self.refuse_open(from, open.sender, why, refusal))
            }
        }
    }

    fn refuse_open(&mut self, from: Side, id: u32, why: OpenFailure, refusal: Refusal) -> Passage {
        let answer = channel::open_failure(id, why, &refusal.text);
        self.answers.to(from).push(answer);
        self.refusals.push(refusal);
        Passage::Drop
    }

    fn confirm(&mut self, from: Side, payload: &[u8]) -> Result<Passage, ChannelError> {
        let (recipient, sender) = channel::parse_confirmation(payload)?;
        let key = self.find_unconfirmed(from, recipient, payload)?;
        match self.table.name(key, from, sender) {
            true => Ok(Passage::Pass),
            false => Err(ChannelError::Taken(sender)),
        }
    }

    fn fail(&mut self, from: Side, payload: &[u8]) -> Result<Passage, ChannelError> {
        let recipient = channel::recipient(payload)?;
        let key = self.find_unconfirmed(from, recipient, payload)?;
        self.remove(key);
        Ok(Passage::Pass)
    }

    /// The channel that `from` is asked to open and has not answered.
    fn find_unconfirmed(
        &mut self,
        from: Side,
        id: u32,
        payload: &[u8],
    ) -> Result<Key, ChannelError> {
        let found = self.table.find_unconfirmed(from, id);
        found.ok_or_else(|| unknown(payload, id))
    }

    /// The channel a message from `from` is about, by the number of its recipient.
    fn find(&self, from: Side, id: u32) -> Option<Key> {
        self.table.find(from, id)
    }

    fn adjust(&mut self, from: Side, payload: &[u8]) -> Result<Passage, ChannelError> {
        let (recipient, granted) = channel::parse_adjust(payload)?;
        let Some(key) = self.find(from, recipient) else {
            return Ok(Passage::Pass);
        };
        let Some(channel) = self.table.get(key) else {
            return Ok(Passage::Pass);
        };
        if channel.is_cut {
            return Ok(Passage::Drop);
        }
        if from == Side::Instance || channel.reserve.is_full() {
            return Ok(Passage::Pass);
        }
        Ok(match channel.reserve.absorb(granted) {
            0 => Passage::Drop,
            rest => Passage::Replace(channel::window_adjust(recipient, rest)),
        })
    }

    fn data(&mut self, from: Side, payload: &[u8], now: Instant) -> Result<Passage, ChannelError> {
        let data = ChannelData::parse(payload)?;
        let Some(key) = self.find(from, data.recipient) else {
            return Ok(Passage::Pass);
        };
        let Some(channel) = self.table.get(key) else {
            return Ok(Passage::Pass);
        };
        if channel.is_cut {
            return Ok(Passage::Drop);
        }
        let id = channel.id(Side::Client).unwrap_or_default();
        let has_terminal = channel.has_terminal;
        let is_moment = from == Side::Instance
            && !channel.notices.is_empty()
            && channel.has_shown(data.bytes, now);
        if has_terminal && let Some(observer) = &mut self.observer {
            observer.data(id, from, data.extended, data.bytes, now);
        }
        if is_moment {
            self.speak(key, now);
        }
        Ok(Passage::Pass)
    }

    fn finish(&mut self, from: Side, payload: &[u8]) -> Result<Passage, ChannelError> {
        let recipient = channel::recipient(payload)?;
        let found = self.find(from, recipient);
        let Some(channel) = found.and_then(|key| self.table.get(key)) else {
            return Ok(Passage::Pass);
        };
        channel.is_finished |= from == Side::Instance;
        Ok(match channel.is_cut {
            true => Passage::Drop,
            false => Passage::Pass,
        })
    }

    fn close(&mut self, from: Side, payload: &[u8], now: Instant) -> Result<Passage, ChannelError> {
        let recipient = channel::recipient(payload)?;
        let Some(key) = self.find(from, recipient) else {
            return Ok(Passage::Pass);
        };
        let Some(channel) = self.table.get(key) else {
            return Ok(Passage::Pass);
        };
        *from.of_mut(&mut channel.closed) = true;
        let passage = match channel.is_cut {
            true => Passage::Drop,
            false => Passage::Pass,
        };
        if channel.closed == [true; 2]
            && let Some(gone) = self.remove(key)
        {
            self.tell_closed(&gone, now);
        }
        Ok(passage)
    }

    fn remove(&mut self, key: Key) -> Option<Channel> {
        let gone = self.table.remove(key)?;
        self.tally.exchange(Tally::of(&gone), Tally::default());
        Some(gone)
    }

    fn is_observed(&self) -> bool {
        self.observer
            .as_ref()
            .is_some_and(|observer| observer.wants_data())
    }

    fn tell_closed(&mut self, gone: &Channel, now: Instant) {
        if gone.has_terminal
            && let Some(observer) = &mut self.observer
        {
            observer.closed(gone.id(Side::Client).unwrap_or_default(), now);
        }
    }
}

fn unknown(payload: &[u8], channel: u32) -> ChannelError {
    ChannelError::Unknown {
        number: payload.first().copied().unwrap_or_default(),
        channel,
    }
}
