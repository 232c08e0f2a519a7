//! Requests on a channel and their answers: what is remembered of them, and how the gate refuses one in its turn.
//!
//! Answers carry no number of their request and come in the requests' order, so a refusal waits until the instance has
//! answered what was asked before. A refused program says why on its standard error and ends, since a bare
//! CHANNEL_FAILURE tells a person nothing.

use std::time::Instant;

use super::table::{Channel, Key, Refused};
use super::{ChannelError, Channels, Passage, Program, Side, Tally, notices, unknown};
use crate::ssh::policy::Refusal;
use crate::ssh::wire::message::channel::{self, ChannelRequest, TerminalRequest, TerminalSize};
use crate::ssh::wire::message::number;

/// Refusals that wait behind other answers on one channel: more than any client asks without waiting.
pub(super) const REFUSALS_MAX: usize = 64;
/// What a refused program "ends" with.
const REFUSED_STATUS: u32 = 1;

impl Channels {
    pub(super) fn request(
        &mut self,
        from: Side,
        payload: &[u8],
        now: Instant,
    ) -> Result<Passage, ChannelError> {
        let request = ChannelRequest::parse(payload)?;
        let unknown = || unknown(payload, request.recipient);
        let key = self.find(from, request.recipient).ok_or_else(unknown)?;
        // Asked of a channel that the asking side has not confirmed itself.
        let is_open = |channel: &&mut Channel| channel.id(from).is_some();
        let channel = self.table.get(key).filter(is_open).ok_or_else(unknown)?;
        if channel.is_cut {
            return Ok(Passage::Drop);
        }
        if from == Side::Instance {
            return Ok(Passage::Pass);
        }
        if let Err(refusal) = self.policy.check_request(&request) {
            return self.refuse_request(key, &request, refusal, now);
        }
        if request.want_reply {
            channel.asked = channel.asked.wrapping_add(1);
        }
        self.note_request(key, &request, now)?;
        Ok(Passage::Pass)
    }

    /// Remembers what a request that passes makes of its channel, and tells whoever watches.
    fn note_request(
        &mut self,
        key: Key,
        request: &ChannelRequest<'_>,
        now: Instant,
    ) -> Result<(), ChannelError> {
        let Some(channel) = self.table.get(key).filter(|channel| channel.is_session) else {
            return Ok(());
        };
        let before = Tally::of(channel);
        let id = channel.id(Side::Client).unwrap_or_default();
        let observer = self.observer.as_deref_mut();
        let program = match request.name {
            b"pty-req" => {
                let terminal = TerminalRequest::parse(request.data)?;
                // Whoever asks twice may get one by either request: a refusal of the first is not the end of it.
                let is_first = !channel.has_terminal;
                channel.has_terminal = true;
                channel.terminal_asked = (request.want_reply && is_first).then_some(channel.asked);
                if let Some(observer) = observer {
                    observer.terminal(id, &terminal, now);
                }
                self.tally.exchange(before, Tally::of(channel));
                return Ok(());
            }
            b"window-change" if channel.has_terminal => {
                let size = TerminalSize::parse(request.data)?;
                if let Some(observer) = observer {
                    observer.resized(id, size, now);
                }
                return Ok(());
            }
            b"shell" => Program::Shell,
            b"exec" => Program::Exec(request.program()?),
            b"subsystem" => Program::Subsystem(request.program()?),
            _ => return Ok(()),
        };
        channel.has_program = !matches!(program, Program::Subsystem(_));
        if !channel.notices.is_empty() {
            self.set_alarm(now);
        }
        if let Some(channel) = self.table.get(key)
            && channel.has_terminal
            && let Some(observer) = &mut self.observer
        {
            observer.program(id, program, now);
        }
        Ok(())
    }

