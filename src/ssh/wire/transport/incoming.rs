//! What comes in: the peer's identification, then packets, each either the transport's own or passed on.

use std::time::Instant;

use super::{Event, Phase, Received, Transport, WireError};
use crate::ssh::wire::Entropy;
use crate::ssh::wire::ident::Step;
use crate::ssh::wire::message::{Disconnect, ExtInfo, number, pong, unimplemented};
use crate::ssh::wire::negotiate::Role;

/// Messages without use that a peer may send before it has logged in.
const MOST_IDLE_MESSAGES: u32 = 256;
/// What a key exchange counts as, before the peer has logged in.
const EXCHANGE_WEIGHT: u32 = 16;

impl Transport {
    pub(super) fn take<'b>(
        &mut self,
        buffer: &'b mut [u8],
        entropy: &mut dyn Entropy,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Received<'b>, WireError> {
        if matches!(self.phase, Phase::Identifying(_)) {
            let consumed = self.identify(buffer, entropy, out)?;
            let event = if consumed == 0 {
                Event::NeedMore
            } else {
                Event::Progress
            };
            let payload = 0..0;
            return Ok(Received {
                consumed,
                payload,
                event,
            });
        }
        if self.inbound.is_worn_out() {
            return Err(WireError::KeysWornOut);
        }
        let Some(frame) = self.inbound.next(buffer)? else {
            return Ok(Received {
                consumed: 0,
                payload: 0..0,
                event: Event::NeedMore,
            });
        };
        if self.inbound.has_wrapped() && !self.is_established {
            return Err(WireError::SequenceWrapped);
        }
        let payload = buffer.get(frame.payload.clone()).unwrap_or_default();
        let mut place = 0..0;
        let event = match payload.first().copied().unwrap_or_default() {
            number @ (number::SERVICE_REQUEST | number::SERVICE_ACCEPT | 50..=127) => {
                self.require_established(number)?;
                place = frame.payload;
                Event::Message(payload)
            }
            number => self.own_message(number, payload, frame.sequence, entropy, now, out)?,
        };
        if self.may_renew() && self.inbound.is_worn(self.side.rekey()) && !self.has_ended {
            self.request_rekey(entropy, out)?;
        }
        Ok(Received {
            consumed: frame.consumed,
            payload: place,
            event,
        })
    }

    fn identify(
        &mut self,
        buffer: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<usize, WireError> {
        match self.ident_reader.next(buffer)? {
            Step::NeedMore => Ok(0),
            Step::Preface { consumed } => Ok(consumed),
            Step::Found { consumed, ident } => {
                self.peer_ident = Some(ident);
                if self.attends_client() {
                    self.phase = Phase::Attending;
                    return Ok(consumed);
                }
                let own = match std::mem::replace(&mut self.phase, Phase::Settled) {
                    Phase::Identifying(Some(own)) => own,
                    _ => self.propose(entropy, out)?,
                };
                self.phase = Phase::Proposed(own);
                Ok(consumed)
            }
        }
    }

    fn own_message(
        &mut self,
        number: u8,
        payload: &[u8],
        sequence: u32,
        entropy: &mut dyn Entropy,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Event<'static>, WireError> {
        match number {
            number::DISCONNECT => {
                let Disconnect { code, text } = Disconnect::parse(payload)?;
                self.has_ended = true;
                return Ok(Event::Disconnected { code, text });
            }
            number::IGNORE | number::UNIMPLEMENTED | number::DEBUG => {
                self.require_lenient(number)?
            }
            number::EXT_INFO => {
                self.require_established(number)?;
                self.peer_info = ExtInfo::parse(payload)?;
            }
            number::PING => {
                self.require_established(number)?;
                self.send(&pong(payload)?, entropy, out)?;
            }
            number::PONG => self.require_established(number)?,
            number::KEXINIT => {
                self.count_idle(if self.is_established {
                    EXCHANGE_WEIGHT
                } else {
                    0
                })?;
                self.on_kexinit(payload, sequence, entropy, out)?;
                return Ok(Event::Progress);
            }
            number::NEWKEYS => return self.on_newkeys(payload, now, entropy, out),
            30..=49 if self.skips_guess() => {}
            number::KEX_INIT if self.role() == Role::Server => {
                self.on_kex_init(payload, entropy, out)?;
                return Ok(Event::Progress);
            }
            number::KEX_REPLY if self.role() == Role::Client => {
                self.on_kex_reply(payload, entropy, out)?;
                return Ok(Event::Progress);
            }
            _ => {
                self.require_established(number)?;
                self.send(&unimplemented(sequence), entropy, out)?;
            }
        }
        self.count_idle(1)?;
        Ok(Event::Progress)
    }

    /// Messages that only make sense under keys. RFC 4253 section 7.1 also forbids them between the peer's later KEXINITs
    /// and NEWKEYS, but PuTTY 0.78 sends channel messages there and sshd takes them; under the old keys they are as
    /// authentic and as ordered as ever, so they pass.
    fn require_established(&self, number: u8) -> Result<(), WireError> {
        let at = "before the first key exchange ended";
        match self.is_established {
            true => Ok(()),
            false => Err(WireError::Unexpected { number, at }),
        }
    }

    /// Messages legal at any time, unless the first exchange is a strict one. Before the peer's KEXINIT nobody knows:
    /// its sequence number tells then.
    fn require_lenient(&self, number: u8) -> Result<(), WireError> {
        if self.is_strict && !self.is_established {
            return Err(WireError::Unexpected {
                number,
                at: "in a strict key exchange",
            });
        }
        Ok(())
    }

    fn count_idle(&mut self, weight: u32) -> Result<(), WireError> {
        if self.is_authenticated {
            return Ok(());
        }
        self.idle_messages = self.idle_messages.saturating_add(weight);
        match self.idle_messages > MOST_IDLE_MESSAGES {
            true => Err(WireError::Flood(MOST_IDLE_MESSAGES)),
            false => Ok(()),
        }
    }
}
