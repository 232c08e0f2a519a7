//! Keys, signatures and certificates as SSH encodes them.
//!
//! Says whether a signature or a certificate is *authentic*; whether its key is trusted, and for whom, is decided
//! elsewhere. Deliberately absent: DSA, RSA below 2048 bits, RSA with SHA-1, encrypted key files.

mod blob;
mod certificate;
mod private;
mod short_number;
#[cfg(test)]
mod tests;
mod verify;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use blob::Cursor;
pub use certificate::{Certificate, CertificateKind, UserCertificate, sign_user_certificate};
pub use private::PrivateKey;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use std::ops::RangeInclusive;
use thiserror::Error;
pub use verify::{Presence, verify, verify_with_presence};

/// Bits of an RSA key: RFC 8332 section 5.1 wants 2048, the library ends at 8192.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// A public-key signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigAlg {
    /// RFC 8709.
    Ed25519,
    /// RFC 5656.
    EcdsaP256,
    /// RFC 5656.
    EcdsaP384,
    /// RFC 5656.
    EcdsaP521,
    /// RFC 8332.
    RsaSha256,
    /// RFC 8332.
    RsaSha512,
    /// A security key (FIDO), OpenSSH PROTOCOL.u2f.
    SkEd25519,
    /// A security key (FIDO), OpenSSH PROTOCOL.u2f.
    SkEcdsaP256,
}

impl SigAlg {
    /// Every algorithm, in the order in which they are preferred.
    pub const ALL: [Self; 8] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::SkEd25519,
        Self::SkEcdsaP256,
        Self::RsaSha512,
        Self::RsaSha256,
    ];

    /// The name on the wire: in KEXINIT, in a publickey request and inside the signature blob.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::RsaSha256 => "rsa-sha2-256",
            Self::RsaSha512 => "rsa-sha2-512",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The name on the wire when the key is a certificate (OpenSSH PROTOCOL.certkeys). The signature blob within still
    /// says [`Self::name`].
    #[must_use]
    pub const fn certificate_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519-cert-v01@openssh.com",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521-cert-v01@openssh.com",
            Self::RsaSha256 => "rsa-sha2-256-cert-v01@openssh.com",
            Self::RsaSha512 => "rsa-sha2-512-cert-v01@openssh.com",
            Self::SkEd25519 => "sk-ssh-ed25519-cert-v01@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        }
    }

    /// The type string at the start of a plain public key blob.
    #[must_use]
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::RsaSha256 | Self::RsaSha512 => "ssh-rsa",
            _ => self.name(),
        }
    }

    /// The type string at the start of a certificate blob.
    #[must_use]
    pub const fn certificate_key_type(self) -> &'static str {
        match self {
            Self::RsaSha256 | Self::RsaSha512 => "ssh-rsa-cert-v01@openssh.com",
            _ => self.certificate_name(),
        }
    }

    /// The algorithm of that name, exactly as spelt on the wire; certificate names are not accepted.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alg| alg.name() == name)
    }

    /// The algorithm of that certificate name; plain names are not accepted.
    #[must_use]
    pub fn from_certificate_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|alg| alg.certificate_name() == name)
    }

    /// The algorithms that keys of that type (the string at the start of their blob) can sign with, best first; empty
    /// if the type is unknown or a certificate's.
    #[must_use]
    pub fn for_key_type(key_type: &str) -> &'static [Self] {
        match key_type {
            "ssh-ed25519" => &[Self::Ed25519],
            "ecdsa-sha2-nistp256" => &[Self::EcdsaP256],
            "ecdsa-sha2-nistp384" => &[Self::EcdsaP384],
            "ecdsa-sha2-nistp521" => &[Self::EcdsaP521],
            "ssh-rsa" => &[Self::RsaSha512, Self::RsaSha256],
            "sk-ssh-ed25519@openssh.com" => &[Self::SkEd25519],
            "sk-ecdsa-sha2-nistp256@openssh.com" => &[Self::SkEcdsaP256],
            _ => &[],
        }
    }

    /// Whether the key lives in a security key, so that signatures carry a [`Presence`].
    #[must_use]
    pub const fn is_security_key(self) -> bool {
        matches!(self, Self::SkEd25519 | Self::SkEcdsaP256)
    }
}

/// What was wrong with a key, a signature or a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The bytes are not what they should be; which part is told.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The private key file is protected by a passphrase.
    #[error(
        "the private key is encrypted; remove its passphrase (ssh-keygen -p) or name a key without one"
    )]
    Encrypted,
    /// A key type that is not supported.
    #[error("key type {0:?} is not supported; use ed25519, ecdsa, or rsa of 2048 to 8192 bits")]
    Unsupported(String),
    /// An RSA key outside the bounds.
    #[error("an RSA key of {0} bits is not accepted; 2048 to 8192 are")]
    RsaSize(usize),
    /// The algorithm asked for does not fit the key, or the signature names another.
    #[error("signature algorithm {0:?} is not supported or does not fit the key")]
    Algorithm(String),
    /// The signature is not by this key over this data.
    #[error("the signature does not verify")]
    BadSignature,
    /// A security key signed without its user touching it.
    #[error("the security key's user was not present")]
    NotPresent,
    /// A certificate that must not be issued.
    #[error("the certificate cannot be issued: {0}")]
    Request(&'static str),
    /// A primitive failed for no reason that the input explains.
    #[error("the cryptographic library refused an operation")]
    Library,
}

/// The type string at the start of a public key or certificate blob.
///
/// # Errors
/// [`KeyError::Malformed`] if there is none.
pub fn key_type(blob: &[u8]) -> Result<&str, KeyError> {
    Cursor::new(blob, "public key").text()
}

/// `SHA256:` and the base64 of the SHA-256 of the blob, unpadded: as `ssh-keygen -l` prints it. For the fingerprint of
/// a certificate's key hand in its plain key.
#[must_use]
pub fn fingerprint(key_blob: &[u8]) -> String {
    format!(
        "SHA256:{}",
        STANDARD_NO_PAD.encode(digest(&SHA256, key_blob))
    )
}

/// Whether the blob is a whole plain public key of a supported type.
///
/// # Errors
/// What is wrong with it.
pub fn check_public(blob: &[u8]) -> Result<(), KeyError> {
    parse_public(blob).map(drop)
}

/// A plain public key of a supported type, with nothing behind it. Points are uncompressed, as RFC 5656 has them.
fn parse_public(blob: &[u8]) -> Result<KeyData, KeyError> {
    let malformed = KeyError::Malformed("public key");
    let name = key_type(blob)?;
    if SigAlg::for_key_type(name).is_empty() {
        return Err(KeyError::Unsupported(blob::shown(name.as_bytes())));
    }
    let key = PublicKey::from_bytes(blob).map_err(|_| malformed.clone())?;
    let key = KeyData::from(key);
    let point = match &key {
        KeyData::Ecdsa(key) => Some(key.as_sec1_bytes()),
        KeyData::SkEcdsaSha2NistP256(key) => Some(key.ec_point().as_bytes()),
        _ => None,
    };
    match point {
        Some([form, ..]) if *form != 4 => Err(malformed),
        _ => Ok(key),
    }
}