    fn refuse_request(
        &mut self,
        key: Key,
        request: &ChannelRequest<'_>,
        refusal: Refusal,
        now: Instant,
    ) -> Result<Passage, ChannelError> {
        let Some(channel) = self.table.get(key) else {
            return Ok(Passage::Drop);
        };
        self.refusals.push(refusal.clone());
        let refused = Refused {
            behind: channel.asked,
            is_program: matches!(request.name, b"shell" | b"exec" | b"subsystem"),
            want_reply: request.want_reply,
            text: refusal.text,
        };
        if !refused.is_program && !refused.want_reply {
            // Nobody waits for an answer: OpenSSH asks for its agent this way.
            self.post_to(key, refused.text.into(), now);
            return Ok(Passage::Drop);
        }
        if channel.refused.len() >= REFUSALS_MAX {
            return Err(ChannelError::TooManyRefusals(request.recipient));
        }
        channel.refused.push_back(refused);
        self.answer_refused(key);
        Ok(Passage::Drop)
    }

    pub(super) fn answer(
        &mut self,
        from: Side,
        payload: &[u8],
        now: Instant,
    ) -> Result<Passage, ChannelError> {
        let recipient = channel::recipient(payload)?;
        let Some(key) = self.find(from, recipient) else {
            return Ok(Passage::Pass);
        };
        let Some(channel) = self.table.get(key) else {
            return Ok(Passage::Pass);
        };
        if channel.is_cut {
            return Ok(Passage::Drop);
        }
        if from == Side::Client {
            return Ok(Passage::Pass);
        }
        if channel.answered == channel.asked {
            // Nobody asked; passed on, it would be taken for the answer to what comes next.
            return Ok(Passage::Drop);
        }
        let before = Tally::of(channel);
        channel.answered = channel.answered.wrapping_add(1);
        let is_refused = payload.first() == Some(&number::CHANNEL_FAILURE);
        if is_refused && channel.terminal_asked == Some(channel.answered) {
            channel.has_terminal = false;
            self.tally.exchange(before, Tally::of(channel));
            let id = channel.id(Side::Client).unwrap_or_default();
            if let Some(observer) = &mut self.observer {
                observer.closed(id, now);
            }
        }
        self.answer_refused(key);
        Ok(Passage::Pass)
    }

    /// Refuses what was asked of this channel and is not allowed, as soon as all that was asked before is answered.
    fn answer_refused(&mut self, key: Key) {
        while let Some(channel) = self.table.get(key)
            && let Some(refused) = channel
                .refused
                .pop_front_if(|refused| refused.behind == channel.answered)
        {
            let (Some(client), Some(instance)) =
                (channel.id(Side::Client), channel.id(Side::Instance))
            else {
                return;
            };
            if channel.closed != [false; 2] {
                return;
            }
            if !refused.is_program {
                self.answers
                    .client
                    .push(channel::bare(number::CHANNEL_FAILURE, client));
                continue;
            }
            let before = Tally::of(channel);
            channel.is_cut = true;
            channel.refused.clear();
            channel.notices.clear();
            self.tally.exchange(before, Tally::of(channel));
            if refused.want_reply {
                self.answers
                    .client
                    .push(channel::bare(number::CHANNEL_SUCCESS, client));
            }
            self.say_farewell(key, client, &refused.text);
            self.answers
                .instance
                .push(channel::bare(number::CHANNEL_CLOSE, instance));
        }
    }

    /// A program that was not allowed to run "says" why, and has ended.
    fn say_farewell(&mut self, key: Key, client: u32, text: &str) {
        let Some(channel) = self.table.get(key) else {
            return;
        };
        let line = notices::line(text);
        let to_client = &mut self.answers.client;
        if channel.may_say(line.len()) {
            let message = match channel.has_terminal {
                true => channel::channel_data(client, line.as_bytes()),
                false => channel::channel_error_data(client, line.as_bytes()),
            };
            to_client.push(message);
        }
        to_client.push(channel::exit_status(client, REFUSED_STATUS));
        to_client.push(channel::bare(number::CHANNEL_EOF, client));
        to_client.push(channel::bare(number::CHANNEL_CLOSE, client));
    }
}
