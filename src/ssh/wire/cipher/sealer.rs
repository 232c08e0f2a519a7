//! The sending direction: payloads become packets.
//!
//! The hot path of the relay: one copy of the payload into the output (or none, see [`Sealer::seal_within`]), sealed
//! there in place. Padding is as short as RFC 4253 section 6 allows: it hides nothing a longer one would not show.

use super::super::Entropy;
use super::primitive::{CtrStream, GcmNonce, LENGTH_LEN, Layout, PacketMac, TAG_LEN, gcm};
use super::{Cipher, CipherError, KeyBlock, MAX_PACKET, Mac};
use aws_lc_rs::aead::chacha20_poly1305_openssh::SealingKey;
use aws_lc_rs::aead::{Aad, LessSafeKey};
use std::ops::Range;

/// Bytes in front of the payload: `packet_length` and `padding_length`.
const HEAD_LEN: usize = LENGTH_LEN + 1;

/// Seals the packets of one direction. `Send` but not `Sync`.
pub struct Sealer {
    mode: Mode,
    layout: Layout,
    /// Packets that these keys may still seal: chacha20's nonce is the sequence number, and that repeats.
    left: u64,
    padding: Padding,
}

enum Mode {
    Clear,
    Gcm(LessSafeKey, GcmNonce),
    Chacha(Box<SealingKey>),
    Ctr(Box<(CtrStream, PacketMac)>),
}

impl Sealer {
    /// No encryption: before the first NEWKEYS.
    #[must_use]
    pub const fn clear() -> Self {
        Self::with(Mode::Clear, Layout::CLEAR)
    }

