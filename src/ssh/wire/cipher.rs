//! Ciphers and MACs of the binary packet protocol (RFC 4253 section 6): frames in, payloads out, and back.
//!
//! [`Opener`] and [`Sealer`] are one direction each of one connection; both work in place on the caller's buffers and
//! allocate nothing a packet. The caller keeps the sequence numbers, because strict key exchange resets them.
//! Deliberately absent: CBC, SHA-1 and MD5 MACs, truncated MACs, compression.

mod opener;
mod primitive;
mod sealer;
#[cfg(test)]
mod tests;

pub use opener::Opener;
pub use sealer::Sealer;
use thiserror::Error;
use zeroize::Zeroizing;

/// Largest `packet_length` field accepted or produced, in bytes: what OpenSSH allows, enough for every known peer.
pub const MAX_PACKET: usize = 256 * 1024;

/// An encryption algorithm of RFC 4253 section 6.3 that both directions may negotiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES-128 in Galois counter mode, RFC 5647 as OpenSSH frames it.
    Aes128Gcm,
    /// AES-256 in Galois counter mode, RFC 5647 as OpenSSH frames it.
    Aes256Gcm,
    /// ChaCha20 and Poly1305 with an encrypted length field (OpenSSH PROTOCOL.chacha20poly1305).
    Chacha20Poly1305,
    /// AES-128 in counter mode, RFC 4344; needs a [`Mac`].
    Aes128Ctr,
    /// AES-256 in counter mode, RFC 4344; needs a [`Mac`].
    Aes256Ctr,
}

impl Cipher {
    /// Every cipher, in the order in which they are preferred.
    pub const ALL: [Self; 5] = [
        Self::Aes128Gcm,
        Self::Aes256Gcm,
        Self::Chacha20Poly1305,
        Self::Aes128Ctr,
        Self::Aes256Ctr,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "aes128-gcm@openssh.com",
            Self::Aes256Gcm => "aes256-gcm@openssh.com",
            Self::Chacha20Poly1305 => "chacha20-poly1305@openssh.com",
            Self::Aes128Ctr => "aes128-ctr",
            Self::Aes256Ctr => "aes256-ctr",
        }
    }

    /// The cipher of that name, exactly as spelt on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.name() == name)
    }

    /// Whether the cipher authenticates by itself; then no [`Mac`] is negotiated.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(
            self,
            Self::Aes128Gcm | Self::Aes256Gcm | Self::Chacha20Poly1305
        )
    }

    /// Bytes of key to derive (letters C and D).
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128Ctr => 16,
            Self::Aes256Gcm | Self::Aes256Ctr => 32,
            Self::Chacha20Poly1305 => 64,
        }
    }

    /// Bytes of initial vector to derive (letters A and B).
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 12,
            Self::Chacha20Poly1305 => 0,
            Self::Aes128Ctr | Self::Aes256Ctr => 16,
        }
    }

    /// Bytes a packet is padded to a multiple of.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Chacha20Poly1305 => 8,
            _ => 16,
        }
    }
}

/// A message authentication code (RFC 4253 section 6.4, RFC 6668; `etm`: OpenSSH PROTOCOL section 1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mac {
    /// HMAC-SHA-256 over the plaintext.
    HmacSha256,
    /// HMAC-SHA-512 over the plaintext.
    HmacSha512,
    /// HMAC-SHA-256 over the ciphertext, length field in clear.
    HmacSha256Etm,
    /// HMAC-SHA-512 over the ciphertext, length field in clear.
    HmacSha512Etm,
}

impl Mac {
    /// Every MAC, in the order in which they are preferred.
    pub const ALL: [Self; 4] = [
        Self::HmacSha256Etm,
        Self::HmacSha512Etm,
        Self::HmacSha256,
        Self::HmacSha512,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha2-256",
            Self::HmacSha512 => "hmac-sha2-512",
            Self::HmacSha256Etm => "hmac-sha2-256-etm@openssh.com",
            Self::HmacSha512Etm => "hmac-sha2-512-etm@openssh.com",
        }
    }

    /// The MAC of that name, exactly as spelt on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mac| mac.name() == name)
    }

    /// Whether the MAC covers the ciphertext and the length field travels in clear.
    #[must_use]
    pub const fn is_etm(self) -> bool {
        matches!(self, Self::HmacSha256Etm | Self::HmacSha512Etm)
    }

    /// Bytes of key to derive (letters E and F); the tag is as long.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::HmacSha256 | Self::HmacSha256Etm => 32,
            Self::HmacSha512 | Self::HmacSha512Etm => 64,
        }
    }
}

/// The derived secrets of one direction (RFC 4253 section 7.2), wiped on drop. Never printed: no `Debug`.
pub struct KeyBlock {
    /// [`Cipher::iv_len`] bytes.
    pub iv: Zeroizing<Vec<u8>>,
    /// [`Cipher::key_len`] bytes.
    pub key: Zeroizing<Vec<u8>>,
    /// [`Mac::key_len`] bytes; empty with an AEAD.
    pub mac_key: Zeroizing<Vec<u8>>,
}

/// Why a packet could not be opened or sealed. All are fatal to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CipherError {
    /// Key material of the wrong length, or a MAC missing or superfluous: a bug in the caller.
    #[error(
        "the derived keys do not fit the negotiated cipher and MAC; this is a fault of the program"
    )]
    BadKeys,
    /// `packet_length` outside the bounds or no multiple of the block.
    #[error("packet length {0} is not acceptable; the stream is corrupt or not SSH")]
    Length(u32),
    /// `padding_length` below 4 or leaving no payload.
    #[error("padding length {0} does not fit its packet; the peer is faulty")]
    Padding(u8),
    /// The tag or MAC does not match, or the frame is not the one announced.
    #[error("a packet failed its integrity check; it was corrupted or tampered with on the way")]
    Integrity,
    /// The payload is empty or does not fit into [`MAX_PACKET`].
    #[error("a payload of {0} bytes cannot be sent as one packet")]
    Payload(usize),
    /// 2^32 packets were sealed with one key; another would repeat a nonce.
    #[error("one key sealed all the packets it may; a key exchange is overdue")]
    Exhausted,
    /// A primitive failed for no reason that the input explains.
    #[error("the cryptographic library refused an operation")]
    Library,
}
