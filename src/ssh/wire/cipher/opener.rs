//! The receiving direction: how long the next packet is, and what is in it.
//!
//! Nothing of a packet is believed before its tag or MAC holds, but the length field, which must be: it is bounded
//! before anything waits for it or allocates by it.

use super::primitive::{
    AES_BLOCK, CtrStream, GcmNonce, LENGTH_LEN, Layout, PacketMac, TAG_LEN, gcm, payload_range,
};
use super::{Cipher, CipherError, KeyBlock, MAX_PACKET, Mac};
use aws_lc_rs::aead::chacha20_poly1305_openssh::OpeningKey;
use aws_lc_rs::aead::{Aad, LessSafeKey};
use std::ops::Range;

/// Opens the packets of one direction. `Send` but not `Sync`. After an error it refuses everything.
pub struct Opener {
    mode: Mode,
    max_packet: usize,
}

enum Mode {
    Clear,
    Gcm(LessSafeKey, GcmNonce),
    Chacha(Box<OpeningKey>),
    Ctr(Box<Ctr>),
    Failed,
}

struct Ctr {
    stream: CtrStream,
    mac: PacketMac,
    /// Without etm the length is in the first block, which the stream must pass exactly once: set when it has.
    known: Option<usize>,
}

impl Opener {
    /// No encryption: before the first NEWKEYS.
    #[must_use]
    pub const fn clear() -> Self {
        Self {
            mode: Mode::Clear,
            max_packet: MAX_PACKET,
        }
    }

    /// After NEWKEYS. `mac` is required for a cipher that is no AEAD and ignored otherwise.
    ///
    /// # Errors
    /// [`CipherError::BadKeys`] if the keys do not fit.
    pub fn new(cipher: Cipher, mac: Option<Mac>, keys: &KeyBlock) -> Result<Self, CipherError> {
        let mode = match cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => {
                let (key, nonce) = gcm(cipher, keys)?;
                Mode::Gcm(key, nonce)
            }
            Cipher::Chacha20Poly1305 => {
                let key = keys
                    .key
                    .as_slice()
                    .try_into()
                    .map_err(|_| CipherError::BadKeys)?;
                Mode::Chacha(Box::new(OpeningKey::new(key)))
            }
            Cipher::Aes128Ctr | Cipher::Aes256Ctr => {
                let (stream, mac) = (CtrStream::new(cipher, keys)?, PacketMac::new(mac, keys)?);
                Mode::Ctr(Box::new(Ctr {
                    stream,
                    mac,
                    known: None,
                }))
            }
        };
        Ok(Self {
            mode,
            max_packet: MAX_PACKET,
        })
    }

    /// Sets the largest `packet_length` accepted, in bytes (less before authentication, say); never above
    /// [`MAX_PACKET`].
    pub fn limit_packet(&mut self, bytes: usize) {
        self.max_packet = bytes.min(MAX_PACKET);
    }

    /// The whole wire size of the packet at the start of `buffered`: length field, padding, tag or MAC.
    /// `None`: more bytes are needed to know. `Some(n)` may exceed what is buffered.
    ///
    /// May be called again for the same packet with more bytes: but the bytes may have been changed in place by the
    /// call before (aes-ctr without etm), so hand in the same buffer, moved if need be, never a fresh copy of the wire.
    ///
    /// # Errors
    /// [`CipherError::Length`]; fatal.
    pub fn frame_len(
        &mut self,
        seq: u32,
        buffered: &mut [u8],
    ) -> Result<Option<usize>, CipherError> {
        let answer = self.mode.frame_len(seq, buffered, self.max_packet);
        if answer.is_err() {
            self.mode = Mode::Failed;
        }
        answer
    }

    /// Verifies and decrypts one whole frame in place; `frame` is exactly [`Self::frame_len`] bytes. Returns where in
    /// `frame` the payload is: never empty.
    ///
    /// # Errors
    /// [`CipherError::Integrity`] if the frame is not the one sent, [`CipherError::Padding`]; both fatal. The frame's
    /// content is then unspecified.
    pub fn open(&mut self, seq: u32, frame: &mut [u8]) -> Result<Range<usize>, CipherError> {
        let answer = match self.mode.frame_len(seq, frame, self.max_packet) {
            Ok(Some(len)) if len == frame.len() => self.mode.open(seq, frame),
            Ok(_) => Err(CipherError::Integrity),
            Err(error) => Err(error),
        };
        if answer.is_err() {
            self.mode = Mode::Failed;
        }
        answer
    }
}