    /// After NEWKEYS. `mac` is required for a cipher that is no AEAD and ignored otherwise.
    ///
    /// # Errors
    /// [`CipherError::BadKeys`] if the keys do not fit.
    pub fn new(cipher: Cipher, mac: Option<Mac>, keys: &KeyBlock) -> Result<Self, CipherError> {
        Ok(match cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => {
                let (key, nonce) = gcm(cipher, keys)?;
                Self::with(Mode::Gcm(key, nonce), Layout::aead(cipher))
            }
            Cipher::Chacha20Poly1305 => {
                let key = keys
                    .key
                    .as_slice()
                    .try_into()
                    .map_err(|_| CipherError::BadKeys)?;
                Self::with(
                    Mode::Chacha(Box::new(SealingKey::new(key))),
                    Layout::aead(cipher),
                )
            }
            Cipher::Aes128Ctr | Cipher::Aes256Ctr => {
                let (stream, mac) = (CtrStream::new(cipher, keys)?, PacketMac::new(mac, keys)?);
                let layout = Layout::ctr(&mac);
                Self::with(Mode::Ctr(Box::new((stream, mac))), layout)
            }
        })
    }

    const fn with(mode: Mode, layout: Layout) -> Self {
        Self {
            mode,
            layout,
            left: 1 << 32,
            padding: Padding {
                stock: [0; 256],
                used: 256,
            },
        }
    }

    /// Appends `payload` (1 byte to about [`MAX_PACKET`]) as one whole packet to `out`.
    ///
    /// # Errors
    /// [`CipherError::Payload`] and [`CipherError::Exhausted`], with `out` as it was; [`CipherError::Library`], fatal.
    pub fn seal(
        &mut self,
        seq: u32,
        payload: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), CipherError> {
        let padding = self.admit(payload.len())?;
        let start = out.len();
        out.reserve(HEAD_LEN + payload.len() + padding + self.layout.tag);
        out.extend_from_slice(&head(payload.len(), padding));
        out.extend_from_slice(payload);
        out.extend_from_slice(self.padding.take(padding, entropy));
        out.resize(out.len() + self.layout.tag, 0);
        let frame = out.get_mut(start..).ok_or(CipherError::Library)?;
        let sealed = self.seal_frame(seq, frame);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// Seals a payload where it lies: `payload` in `buffer` becomes one whole packet around it, whose place is
    /// returned; nothing is copied. Bytes around the payload are overwritten.
    ///
    /// `None`, with nothing changed, if there is no room: 5 bytes in front, padding and tag behind. The frame that a
    /// payload was opened from has that room if the other leg's cipher frames alike and its peer pads as little.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_within(
        &mut self,
        seq: u32,
        buffer: &mut [u8],
        payload: Range<usize>,
        entropy: &mut dyn Entropy,
    ) -> Result<Option<Range<usize>>, CipherError> {
        let padding = self.layout.padding(payload.len());
        let Some(start) = payload.start.checked_sub(HEAD_LEN) else {
            return Ok(None);
        };
        let end = payload.end.saturating_add(padding + self.layout.tag);
        let Some(frame) = buffer.get_mut(start..end) else {
            return Ok(None);
        };
        self.admit(payload.len())?;
        if let Some(place) = frame.first_chunk_mut() {
            *place = head(payload.len(), padding);
        }
        let behind = HEAD_LEN + payload.len();
        if let Some(place) = frame.get_mut(behind..behind + padding) {
            place.copy_from_slice(self.padding.take(padding, entropy));
        }
        self.seal_frame(seq, frame)?;
        Ok(Some(start..end))
    }

    /// Counts a packet; returns its padding.
    fn admit(&mut self, payload: usize) -> Result<usize, CipherError> {
        let padding = self.layout.padding(payload);
        if payload == 0 || payload > MAX_PACKET - 1 - padding {
            return Err(CipherError::Payload(payload));
        }
        if !matches!(self.mode, Mode::Clear) {
            self.left = self.left.checked_sub(1).ok_or(CipherError::Exhausted)?;
        }
        Ok(padding)
    }

    /// `frame`: the packet in clear and room for the tag.
    fn seal_frame(&mut self, seq: u32, frame: &mut [u8]) -> Result<(), CipherError> {
        let parts = frame
            .len()
            .checked_sub(self.layout.tag)
            .and_then(|len| frame.split_at_mut_checked(len));
        let (packet, tag) = parts.ok_or(CipherError::Library)?;
        match &mut self.mode {
            Mode::Clear => {}
            Mode::Gcm(key, nonce) => {
                let (length, body) = packet
                    .split_first_chunk_mut::<LENGTH_LEN>()
                    .ok_or(CipherError::Library)?;
                let sealed =
                    key.seal_in_place_scatter(nonce.next(), Aad::from(*length), body, &[], tag);
                sealed.map_err(|_| CipherError::Library)?;
            }
            Mode::Chacha(key) => {
                let tag = tag
                    .first_chunk_mut::<TAG_LEN>()
                    .ok_or(CipherError::Library)?;
                key.seal_in_place(seq, packet, tag);
            }
            Mode::Ctr(ctr) => {
                let (stream, mac) = ctr.as_mut();
                if mac.is_etm {
                    stream.apply(packet.get_mut(LENGTH_LEN..).ok_or(CipherError::Library)?)?;
                    tag.copy_from_slice(mac.tag(seq, packet).as_ref());
                } else {
                    tag.copy_from_slice(mac.tag(seq, packet).as_ref());
                    stream.apply(packet)?;
                }
            }
        }
        Ok(())
    }
}

/// `packet_length` and `padding_length`; both were bounded by [`Sealer::admit`].
fn head(payload: usize, padding: usize) -> [u8; HEAD_LEN] {
    let length = u32::try_from(1 + payload + padding)
        .unwrap_or_default()
        .to_be_bytes();
    let [a, b, c, d] = length;
    [a, b, c, d, u8::try_from(padding).unwrap_or_default()]
}

/// Random bytes drawn in stock: a draw for each packet would cost more than sealing a small one.
struct Padding {
    stock: [u8; 256],
    used: usize,
}

impl Padding {
    fn take(&mut self, len: usize, entropy: &mut dyn Entropy) -> &[u8] {
        if self.used + len > self.stock.len() {
            entropy.fill(&mut self.stock);
            self.used = 0;
        }
        let taken = self
            .stock
            .get(self.used..self.used + len)
            .unwrap_or_default();
        self.used += len;
        taken
    }
}
