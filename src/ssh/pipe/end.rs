//! One end of the relay: a leg, what it owes and is owed, and how it is read and written without waiting.
//!
//! The rules that bound its memory and tell a dead peer from a blocked one are here; what passes is `pipe`'s business.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::net::TcpStream;

use super::{Keepalive, RelayError};
use crate::shared_pool::Meter;
use crate::ssh::channels::Side;
use crate::ssh::client_env::ClientEnv;
use crate::ssh::host_identity::Prover;
use crate::ssh::leg::Leg;
use crate::ssh::replies::{Due, Replies};
use crate::ssh::wire::message::{GlobalRequest, Writer, number};

/// Bytes taken from a socket at a time: several of OpenSSH's 32 KiB packets, and still within a core's cache.
pub(super) const BATCH: usize = 256 * 1024;
/// What one leg may send into the other while its own keys are being renewed: all that was under way before it heard of it.
const REKEY_SLACK: usize = 16 * 1024 * 1024;
/// The largest buffer kept for the next batch: one that a renewal has swollen goes back.
const KEPT_MAX: usize = 4 * BATCH;

thread_local! {
    /// Lent to whichever session is moving bytes on this thread, so that an idle session holds no buffers.
    static OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A leg and what the relay must remember of it.
pub(super) struct End {
    pub leg: Leg,
    /// Answers to global requests that this leg owes.
    pub replies: Replies,
    /// For the person's client: proves the gate's host keys.
    pub prover: Option<Prover>,
    /// For the person's client: a variable to be set for what they run.
    pub env: Option<ClientEnv>,
    pub left: Option<Departure>,
    /// When it last gave a sign of life.
    pub heard: Instant,
    /// When it last sent data on a channel.
    pub moved: Instant,
    unanswered: u32,
    /// Bytes of the gate's own answers to this leg (to pings, to what it does not know) that wait to be taken.
    answers: usize,
}

/// How a leg ended.
#[derive(Debug)]
pub(super) enum Departure {
    Closed,
    /// It said so, in these words.
    Disconnected(String),
    Broke(String),
}

impl End {
    pub fn new(leg: Leg, now: Instant) -> Self {
        Self {
            leg,
            replies: Replies::default(),
            prover: None,
            env: None,
            left: None,
            heard: now,
            moved: now,
            unanswered: 0,
            answers: 0,
        }
    }

    /// The proof of host keys this leg has asked for; `None` is a refusal.
    pub fn prove(&mut self, request: &GlobalRequest<'_>) -> Option<Vec<u8>> {
        self.prover.as_mut()?.answer(request, &self.leg)
    }

    /// A leg is read while the other one has taken all it was given, and while it takes the answers to what it says.
    /// A leg that renews its keys must be read even if the other one renews its own and holds packets back for it, or
    /// each would wait for the other.
    pub fn may_be_read(&self, other: &Self) -> bool {
        let slack = match self.leg.transport.is_rekeying() {
            true => REKEY_SLACK,
            false => 0,
        };
        let (backlog, answers) = (other.backlog(), self.answers);
        (backlog == 0 || backlog < slack) && answers < slack.max(BATCH)
    }

    /// Bytes it has yet to take.
    pub fn backlog(&self) -> usize {
        self.leg.outgoing.len() - self.leg.sent + self.leg.transport.held_bytes()
    }

    pub fn is_flushed(&self) -> bool {
        self.leg.sent == self.leg.outgoing.len()
    }

    /// A leg that broke for what it sent may still hear why; one that said goodbye may not.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.left,
            Some(Departure::Closed | Departure::Disconnected(_))
        )
    }

    /// Puts what was left over and what the socket has into `input`.
    pub fn read(
        &mut self,
        input: &mut Vec<u8>,
        side: Side,
        meter: &Meter,
    ) -> Result<(), Departure> {
        input.clear();
        input.append(&mut self.leg.incoming);
        self.leg.incoming = Vec::new();
        input.reserve(BATCH);
        match self.leg.stream.try_read_buf(input) {
            Ok(0) => Err(Departure::Closed),
            Ok(count) => {
                self.is_alive();
                if side == Side::Client {
                    meter.bytes_in.fetch_add(count as u64, Relaxed);
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(Departure::Broke(error.to_string())),
        }
    }

    /// The answers among what waits: all by which the backlog has grown while this leg was heard.
    pub fn count_answers(&mut self, backlog_before: usize) {
        self.answers += self.backlog().saturating_sub(backlog_before);
    }

    pub fn is_alive(&mut self) {
        self.heard = Instant::now();
        self.unanswered = 0;
    }

    /// Renews keys whose time has come and asks a silent peer for a sign of life, unless it is not being read.
    pub fn tick(&mut self, keepalive: Keepalive, is_read: bool) {
        // What it says waits unread because the other leg is stuck; only a leg that is stuck itself may be dead.
        if !is_read && self.backlog() == 0 {
            self.is_alive();
        }
        let now = Instant::now();
        let outcome = self.ask_for_life(keepalive, now).and_then(|()| {
            Ok(self
                .leg
                .transport
                .tick(now, &mut self.leg.entropy, &mut self.leg.outgoing)?)
        });
        if let Err(error) = outcome {
            self.left.get_or_insert(Departure::Broke(error.to_string()));
        }
    }

    fn ask_for_life(&mut self, keepalive: Keepalive, now: Instant) -> Result<(), RelayError> {
        if now.saturating_duration_since(self.heard) < keepalive.interval {
            return Ok(());
        }
        if self.unanswered >= keepalive.unanswered_max {
            return Err(RelayError::Silent);
        }
        self.unanswered += 1;
        self.replies.push(Due::Swallow)?;
        self.send(&keepalive_request())
    }

    pub fn send(&mut self, payload: &[u8]) -> Result<(), RelayError> {
        Ok(self
            .leg
            .transport
            .send(payload, &mut self.leg.entropy, &mut self.leg.outgoing)?)
    }

    /// Sends a payload of `buffer`. If it became a packet where it lies, right behind those of `sealed`, it is one of them
    /// from then on; if not, it waits in this leg's buffer.
    pub fn send_within(
        &mut self,
        buffer: &mut [u8],
        payload: Range<usize>,
        sealed: &mut Range<usize>,
    ) -> Result<(), RelayError> {
        let leg = &mut self.leg;
        let (entropy, out) = (&mut leg.entropy, &mut leg.outgoing);
        let place = leg.transport.send_within(buffer, payload, entropy, out)?;
        match place {
            None => {}
            Some(place) if Range::is_empty(sealed) => *sealed = place,
            Some(place) if place.start == sealed.end => sealed.end = place.end,
            // It is shorter than what came, so that there is a gap between it and the next.
            Some(place) => {
                let packet = buffer.get(place).unwrap_or_default();
                // Keys renewed right behind it are announced in the buffer already.
                put_first(out, packet);
            }
        }
        Ok(())
    }

    /// Takes a buffer for what is about to be sent.
    pub fn borrow_output(&mut self) {
        if self.leg.outgoing.capacity() == 0 {
            self.leg.outgoing = OUTPUT.take();
        }
    }

    /// Writes `first` and then what waits, as much as the socket takes without waiting; how much. `first` is empty if
    /// something was waiting before it; what the socket does not take of it waits then.
    pub fn write_what_fits(&mut self, first: &[u8]) -> io::Result<usize> {
        let leg = &mut self.leg;
        let mut written = write_some(&leg.stream, first)?;
        let rest = first.get(written..).unwrap_or_default();
        if !rest.is_empty() {
            put_first(&mut leg.outgoing, rest);
            return Ok(written);
        }
        let waiting = leg.outgoing.get(leg.sent..).unwrap_or_default();
        let count = write_some(&leg.stream, waiting)?;
        leg.sent += count;
        written += count;
        if leg.sent < leg.outgoing.len() {
            return Ok(written);
        }
        leg.sent = 0;
        leg.outgoing.clear();
        give_back(std::mem::take(&mut leg.outgoing));
        if self.backlog() == 0 {
            self.answers = 0;
        }
        Ok(written)
    }
}

/// In front of what waits, which is next to nothing.
fn put_first(waiting: &mut Vec<u8>, bytes: &[u8]) {
    waiting.extend_from_slice(bytes);
    waiting.rotate_right(bytes.len());
}

/// Until all is written or the socket takes no more; how much it took.
fn write_some(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match stream.try_write(rest) {
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Keeps the larger buffer for the next batch on this thread.
fn give_back(buffer: Vec<u8>) {
    let kept = OUTPUT.take();
    let is_better = (kept.capacity()..=KEPT_MAX).contains(&buffer.capacity());
    OUTPUT.set(if is_better { buffer } else { kept });
}

/// Any answer to it, a refusal too, is a sign of life.
fn keepalive_request() -> Vec<u8> {
    Writer::new(number::GLOBAL_REQUEST)
        .string("keepalive@openssh.com")
        .boolean(true)
        .finish()
}
