//! From an offered key to a proven one (RFC 4252 section 7).

use super::{AuthRequest, Method};
use crate::ssh::wire::keys::{
    Certificate, KeyError, Presence, SigAlg, key_type, verify_with_presence,
};
use crate::ssh::wire::message::{Writer, number};

/// Proof that the holder of exactly this key signed exactly this request on exactly this connection. Says nothing about
/// whether the key may log anybody in, and of a certificate neither whether its CA is trusted nor whether it is valid.
///
/// Only [`signed_key`] makes one.
#[derive(Clone, Debug)]
pub struct SignedKey {
    user: String,
    service: String,
    key_blob: Vec<u8>,
    certificate: Option<Certificate>,
    algorithm: SigAlg,
    presence: Option<Presence>,
}

/// Why a request proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the request carries no signature")]
    NotSigned,
    #[error("signature algorithm {0:?} is not supported")]
    Algorithm(String),
    #[error("algorithm {algorithm:?} does not go with a key of type {key_type:?}")]
    KeyType { algorithm: String, key_type: String },
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SignedKey {
    /// The login name in the signed request.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The service in the signed request.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The plain public key; of a certificate, the key it certifies.
    pub fn key_blob(&self) -> &[u8] {
        &self.key_blob
    }

    /// The certificate presented, its CA's signature verified; whether that CA is trusted is not said.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    pub fn algorithm(&self) -> SigAlg {
        self.algorithm
    }

    /// What a security key says of its user: the caller must refuse an absent one unless the key's `no-touch-required`
    /// allows it. `None` for keys in files.
    pub fn presence(&self) -> Option<Presence> {
        self.presence
    }
}

/// What a publickey request offers, signed or not: a claim, not a proof. Nothing may come of it but the answer whether
/// such a key would do.
#[derive(Clone, Debug)]
pub struct OfferedKey {
    pub algorithm: SigAlg,
    /// The plain public key; of a certificate, the key it certifies.
    pub key_blob: Vec<u8>,
    /// The certificate offered, its CA's signature not verified.
    pub certificate: Option<Certificate>,
}

/// Reads the key out of a publickey request; `None` if it is a request of another kind. The algorithm must be one we
/// verify and go with the key's type.
pub fn offered_key(request: &AuthRequest) -> Option<Result<OfferedKey, SignatureError>> {
    match &request.method {
        Method::PublicKey {
            algorithm,
            key_blob,
            ..
        } => Some(read_key(algorithm, key_blob)),
        _ => None,
    }
}

fn read_key(name: &str, blob: &[u8]) -> Result<OfferedKey, SignatureError> {
    let found = key_type(blob)?;
    let require = |wanted: &str| match found == wanted {
        true => Ok(()),
        false => Err(SignatureError::KeyType {
            algorithm: name.to_owned(),
            key_type: found.to_owned(),
        }),
    };
    if let Some(algorithm) = SigAlg::from_name(name) {
        require(algorithm.key_type())?;
        let key_blob = blob.to_vec();
        return Ok(OfferedKey {
            algorithm,
            key_blob,
            certificate: None,
        });
    }
    let Some(algorithm) = SigAlg::from_certificate_name(name) else {
        return Err(SignatureError::Algorithm(name.to_owned()));
    };
    require(algorithm.certificate_key_type())?;
    let certificate = Certificate::parse(blob)?;
    Ok(OfferedKey {
        algorithm,
        key_blob: certificate.public_blob.clone(),
        certificate: Some(certificate),
    })
}

/// Verifies the signature of a publickey request over this session and these very fields.
pub fn signed_key(session_id: &[u8], request: &AuthRequest) -> Result<SignedKey, SignatureError> {
    let Method::PublicKey {
        algorithm: name,
        key_blob,
        signature: Some(signature),
    } = &request.method
    else {
        return Err(SignatureError::NotSigned);
    };
    let offered = read_key(name, key_blob)?;
    if let Some(certificate) = &offered.certificate {
        certificate.verify_signature()?;
    }
    let signed = Writer::bare()
        .string(session_id)
        .byte(number::USERAUTH_REQUEST)
        .string(&request.user)
        .string(&request.service)
        .string("publickey")
        .boolean(true)
        .string(name)
        .string(key_blob)
        .finish();
    let presence = verify_with_presence(&offered.key_blob, offered.algorithm, &signed, signature)?;
    Ok(SignedKey {
        user: request.user.clone(),
        service: request.service.clone(),
        key_blob: offered.key_blob,
        certificate: offered.certificate,
        algorithm: offered.algorithm,
        presence,
    })
}
