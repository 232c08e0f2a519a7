//! What both directions share: nonces, the AES counter stream, the MAC, and the checks of lengths.
//!
//! Deliberately knows nothing of buffers beyond one frame. The stream cipher goes through a small scratch buffer,
//! because the library's interface wants input and output apart and this crate has no unsafe code.

use super::{Cipher, CipherError, KeyBlock, Mac};
use aws_lc_rs::cipher::{
    AES_128, AES_256, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{aead, constant_time, hmac};

/// Bytes of the `packet_length` field.
pub(super) const LENGTH_LEN: usize = 4;
/// Block of the unencrypted protocol (RFC 4253 section 6).
pub(super) const CLEAR_BLOCK: usize = 8;
/// Block of AES.
pub(super) const AES_BLOCK: usize = 16;
/// Tag of both AEADs.
pub(super) const TAG_LEN: usize = 16;

/// The nonces of AES-GCM: four fixed bytes and a counter that goes up with each packet (RFC 5647 section 7.1).
pub(super) struct GcmNonce {
    fixed: [u8; 4],
    counter: u64,
}

impl GcmNonce {
    fn new(iv: &[u8]) -> Result<Self, CipherError> {
        let (fixed, counter) = iv.split_first_chunk().ok_or(CipherError::BadKeys)?;
        let counter = counter.try_into().map_err(|_| CipherError::BadKeys)?;
        Ok(Self {
            fixed: *fixed,
            counter: u64::from_be_bytes(counter),
        })
    }

    pub(super) fn next(&mut self) -> aead::Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        let (fixed, counter) = nonce.split_at_mut(self.fixed.len());
        fixed.copy_from_slice(&self.fixed);
        counter.copy_from_slice(&self.counter.to_be_bytes());
        self.counter = self.counter.wrapping_add(1);
        aead::Nonce::assume_unique_for_key(nonce)
    }
}

/// The AES-GCM key and first nonce of one direction.
pub(super) fn gcm(
    cipher: Cipher,
    keys: &KeyBlock,
) -> Result<(aead::LessSafeKey, GcmNonce), CipherError> {
    let algorithm = if cipher == Cipher::Aes128Gcm {
        &aead::AES_128_GCM
    } else {
        &aead::AES_256_GCM
    };
    let key = aead::UnboundKey::new(algorithm, &keys.key).map_err(|_| CipherError::BadKeys)?;
    Ok((aead::LessSafeKey::new(key), GcmNonce::new(&keys.iv)?))
}

/// An AES counter stream (RFC 4344 section 4): one for the life of the keys, across packets.
pub(super) struct CtrStream(StreamingEncryptingKey);

impl CtrStream {
    pub(super) fn new(cipher: Cipher, keys: &KeyBlock) -> Result<Self, CipherError> {
        let algorithm = if cipher == Cipher::Aes128Ctr {
            &AES_128
        } else {
            &AES_256
        };
        let key = UnboundCipherKey::new(algorithm, &keys.key).map_err(|_| CipherError::BadKeys)?;
        let iv = FixedLength::try_from(keys.iv.as_slice()).map_err(|_| CipherError::BadKeys)?;
        let stream = StreamingEncryptingKey::less_safe_ctr(key, EncryptionContext::Iv128(iv));
        Ok(Self(stream.map_err(|_| CipherError::BadKeys)?))
    }

    /// Encrypts or decrypts: in counter mode they are the same. `data` is whole blocks.
    pub(super) fn apply(&mut self, data: &mut [u8]) -> Result<(), CipherError> {
        let mut scratch = [0; 4096];
        for chunk in data.chunks_mut(scratch.len()) {
            let input = scratch.get_mut(..chunk.len()).ok_or(CipherError::Library)?;
            input.copy_from_slice(chunk);
            self.0
                .less_safe_update(input, chunk)
                .map_err(|_| CipherError::Library)?;
        }
        Ok(())
    }
}

/// The MAC of one direction.
pub(super) struct PacketMac {
    key: hmac::Key,
    pub(super) is_etm: bool,
    pub(super) len: usize,
}

impl PacketMac {
    pub(super) fn new(mac: Option<Mac>, keys: &KeyBlock) -> Result<Self, CipherError> {
        let mac = mac.ok_or(CipherError::BadKeys)?;
        if keys.mac_key.len() != mac.key_len() {
            return Err(CipherError::BadKeys);
        }
        let algorithm = match mac {
            Mac::HmacSha256 | Mac::HmacSha256Etm => hmac::HMAC_SHA256,
            Mac::HmacSha512 | Mac::HmacSha512Etm => hmac::HMAC_SHA512,
        };
        Ok(Self {
            key: hmac::Key::new(algorithm, &keys.mac_key),
            is_etm: mac.is_etm(),
            len: mac.key_len(),
        })
    }

    pub(super) fn tag(&self, seq: u32, data: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&seq.to_be_bytes());
        context.update(data);
        context.sign()
    }

    pub(super) fn check(&self, seq: u32, data: &[u8], tag: &[u8]) -> Result<(), CipherError> {
        constant_time::verify_slices_are_equal(self.tag(seq, data).as_ref(), tag)
            .map_err(|_| CipherError::Integrity)
    }
}

/// How a packet is laid out around its payload.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Padding makes this a divisor ...
    pub(super) block: usize,
    /// ... of the packet with or without its length field.
    pub(super) counts_length: bool,
    /// Tag or MAC after the packet.
    pub(super) tag: usize,
}

impl Layout {
    pub(super) const CLEAR: Self = Self {
        block: CLEAR_BLOCK,
        counts_length: true,
        tag: 0,
    };

    pub(super) const fn aead(cipher: Cipher) -> Self {
        Self {
            block: cipher.block_len(),
            counts_length: false,
            tag: TAG_LEN,
        }
    }

    pub(super) const fn ctr(mac: &PacketMac) -> Self {
        Self {
            block: AES_BLOCK,
            counts_length: !mac.is_etm,
            tag: mac.len,
        }
    }

    const fn uncounted(self) -> usize {
        if self.counts_length { LENGTH_LEN } else { 0 }
    }

    /// The whole frame's size for a `packet_length` field that came in, if it is acceptable.
    pub(super) fn frame_len(
        self,
        packet_length: [u8; LENGTH_LEN],
        max: usize,
    ) -> Result<usize, CipherError> {
        let told = u32::from_be_bytes(packet_length);
        let refused = CipherError::Length(told);
        let length = usize::try_from(told).map_err(|_| refused)?;
        // Smallest: padding_length, no payload, four bytes of padding.
        if length < 5 || length > max || !(length + self.uncounted()).is_multiple_of(self.block) {
            return Err(refused);
        }
        Ok(LENGTH_LEN + length + self.tag)
    }

    /// The padding to send after so many bytes of payload: 4 to 19 bytes.
    pub(super) const fn padding(self, payload: usize) -> usize {
        let short = self.block - (self.uncounted() + 1 + payload) % self.block;
        if short < 4 { short + self.block } else { short }
    }
}

/// Where in a frame the payload is, given everything between length field and tag in clear.
pub(super) fn payload_range(packet: &[u8]) -> Result<std::ops::Range<usize>, CipherError> {
    let padding = *packet.first().ok_or(CipherError::Integrity)?;
    let payload = packet.len().saturating_sub(1 + usize::from(padding));
    if padding < 4 || payload == 0 {
        return Err(CipherError::Padding(padding));
    }
    let start = LENGTH_LEN + 1;
    Ok(start..start + payload)
}
