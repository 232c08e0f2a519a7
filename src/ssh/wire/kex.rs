//! Key exchange methods: ephemeral keys, the shared secret, the exchange hash and the keys derived from it.
//!
//! RFC 4253 sections 7.2 and 8, RFC 5656 section 4, RFC 8731, draft-ietf-sshm-mlkem-hybrid-kex. All four methods hash
//! with SHA-256. Deliberately absent: messages and negotiation (they only carry these strings), and finite-field
//! groups. Ephemeral X25519 and P-256 keys come from the caller's entropy; ML-KEM keys and encapsulations come from the
//! library's own generator, which takes no other.

#[cfg(test)]
mod tests;

use super::Entropy;
use aws_lc_rs::agreement::{self, PrivateKey};
use aws_lc_rs::digest;
use aws_lc_rs::kem::{DecapsulationKey, EncapsulationKey, ML_KEM_768};
use thiserror::Error;
use zeroize::Zeroizing;

/// Bytes of the exchange hash: SHA-256 in every method.
pub const HASH_LEN: usize = 32;

/// Bytes of an encapsulation key of ML-KEM-768 (FIPS 203 table 3).
const ML_KEM_PUBLIC: usize = 1184;
/// Bytes of a ciphertext of ML-KEM-768.
const ML_KEM_CIPHERTEXT: usize = 1088;

/// A key exchange method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kex {
    /// ML-KEM-768 and X25519 together.
    MlKem768X25519,
    /// X25519.
    Curve25519,
    /// X25519 under the name it had before RFC 8731.
    Curve25519Libssh,
    /// ECDH on NIST P-256.
    EcdhP256,
}

impl Kex {
    /// Every method, in the order in which they are preferred.
    pub const ALL: [Self; 4] = [
        Self::MlKem768X25519,
        Self::Curve25519,
        Self::Curve25519Libssh,
        Self::EcdhP256,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MlKem768X25519 => "mlkem768x25519-sha256",
            Self::Curve25519 => "curve25519-sha256",
            Self::Curve25519Libssh => "curve25519-sha256@libssh.org",
            Self::EcdhP256 => "ecdh-sha2-nistp256",
        }
    }

    /// The method of that name, exactly as spelt on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kex| kex.name() == name)
    }
}

