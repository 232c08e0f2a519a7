//! One direction of a connection: its cipher, its sequence number (RFC 4253 section 6.4), and how worn its keys are.
//!
//! Deliberately absent: what the messages mean and when keys change; the transport decides both.

use std::ops::Range;
use std::time::Duration;

use super::Entropy;
use super::cipher::{CipherError, MAX_PACKET, Opener, Sealer};

/// Largest packet accepted before authentication, in bytes: RFC 4253 section 6.1 asks for 35,000.
pub const LARGEST_EARLY_PACKET: usize = 64 * 1024;
/// Largest packet on the wire, in bytes: what a receive buffer must be able to hold. Length field and the longest MAC
/// come on top of what `packet_length` counts.
pub const LARGEST_FRAME: usize = MAX_PACKET + 4 + 64;
/// Packets one key may open at the very most, whatever the peer says to our wish for new keys.
const HARD_PACKETS: u64 = 1 << 32;

/// When keys are renewed; whatever comes first, in either direction. Bytes count from 512 up, packets from 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyLimits {
    pub bytes: u64,
    /// At most 2^31 (RFC 4344 section 3.1); larger values count as that.
    pub packets: u64,
    pub time: Duration,
}

impl RekeyLimits {
    const MOST_PACKETS: u64 = 1 << 31;
    /// Below these an exchange would wear out the keys it has just made.
    const LEAST_BYTES: u64 = 512;
    const LEAST_PACKETS: u64 = 16;
}

impl Default for RekeyLimits {
    /// 1 GiB, 2^31 packets, one hour (RFC 4253 section 9).
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            packets: Self::MOST_PACKETS,
            time: Duration::from_secs(3600),
        }
    }
}

/// What went through one direction since its keys were made.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    bytes: u64,
    packets: u64,
}

impl Usage {
    fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.packets = self.packets.saturating_add(1);
    }

    fn is_worn(&self, limits: &RekeyLimits) -> bool {
        let most_packets = limits
            .packets
            .clamp(RekeyLimits::LEAST_PACKETS, RekeyLimits::MOST_PACKETS);
        self.bytes >= limits.bytes.max(RekeyLimits::LEAST_BYTES) || self.packets >= most_packets
    }
}

/// One packet found at the start of a buffer and opened in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the buffer it takes.
    pub consumed: usize,
    /// Where in the buffer its payload is; never empty.
    pub payload: Range<usize>,
    pub sequence: u32,
}

/// The receiving direction.
pub struct Inbound {
    opener: Opener,
    sequence: u32,
    has_wrapped: bool,
    used: Usage,
    largest: usize,
}

impl Inbound {
    /// Unencrypted, as a connection begins.
    pub fn clear() -> Self {
        let mut opener = Opener::clear();
        opener.limit_packet(LARGEST_EARLY_PACKET);
        let used = Usage::default();
        Self {
            opener,
            sequence: 0,
            has_wrapped: false,
            used,
            largest: LARGEST_EARLY_PACKET,
        }
    }

    /// Opens the packet at the start of `buffer` in place; `None`: it is not all there. The same bytes (moved or not)
    /// must come again then, because a first block may have been decrypted in place.
    pub fn next(&mut self, buffer: &mut [u8]) -> Result<Option<Frame>, CipherError> {
        let Some(consumed) = self.opener.frame_len(self.sequence, buffer)? else {
            return Ok(None);
        };
        let Some(frame) = buffer.get_mut(..consumed) else {
            return Ok(None);
        };
        let payload = self.opener.open(self.sequence, frame)?;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.has_wrapped |= self.sequence == 0;
        self.used.add(consumed);
        Ok(Some(Frame {
            consumed,
            payload,
            sequence,
        }))
    }

    /// NEWKEYS: what follows comes under `opener`; strict key exchange also starts counting anew.
    pub fn renew(&mut self, mut opener: Opener, reset_sequence: bool) {
        opener.limit_packet(self.largest);
        self.opener = opener;
        self.used = Usage::default();
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// The peer has logged in: packets of any legal size may come.
    pub fn lift_limit(&mut self) {
        self.largest = MAX_PACKET;
        self.opener.limit_packet(MAX_PACKET);
    }

    /// Whether the sequence number ever went past 2^32 - 1.
    pub fn has_wrapped(&self) -> bool {
        self.has_wrapped
    }

    pub fn is_worn(&self, limits: &RekeyLimits) -> bool {
        self.used.is_worn(limits)
    }

    /// Nothing more may come under these keys.
    pub fn is_worn_out(&self) -> bool {
        self.used.packets >= HARD_PACKETS
    }
}

/// The sending direction.
pub struct Outbound {
    sealer: Sealer,
    sequence: u32,
    has_wrapped: bool,
    used: Usage,
}

impl Outbound {
    /// Unencrypted, as a connection begins.
    pub fn clear() -> Self {
        Self {
            sealer: Sealer::clear(),
            sequence: 0,
            has_wrapped: false,
            used: Usage::default(),
        }
    }

    /// Appends `payload` to `out` as one packet.
    pub fn seal(
        &mut self,
        payload: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), CipherError> {
        let before = out.len();
        self.sealer.seal(self.sequence, payload, entropy, out)?;
        self.count(out.len().saturating_sub(before));
        Ok(())
    }

    /// Makes `payload` in `buffer` one packet where it lies; `None`, with nothing changed: there is no room around it.
    pub fn seal_within(
        &mut self,
        buffer: &mut [u8],
        payload: Range<usize>,
        entropy: &mut dyn Entropy,
    ) -> Result<Option<Range<usize>>, CipherError> {
        let place = self
            .sealer
            .seal_within(self.sequence, buffer, payload, entropy)?;
        if let Some(place) = &place {
            self.count(place.len());
        }
        Ok(place)
    }

    fn count(&mut self, bytes: usize) {
        self.sequence = self.sequence.wrapping_add(1);
        self.has_wrapped |= self.sequence == 0;
        self.used.add(bytes);
    }

    /// NEWKEYS is out: what follows goes under `sealer`; strict key exchange also starts counting anew.
    pub fn renew(&mut self, sealer: Sealer, reset_sequence: bool) {
        self.sealer = sealer;
        self.used = Usage::default();
        if reset_sequence {
            self.sequence = 0;
        }
    }

    /// Whether the sequence number ever went past 2^32 - 1.
    pub fn has_wrapped(&self) -> bool {
        self.has_wrapped
    }

    pub fn is_worn(&self, limits: &RekeyLimits) -> bool {
        self.used.is_worn(limits)
    }
}
