//! Verifying signatures.
//!
//! Strict: the algorithm asked for must be the one named in the signature and fit the key, and nothing may follow the
//! last field. The one leniency is RSA's: leading zeros may be missing, as some clients send it and OpenSSH accepts it.

use super::blob::{Cursor, shown};
use super::{KeyError, RSA_BITS, SigAlg, parse_public};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use ssh_key::public::{EcdsaPublicKey, KeyData, RsaPublicKey};

/// What a security key says about its user (OpenSSH PROTOCOL.u2f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Flags as signed; bit 0: present, bit 2: verified.
    pub flags: u8,
    /// Signature counter of the security key.
    pub counter: u32,
}

impl Presence {
    /// The user touched the key.
    #[must_use]
    pub const fn is_user_present(self) -> bool {
        self.flags & 0x01 != 0
    }

    /// The user proved who they are to the key (PIN, fingerprint): what `verify-required` asks for.
    #[must_use]
    pub const fn is_user_verified(self) -> bool {
        self.flags & 0x04 != 0
    }
}

/// Whether `signature_blob` (string algorithm, string signature; for security keys also flags and counter) is `alg`'s
/// signature over `data` by the plain public key `key_blob` (not a certificate). A security key's user must have been
/// present: see [`verify_with_presence`] to decide that otherwise.
///
/// # Errors
/// [`KeyError::BadSignature`], or what is wrong with the key or the blob.
pub fn verify(
    key_blob: &[u8],
    alg: SigAlg,
    data: &[u8],
    signature_blob: &[u8],
) -> Result<(), KeyError> {
    match verify_with_presence(key_blob, alg, data, signature_blob)? {
        Some(presence) if !presence.is_user_present() => Err(KeyError::NotPresent),
        _ => Ok(()),
    }
}

/// As [`verify`], but leaves it to the caller to judge the [`Presence`] of a security key's user (`no-touch-required`,
/// `verify-required`). `None` for other keys.
///
/// # Errors
/// As [`verify`], but not [`KeyError::NotPresent`].
pub fn verify_with_presence(
    key_blob: &[u8],
    alg: SigAlg,
    data: &[u8],
    signature_blob: &[u8],
) -> Result<Option<Presence>, KeyError> {
    let key = parse_public(key_blob)?;
    let (inner, presence) = read_signature(alg, signature_blob)?;
    match (alg, &key) {
        (SigAlg::Ed25519, KeyData::Ed25519(key)) => {
            check(&signature::ED25519, &key.0, data, inner)?
        }
        (SigAlg::EcdsaP256, KeyData::Ecdsa(EcdsaPublicKey::NistP256(point))) => {
            ecdsa::<32>(
                &signature::ECDSA_P256_SHA256_FIXED,
                point.as_bytes(),
                data,
                inner,
            )?;
        }
        (SigAlg::EcdsaP384, KeyData::Ecdsa(EcdsaPublicKey::NistP384(point))) => {
            ecdsa::<48>(
                &signature::ECDSA_P384_SHA384_FIXED,
                point.as_bytes(),
                data,
                inner,
            )?;
        }
        (SigAlg::EcdsaP521, KeyData::Ecdsa(EcdsaPublicKey::NistP521(point))) => {
            ecdsa::<66>(
                &signature::ECDSA_P521_SHA512_FIXED,
                point.as_bytes(),
                data,
                inner,
            )?;
        }
        (SigAlg::RsaSha256, KeyData::Rsa(key)) => {
            rsa(&signature::RSA_PKCS1_2048_8192_SHA256, key, data, inner)?
        }
        (SigAlg::RsaSha512, KeyData::Rsa(key)) => {
            rsa(&signature::RSA_PKCS1_2048_8192_SHA512, key, data, inner)?
        }
        (SigAlg::SkEd25519, KeyData::SkEd25519(key)) => {
            let data = touched(key.application(), presence, data);
            check(&signature::ED25519, &key.public_key().0, &data, inner)?;
        }
        (SigAlg::SkEcdsaP256, KeyData::SkEcdsaSha2NistP256(key)) => {
            let data = touched(key.application(), presence, data);
            ecdsa::<32>(
                &signature::ECDSA_P256_SHA256_FIXED,
                key.ec_point().as_bytes(),
                &data,
                inner,
            )?;
        }
        _ => return Err(KeyError::Algorithm(alg.name().to_owned())),
    }
    Ok(presence)
}

/// What is in a signature blob of exactly this algorithm (RFC 4253 section 6.6, OpenSSH PROTOCOL.u2f).
fn read_signature(alg: SigAlg, blob: &[u8]) -> Result<(&[u8], Option<Presence>), KeyError> {
    let mut cursor = Cursor::new(blob, "signature");
    let named = cursor.string()?;
    if named != alg.name().as_bytes() {
        return Err(KeyError::Algorithm(shown(named)));
    }
    let inner = cursor.string()?;
    let presence = if alg.is_security_key() {
        Some(Presence {
            flags: cursor.byte()?,
            counter: cursor.u32()?,
        })
    } else {
        None
    };
    cursor.finish()?;
    Ok((inner, presence))
}

fn check(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    data: &[u8],
    signature: &[u8],
) -> Result<(), KeyError> {
    UnparsedPublicKey::new(algorithm, key)
        .verify(data, signature)
        .map_err(|_| KeyError::BadSignature)
}

/// RFC 5656 section 3.1.2: mpint r, mpint s. `N` is the size of the curve's order in bytes.
fn ecdsa<const N: usize>(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
    data: &[u8],
    inner: &[u8],
) -> Result<(), KeyError> {
    let mut cursor = Cursor::new(inner, "ECDSA signature");
    let (r, s) = (cursor.unsigned()?, cursor.unsigned()?);
    cursor.finish()?;
    let mut fixed = [[0; N]; 2];
    for (half, number) in fixed.iter_mut().zip([r, s]) {
        let start = N.checked_sub(number.len()).ok_or(KeyError::BadSignature)?;
        half.get_mut(start..)
            .ok_or(KeyError::BadSignature)?
            .copy_from_slice(number);
    }
    check(algorithm, point, data, fixed.as_flattened())
}

/// RFC 8332 section 3.
fn rsa(
    parameters: &signature::RsaParameters,
    key: &RsaPublicKey,
    data: &[u8],
    inner: &[u8],
) -> Result<(), KeyError> {
    let malformed = KeyError::Malformed("RSA public key");
    let (Some(n), Some(e)) = (key.n.as_positive_bytes(), key.e.as_positive_bytes()) else {
        return Err(malformed);
    };
    let bits = n
        .first()
        .map_or(0, |top| n.len() * 8 - top.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaSize(bits));
    }
    let missing = n
        .len()
        .checked_sub(inner.len())
        .ok_or(KeyError::BadSignature)?;
    let mut whole = vec![0; missing];
    whole.extend_from_slice(inner);
    let key = RsaPublicKeyComponents { n, e };
    key.verify(parameters, data, &whole)
        .map_err(|_| KeyError::BadSignature)
}

/// What a security key signs in place of the data (OpenSSH PROTOCOL.u2f, "SSH U2F Signatures").
fn touched(application: &str, presence: Option<Presence>, data: &[u8]) -> Vec<u8> {
    let Presence { flags, counter } = presence.unwrap_or(Presence {
        flags: 0,
        counter: 0,
    });
    let mut signed = digest(&SHA256, application.as_bytes()).as_ref().to_vec();
    signed.push(flags);
    signed.extend_from_slice(&counter.to_be_bytes());
    signed.extend_from_slice(digest(&SHA256, data).as_ref());
    signed
}