/// Why a key exchange failed; all are fatal to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KexError {
    /// The peer's public value has the wrong length for the method.
    #[error("{method}: the peer's public value has {got} bytes, not {wanted}")]
    Length {
        method: &'static str,
        got: usize,
        wanted: usize,
    },
    /// The peer's public value is no valid point or key, or leads to an all-zero secret (RFC 8731 section 3).
    #[error("{0}: the peer's public value is not acceptable")]
    PublicValue(&'static str),
    /// The library could not make an ephemeral key.
    #[error("{0}: no ephemeral key could be made")]
    Library(&'static str),
}

/// The shared secret K *encoded as it enters the hashes* (an mpint, or a string with ML-KEM), wiped on drop.
/// Never printed: no `Debug`.
pub struct SharedSecret {
    encoded: Zeroizing<Vec<u8>>,
}

impl SharedSecret {
    /// A non-negative big-endian number as an mpint (RFC 4251 section 5).
    fn mpint(number: &[u8]) -> Self {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let digits = number.get(zeros..).unwrap_or_default();
        let sign: &[u8] = if digits.first().is_some_and(|byte| byte & 0x80 != 0) {
            &[0]
        } else {
            &[]
        };
        Self::encoded(&[sign, digits])
    }

    /// The length and the parts.
    fn encoded(parts: &[&[u8]]) -> Self {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        // Room for all of it at once: a vector that grows leaves copies of the secret behind.
        let mut encoded = Zeroizing::new(Vec::with_capacity(4 + len));
        encoded.extend_from_slice(&length(len));
        for part in parts {
            encoded.extend_from_slice(part);
        }
        Self { encoded }
    }
}

/// The client's half of an exchange, between its init and the reply.
pub struct ClientKex {
    kex: Kex,
    private: PrivateKey,
    /// ML-KEM's half, if the method has one.
    decapsulation: Option<DecapsulationKey>,
}

impl ClientKex {
    /// Makes the ephemeral keys. Also returns the public value for SSH_MSG_KEX_ECDH_INIT (Q_C or C_INIT; not yet
    /// wrapped as a string).
    ///
    /// # Errors
    /// [`KexError::Library`].
    pub fn start(kex: Kex, entropy: &mut dyn Entropy) -> Result<(Self, Vec<u8>), KexError> {
        let (private, public) = ephemeral(kex, entropy)?;
        if kex != Kex::MlKem768X25519 {
            return Ok((
                Self {
                    kex,
                    private,
                    decapsulation: None,
                },
                public,
            ));
        }
        let library = KexError::Library(kex.name());
        let key = DecapsulationKey::generate(&ML_KEM_768).map_err(|_| library)?;
        let encapsulation = key.encapsulation_key().map_err(|_| library)?;
        let mut init = encapsulation
            .key_bytes()
            .map_err(|_| library)?
            .as_ref()
            .to_vec();
        init.extend_from_slice(&public);
        Ok((
            Self {
                kex,
                private,
                decapsulation: Some(key),
            },
            init,
        ))
    }

    /// Takes the public value of the reply (Q_S or S_REPLY, unwrapped).
    ///
    /// # Errors
    /// [`KexError::Length`], [`KexError::PublicValue`].
    pub fn finish(self, reply: &[u8]) -> Result<SharedSecret, KexError> {
        let kex = self.kex;
        let Some(key) = self.decapsulation else {
            return agreed(kex, &self.private, sized(kex, reply, 0)?.1, |secret| {
                SharedSecret::mpint(secret)
            });
        };
        let (ciphertext, public) = sized(kex, reply, ML_KEM_CIPHERTEXT)?;
        let first = key
            .decapsulate(ciphertext.into())
            .map_err(|_| KexError::PublicValue(kex.name()))?;
        agreed(kex, &self.private, public, |second| {
            hybrid(first.as_ref(), second)
        })
    }
}

/// The server's half in one step: from Q_C or C_INIT to (Q_S or S_REPLY, K).
///
/// # Errors
/// [`KexError::Length`], [`KexError::PublicValue`]: the client's fault; [`KexError::Library`].
pub fn server_reply(
    kex: Kex,
    client_init: &[u8],
    entropy: &mut dyn Entropy,
) -> Result<(Vec<u8>, SharedSecret), KexError> {
    if kex != Kex::MlKem768X25519 {
        let (_, client) = sized(kex, client_init, 0)?;
        let (private, public) = ephemeral(kex, entropy)?;
        let secret = agreed(kex, &private, client, SharedSecret::mpint)?;
        return Ok((public, secret));
    }
    let refused = KexError::PublicValue(kex.name());
    let (key, client) = sized(kex, client_init, ML_KEM_PUBLIC)?;
    let (private, public) = ephemeral(kex, entropy)?;
    let key = EncapsulationKey::new(&ML_KEM_768, key).map_err(|_| refused)?;
    let (ciphertext, first) = key.encapsulate().map_err(|_| refused)?;
    let secret = agreed(kex, &private, client, |second| {
        hybrid(first.as_ref(), second)
    })?;
    let mut reply = ciphertext.as_ref().to_vec();
    reply.extend_from_slice(&public);
    Ok((reply, secret))
}

/// What both sides hash besides K; all without their string wrapping.
#[derive(Clone, Copy)]
pub struct ExchangeInputs<'a> {
    /// Identification line of the client, without CR and LF.
    pub client_ident: &'a [u8],
    /// Identification line of the server, without CR and LF.
    pub server_ident: &'a [u8],
    /// Payload of the client's KEXINIT, from its message number.
    pub client_kexinit: &'a [u8],
    /// Payload of the server's KEXINIT, from its message number.
    pub server_kexinit: &'a [u8],
    /// The server's public host key blob.
    pub host_key: &'a [u8],
    /// Q_C or C_INIT.
    pub client_public: &'a [u8],
    /// Q_S or S_REPLY.
    pub server_public: &'a [u8],
}

/// The exchange hash H (RFC 4253 section 8, RFC 5656 section 4).
#[must_use]
pub fn exchange_hash(
    kex: Kex,
    inputs: &ExchangeInputs<'_>,
    secret: &SharedSecret,
) -> [u8; HASH_LEN] {
    let mut context = digest::Context::new(kex.hash());
    for string in [
        inputs.client_ident,
        inputs.server_ident,
        inputs.client_kexinit,
        inputs.server_kexinit,
        inputs.host_key,
        inputs.client_public,
        inputs.server_public,
    ] {
        context.update(&length(string.len()));
        context.update(string);
    }
    context.update(&secret.encoded);
    finished(context)
}

