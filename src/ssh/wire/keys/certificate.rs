//! OpenSSH certificates (PROTOCOL.certkeys): reading, checking the CA's signature, issuing.
//!
//! Read by hand, not by ssh-key, which refuses certificates that never expire and cannot say which bytes were signed.
//! Deliberately absent: whether the CA is trusted, whether the principal fits, what options mean.

use super::super::Entropy;
use super::blob::{Cursor, put_string, shown};
use super::verify::verify_with_presence;
use super::{KeyError, PrivateKey, SigAlg, key_type, parse_public};

/// Largest certificate read, in bytes.
const MAX_BLOB: usize = 64 * 1024;
/// Most principals, options or extensions, as OpenSSH has it for principals.
const MAX_ENTRIES: usize = 256;
const USER: u32 = 1;
const HOST: u32 = 2;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateKind {
    /// Logs a person in.
    User,
    /// Names a machine.
    Host,
}

/// A certificate that was parsed but *not* verified; [`Certificate::verify_signature`] does that. Equal ones are the same
/// to the last byte, signature included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The plain public key within, as a blob of its own: verify the holder's signatures with it.
    pub public_blob: Vec<u8>,
    /// Number given by the CA; 0 if it does not number.
    pub serial: u64,
    /// User or host.
    pub kind: CertificateKind,
    /// Free text of the CA, for logs.
    pub key_id: String,
    /// Login names or host names. Empty: OpenSSH's sshd refuses such user certificates; so should the caller.
    pub principals: Vec<String>,
    /// First second of validity, Unix time.
    pub valid_after: u64,
    /// First second after validity, Unix time; `u64::MAX`: forever.
    pub valid_before: u64,
    /// Names and values; a flag's value is empty. Whoever does not know one must refuse the certificate.
    pub critical_options: Vec<(String, Vec<u8>)>,
    /// Names and values; a flag's value is empty, one that is not a string is raw. Unknown ones are ignored.
    pub extensions: Vec<(String, Vec<u8>)>,
    /// The CA's plain public key blob.
    pub ca_blob: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Certificate {
    /// Parses a certificate blob, at most 64 KiB; every field is bounded by it.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] if the blob is no certificate of a known type, [`KeyError::Malformed`].
    pub fn parse(blob: &[u8]) -> Result<Self, KeyError> {
        if blob.len() > MAX_BLOB {
            return Err(KeyError::Malformed("certificate: it is too long"));
        }
        let mut cursor = Cursor::new(blob, "certificate");
        let name = cursor.string()?;
        let alg = SigAlg::ALL
            .into_iter()
            .find(|alg| alg.certificate_key_type().as_bytes() == name);
        let alg = alg.ok_or_else(|| KeyError::Unsupported(shown(name)))?;
        cursor.string()?; // nonce
        let public_blob = plain_key(alg, &mut cursor)?;
        parse_public(&public_blob)?;
        let serial = cursor.u64()?;
        let kind = match cursor.u32()? {
            USER => CertificateKind::User,
            HOST => CertificateKind::Host,
            _ => {
                return Err(KeyError::Malformed(
                    "certificate: neither for a user nor for a host",
                ));
            }
        };
        let key_id = cursor.text()?.to_owned();
        let principals = principals(cursor.string()?)?;
        let (valid_after, valid_before) = (cursor.u64()?, cursor.u64()?);
        let critical_options = options(cursor.string()?, true)?;
        let extensions = options(cursor.string()?, false)?;
        cursor.string()?; // reserved
        let ca_blob = cursor.string()?.to_vec();
        parse_public(&ca_blob)?;
        let signed = blob
            .strip_suffix(cursor.rest())
            .ok_or(cursor.malformed())?
            .to_vec();
        let signature = cursor.string()?.to_vec();
        cursor.finish()?;
        Ok(Self {
            public_blob,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical_options,
            extensions,
            ca_blob,
            signed,
            signature,
        })
    }

    /// The blob it was parsed from.
    #[must_use]
    pub fn blob(&self) -> Vec<u8> {
        let mut blob = self.signed.clone();
        put_string(&mut blob, &self.signature);
        blob
    }

    /// Whether the signature is the CA's (`ca_blob`), by any algorithm of this crate: never RSA with SHA-1. Says
    /// nothing about whether that CA is trusted.
    ///
    /// # Errors
    /// [`KeyError::BadSignature`], or what is wrong with the CA's key or the blob.
    pub fn verify_signature(&self) -> Result<(), KeyError> {
        let named = Cursor::new(&self.signature, "certificate's signature").string()?;
        let alg = SigAlg::ALL
            .into_iter()
            .find(|alg| alg.name().as_bytes() == named);
        let alg = alg.ok_or_else(|| KeyError::Algorithm(shown(named)))?;
        // A CA on a security key may sign without being touched: that was for its owner to decide, as in OpenSSH.
        verify_with_presence(&self.ca_blob, alg, &self.signed, &self.signature).map(|_| ())
    }

    /// `valid_after <= now < valid_before`, `now` in Unix seconds.
    #[must_use]
    pub const fn is_valid_at(&self, now: u64) -> bool {
        self.valid_after <= now && now < self.valid_before
    }
}

/// Reads the key's fields and puts the plain key's type in front of them.
fn plain_key(alg: SigAlg, cursor: &mut Cursor<'_>) -> Result<Vec<u8>, KeyError> {
    let fields = match alg {
        SigAlg::Ed25519 => 1,
        SigAlg::EcdsaP256 | SigAlg::EcdsaP384 | SigAlg::EcdsaP521 => 2,
        SigAlg::RsaSha256 | SigAlg::RsaSha512 | SigAlg::SkEd25519 => 2,
        SigAlg::SkEcdsaP256 => 3,
    };
    let mut blob = Vec::new();
    put_string(&mut blob, alg.key_type().as_bytes());
    for _ in 0..fields {
        put_string(&mut blob, cursor.string()?);
    }
    Ok(blob)
}