impl Mode {
    fn frame_len(
        &mut self,
        seq: u32,
        buffered: &mut [u8],
        max: usize,
    ) -> Result<Option<usize>, CipherError> {
        let field = buffered.first_chunk::<LENGTH_LEN>().copied();
        let (layout, field) = match self {
            Self::Failed => return Err(CipherError::Integrity),
            Self::Ctr(ctr) if !ctr.mac.is_etm => return ctr.frame_len(buffered, max),
            Self::Ctr(ctr) => (Layout::ctr(&ctr.mac), field),
            Self::Clear => (Layout::CLEAR, field),
            Self::Gcm(..) => (Layout::aead(Cipher::Aes128Gcm), field),
            Self::Chacha(key) => {
                let field = field.map(|field| key.decrypt_packet_length(seq, field));
                (Layout::aead(Cipher::Chacha20Poly1305), field)
            }
        };
        field.map(|field| layout.frame_len(field, max)).transpose()
    }

    /// `frame` has the length that its own length field says.
    fn open(&mut self, seq: u32, frame: &mut [u8]) -> Result<Range<usize>, CipherError> {
        match self {
            Self::Failed => Err(CipherError::Integrity),
            Self::Clear => payload_range(frame.get(LENGTH_LEN..).ok_or(CipherError::Integrity)?),
            Self::Gcm(key, nonce) => {
                let (length, rest) = frame
                    .split_first_chunk_mut::<LENGTH_LEN>()
                    .ok_or(CipherError::Integrity)?;
                let (packet, tag) = rest
                    .split_last_chunk_mut::<TAG_LEN>()
                    .ok_or(CipherError::Integrity)?;
                let packet =
                    key.open_in_place_separate_tag(nonce.next(), Aad::from(*length), tag, packet);
                payload_range(packet.map_err(|_| CipherError::Integrity)?)
            }
            Self::Chacha(key) => {
                let (sealed, tag) = frame
                    .split_last_chunk_mut::<TAG_LEN>()
                    .ok_or(CipherError::Integrity)?;
                payload_range(
                    key.open_in_place(seq, sealed, tag)
                        .map_err(|_| CipherError::Integrity)?,
                )
            }
            Self::Ctr(ctr) => ctr.open(seq, frame),
        }
    }
}

impl Ctr {
    /// Without etm: decrypts the first block to learn the length, once a packet.
    fn frame_len(&mut self, buffered: &mut [u8], max: usize) -> Result<Option<usize>, CipherError> {
        if self.known.is_none() {
            let Some(block) = buffered.first_chunk_mut::<AES_BLOCK>() else {
                return Ok(None);
            };
            self.stream.apply(block)?;
            let field = block
                .first_chunk::<LENGTH_LEN>()
                .ok_or(CipherError::Integrity)?;
            self.known = Some(Layout::ctr(&self.mac).frame_len(*field, max)?);
        }
        Ok(self.known)
    }

    fn open(&mut self, seq: u32, frame: &mut [u8]) -> Result<Range<usize>, CipherError> {
        let whole = frame
            .len()
            .checked_sub(self.mac.len)
            .and_then(|len| frame.split_at_mut_checked(len));
        let (sealed, tag) = whole.ok_or(CipherError::Integrity)?;
        if self.mac.is_etm {
            self.mac.check(seq, sealed, tag)?;
            let packet = sealed.get_mut(LENGTH_LEN..).ok_or(CipherError::Integrity)?;
            self.stream.apply(packet)?;
            return payload_range(packet);
        }
        self.stream
            .apply(sealed.get_mut(AES_BLOCK..).ok_or(CipherError::Integrity)?)?;
        self.known = None;
        self.mac.check(seq, sealed, tag)?;
        payload_range(sealed.get(LENGTH_LEN..).ok_or(CipherError::Integrity)?)
    }
}