/// `len` bytes of the key named `letter` (`b'A'` to `b'F'`), RFC 4253 section 7.2. `session_id` is the H of the first
/// exchange of the connection.
#[must_use]
pub fn derive(
    kex: Kex,
    secret: &SharedSecret,
    hash: &[u8; HASH_LEN],
    session_id: &[u8],
    letter: u8,
    len: usize,
) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(len.next_multiple_of(HASH_LEN)));
    while key.len() < len {
        let mut context = digest::Context::new(kex.hash());
        context.update(&secret.encoded);
        context.update(hash);
        if key.is_empty() {
            context.update(&[letter]);
            context.update(session_id);
        } else {
            context.update(&key);
        }
        let block = Zeroizing::new(finished(context));
        key.extend_from_slice(block.as_slice());
    }
    key.truncate(len);
    key
}

impl Kex {
    const fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::MlKem768X25519 | Self::Curve25519 | Self::Curve25519Libssh | Self::EcdhP256 => {
                &digest::SHA256
            }
        }
    }

    const fn curve(self) -> &'static agreement::Algorithm {
        match self {
            Self::EcdhP256 => &agreement::ECDH_P256,
            Self::MlKem768X25519 | Self::Curve25519 | Self::Curve25519Libssh => &agreement::X25519,
        }
    }

    /// Bytes of the curve's public value: RFC 7748, or an uncompressed point.
    const fn public_len(self) -> usize {
        match self {
            Self::EcdhP256 => 65,
            Self::MlKem768X25519 | Self::Curve25519 | Self::Curve25519Libssh => 32,
        }
    }
}

/// A fresh key on the method's curve and its public value.
fn ephemeral(kex: Kex, entropy: &mut dyn Entropy) -> Result<(PrivateKey, Vec<u8>), KexError> {
    let library = KexError::Library(kex.name());
    // A P-256 scalar must be below the group's order: one in 2^32 is not, and eight in a row are a broken source.
    for _ in 0..8 {
        let mut scalar = Zeroizing::new([0; 32]);
        entropy.fill(scalar.as_mut_slice());
        if let Ok(private) = PrivateKey::from_private_key(kex.curve(), scalar.as_slice()) {
            let public = private.compute_public_key().map_err(|_| library)?;
            return Ok((private, public.as_ref().to_vec()));
        }
    }
    Err(library)
}

/// Splits a public value into its first `head` bytes and the curve's part, each of exactly its length.
fn sized(kex: Kex, value: &[u8], head: usize) -> Result<(&[u8], &[u8]), KexError> {
    let (got, wanted) = (value.len(), head + kex.public_len());
    let error = KexError::Length {
        method: kex.name(),
        got,
        wanted,
    };
    if got == wanted {
        value.split_at_checked(head).ok_or(error)
    } else {
        Err(error)
    }
}

/// The curve's secret with the peer's public value, handed to `encode`.
fn agreed(
    kex: Kex,
    private: &PrivateKey,
    public: &[u8],
    encode: impl FnOnce(&[u8]) -> SharedSecret,
) -> Result<SharedSecret, KexError> {
    let refused = KexError::PublicValue(kex.name());
    // RFC 5656 section 4: points may come compressed, but nobody sends them; only one form is left to check.
    if kex == Kex::EcdhP256 && public.first() != Some(&4) {
        return Err(refused);
    }
    let public = agreement::UnparsedPublicKey::new(kex.curve(), public);
    agreement::agree(private, public, refused, |secret| {
        // RFC 8731 section 3. The library refuses this too; the standard lays it on us.
        let zero = secret.iter().fold(0, |seen, byte| seen | byte) == 0;
        if zero {
            Err(refused)
        } else {
            Ok(encode(secret))
        }
    })
}

/// K = SHA-256(K_PQ || K_CL), as a string.
fn hybrid(first: &[u8], second: &[u8]) -> SharedSecret {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(first);
    context.update(second);
    SharedSecret::encoded(&[Zeroizing::new(finished(context)).as_slice()])
}

/// The finished SHA-256.
fn finished(context: digest::Context) -> [u8; HASH_LEN] {
    let mut hash = [0; HASH_LEN];
    for (place, byte) in hash.iter_mut().zip(context.finish().as_ref()) {
        *place = *byte;
    }
    hash
}

/// The length field of a string (RFC 4251 section 5). What is hashed here fits packets, far below 4 GiB.
fn length(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}