fn principals(packed: &[u8]) -> Result<Vec<String>, KeyError> {
    let mut cursor = Cursor::new(packed, "certificate's principals");
    let mut names = Vec::new();
    while !cursor.is_empty() {
        if names.len() == MAX_ENTRIES {
            return Err(cursor.malformed());
        }
        names.push(cursor.text()?.to_owned());
    }
    Ok(names)
}

/// Name and value pairs, none twice. A value is a string in a string; only extensions may hold something else.
fn options(packed: &[u8], is_critical: bool) -> Result<Vec<(String, Vec<u8>)>, KeyError> {
    let mut cursor = Cursor::new(packed, "certificate's options");
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    while !cursor.is_empty() {
        let (name, data) = (cursor.text()?, cursor.string()?);
        if found.len() == MAX_ENTRIES || found.iter().any(|(known, _)| known == name) {
            return Err(cursor.malformed());
        }
        let mut inner = Cursor::new(data, "certificate's options");
        let value = match inner.string() {
            Ok(value) if inner.is_empty() => value,
            _ if data.is_empty() || !is_critical => data,
            _ => return Err(cursor.malformed()),
        };
        found.push((name.to_owned(), value.to_vec()));
    }
    Ok(found)
}

/// A user certificate to be issued. Options and extensions may come in any order; a flag's value is empty.
#[derive(Clone, Copy, Debug)]
pub struct UserCertificate<'a> {
    /// The plain public key to certify.
    pub public_blob: &'a [u8],
    /// Free text for logs.
    pub key_id: &'a str,
    /// Login names; at least one.
    pub principals: &'a [&'a str],
    /// First second of validity, Unix time.
    pub valid_after: u64,
    /// First second after validity, Unix time.
    pub valid_before: u64,
    /// `force-command`, `source-address`, `verify-required`.
    pub critical_options: &'a [(&'a str, &'a str)],
    /// `permit-pty` and so on.
    pub extensions: &'a [(&'a str, &'a str)],
    /// 0: not numbered.
    pub serial: u64,
}

/// Issues a certificate; returns its blob.
///
/// # Errors
/// [`KeyError::Request`] without principals, with a name given twice, an empty validity, or too long for
/// [`Certificate::parse`]; what is wrong with the key.
pub fn sign_user_certificate(
    request: &UserCertificate<'_>,
    ca: &PrivateKey,
    entropy: &mut dyn Entropy,
) -> Result<Vec<u8>, KeyError> {
    if request.principals.is_empty() || request.principals.len() > MAX_ENTRIES {
        return Err(KeyError::Request("it needs 1 to 256 principals"));
    }
    if request
        .principals
        .iter()
        .any(|name| name.is_empty() || name.contains('\0'))
    {
        return Err(KeyError::Request("a principal is empty or holds a NUL"));
    }
    if request.valid_after >= request.valid_before {
        return Err(KeyError::Request("it would never be valid"));
    }
    parse_public(request.public_blob)?;
    let algorithms = SigAlg::for_key_type(key_type(request.public_blob)?);
    let alg = algorithms
        .first()
        .ok_or(KeyError::Malformed("public key"))?;
    let mut fields = Cursor::new(request.public_blob, "public key");
    fields.string()?;
    let mut nonce = [0; 32];
    entropy.fill(&mut nonce);

    let mut blob = Vec::with_capacity(1024);
    put_string(&mut blob, alg.certificate_key_type().as_bytes());
    put_string(&mut blob, &nonce);
    blob.extend_from_slice(fields.rest());
    blob.extend_from_slice(&request.serial.to_be_bytes());
    blob.extend_from_slice(&USER.to_be_bytes());
    put_string(&mut blob, request.key_id.as_bytes());
    let mut names = Vec::new();
    for name in request.principals {
        put_string(&mut names, name.as_bytes());
    }
    put_string(&mut blob, &names);
    blob.extend_from_slice(&request.valid_after.to_be_bytes());
    blob.extend_from_slice(&request.valid_before.to_be_bytes());
    put_string(&mut blob, &packed(request.critical_options)?);
    put_string(&mut blob, &packed(request.extensions)?);
    put_string(&mut blob, b""); // reserved
    put_string(&mut blob, ca.public_blob());
    let signing = *ca.algorithms().first().ok_or(KeyError::Library)?;
    let signature = ca.sign(signing, &blob)?;
    put_string(&mut blob, &signature);
    if blob.len() > MAX_BLOB {
        return Err(KeyError::Request("it would be too long"));
    }
    Ok(blob)
}

/// Options in lexical order, as PROTOCOL.certkeys demands.
fn packed(options: &[(&str, &str)]) -> Result<Vec<u8>, KeyError> {
    let mut sorted = options.to_vec();
    sorted.sort_unstable();
    let is_doubled = sorted
        .windows(2)
        .any(|pair| matches!(pair, [(one, _), (two, _)] if one == two));
    if is_doubled || sorted.len() > MAX_ENTRIES {
        return Err(KeyError::Request(
            "an option is given twice, or there are more than 256",
        ));
    }
    let mut packed = Vec::new();
    for (name, value) in sorted {
        put_string(&mut packed, name.as_bytes());
        let mut data = Vec::new();
        if !value.is_empty() {
            put_string(&mut data, value.as_bytes());
        }
        put_string(&mut packed, &data);
    }
    Ok(packed)
}
