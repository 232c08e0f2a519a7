//! Requests on a channel and their answers: what is remembered of them, and how the gate refuses one in its turn.
//!
//! Answers carry no number of their request and come in the requests' order, so a refusal waits until the instance has
//! answered what was asked before. A refused program says why on its standard error and ends, since a bare
//! CHANNEL_FAILURE tells a person nothing.

use std::time::Instant;

use super::table::{Channel, Key, Owed, OwnAnswer};
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
        if request.name == b"exec"
            && channel.is_session
            && !channel.has_program
            && let Some(own) = &mut self.own
            && let Some(said) = own.run(request.program()?)
        {
            let owed = Owed {
                behind: channel.asked,
                want_reply: request.want_reply,
                answer: OwnAnswer::Program(said),
            };
            return self.owe(key, request.recipient, owed);
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
        let is_program = matches!(request.name, b"shell" | b"exec" | b"subsystem");
        if !is_program && !request.want_reply {
            // Nobody waits for an answer: OpenSSH asks for its agent this way.
            self.post_to(key, refusal.text.into(), now);
            return Ok(Passage::Drop);
        }
        let owed = Owed {
            behind: channel.asked,
            want_reply: request.want_reply,
            answer: match is_program {
                true => OwnAnswer::RefusedProgram(refusal.text),
                false => OwnAnswer::Failure,
            },
        };
        self.owe(key, request.recipient, owed)
    }

    /// The request goes no further; its answer comes in its turn.
    fn owe(&mut self, key: Key, recipient: u32, owed: Owed) -> Result<Passage, ChannelError> {
        if let Some(channel) = self.table.get(key) {
            if channel.owed.len() >= REFUSALS_MAX {
                return Err(ChannelError::TooManyRefusals(recipient));
            }
            channel.owed.push_back(owed);
        }
        self.answer_owed(key);
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
        self.answer_owed(key);
        Ok(Passage::Pass)
    }

    /// Answers what the gate owes on this channel, as soon as all that was asked before is answered.
    fn answer_owed(&mut self, key: Key) {
        while let Some(channel) = self.table.get(key)
            && let Some(owed) = channel
                .owed
                .pop_front_if(|owed| owed.behind == channel.answered)
        {
            let (Some(client), Some(instance)) =
                (channel.id(Side::Client), channel.id(Side::Instance))
            else {
                return;
            };
            if channel.closed != [false; 2] {
                return;
            }
            if matches!(owed.answer, OwnAnswer::Failure) {
                let failure = channel::bare(number::CHANNEL_FAILURE, client);
                self.answers.client.push(failure);
                continue;
            }
            let before = Tally::of(channel);
            channel.is_cut = true;
            channel.owed.clear();
            channel.notices.clear();
            self.tally.exchange(before, Tally::of(channel));
            if owed.want_reply {
                let success = channel::bare(number::CHANNEL_SUCCESS, client);
                self.answers.client.push(success);
            }
            self.end_program(key, client, &owed.answer);
            self.answers
                .instance
                .push(channel::bare(number::CHANNEL_CLOSE, instance));
        }
    }

    /// A program of the gate's own says what it has to say, and has ended; one that was not allowed to run "says" why.
    fn end_program(&mut self, key: Key, client: u32, answer: &OwnAnswer) {
        let Some(channel) = self.table.get(key) else {
            return;
        };
        let (text, status) = match answer {
            OwnAnswer::Failure => return,
            OwnAnswer::RefusedProgram(why) => (notices::line(why), REFUSED_STATUS),
            OwnAnswer::Program(said) if channel.has_terminal => (said.for_terminal(), said.status),
            OwnAnswer::Program(said) => (said.text.clone(), said.status),
        };
        let to_client = &mut self.answers.client;
        if channel.may_say(text.len()) {
            let message = match channel.has_terminal || status == 0 {
                true => channel::channel_data(client, text.as_bytes()),
                false => channel::channel_error_data(client, text.as_bytes()),
            };
            to_client.push(message);
        }
        to_client.push(channel::exit_status(client, status));
        to_client.push(channel::bare(number::CHANNEL_EOF, client));
        to_client.push(channel::bare(number::CHANNEL_CLOSE, client));
    }
}
