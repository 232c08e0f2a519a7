//! What somebody who watches terminals is told: a recording, for instance.
//!
//! Only session channels with a terminal are shown, and only while somebody watches: the relay does not even look at data
//! otherwise. Channels are named by the client's id, which is free again after `closed`.

use std::time::Instant;

use super::Side;
use crate::ssh::wire::message::channel::{TerminalRequest, TerminalSize};

/// What runs on a session channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program<'a> {
    Shell,
    Exec(&'a [u8]),
    Subsystem(&'a [u8]),
}

/// Somebody who watches one session's terminals. Called from the relay: it must neither wait nor fail; what it has to keep
/// it copies out of the slices.
pub trait Observer: Send {
    /// The client asks for a terminal on this channel. A refusal is followed by `closed`.
    fn terminal(&mut self, channel: u32, terminal: &TerminalRequest<'_>, now: Instant);

    /// A program is asked for on a channel with a terminal.
    fn program(&mut self, channel: u32, program: Program<'_>, now: Instant);

    fn resized(&mut self, channel: u32, size: TerminalSize, now: Instant);

    /// Bytes on a channel with a terminal: typed (from the client) or shown (from the instance, or by the gate as a
    /// notice, which is told as from the instance). `extended` is the kind of extended data, 1 for standard error.
    fn data(&mut self, channel: u32, from: Side, extended: Option<u32>, bytes: &[u8], now: Instant);

    /// The terminal is gone.
    fn closed(&mut self, channel: u32, now: Instant);

    /// Whether data are wanted at all; `false` (a recording that has reached its limit) takes the relay back to not
    /// looking at them.
    fn wants_data(&self) -> bool {
        true
    }
}
