//! Proof before effect, as types: what somebody claims, what was proved, and what follows from it.
//!
//! An [`Offered`] key opens nothing. A [`Verified`] factor has no public fields and exists only after a signature, an
//! instance's own verdict or a hub's answer. Only a [`Grant`] may place, wake, dial, record or sign; it is never changed.

use std::fmt;
use std::sync::Arc;

use super::authorized_keys::AuthorizedLine;
use super::restrictions::Restrictions;
use crate::pool::{InstanceId, LoginName};
use crate::ssh::wire::keys::{Certificate, fingerprint};
use crate::ssh::wire::userauth::{AuthReply, SignedKey};

/// Of an authority's free text, what the audit line keeps.
const KEY_ID_CHARS_MAX: usize = 128;

/// A key that somebody named. It says which question to ask of `KeyFinder`, and nothing about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub user: Arc<str>,
    /// The plain public key; of a certificate, the key it certifies.
    pub key_blob: Vec<u8>,
    pub certificate: Option<Arc<Certificate>>,
}

/// One proven factor of a login.
#[derive(Clone, Debug)]
pub struct Verified {
    user: Arc<str>,
    proof: Proof,
    restrictions: Restrictions,
}

/// How a name was proved; prints as audit lines show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    PublicKey {
        /// The signature's algorithm, such as `ssh-ed25519` or `rsa-sha2-512`.
        algorithm: String,
        /// `SHA256:...`, as `ssh-keygen -l` prints it.
        fingerprint: String,
        certificate: Option<CertifiedBy>,
    },
    /// The instance asked and accepted; `method` is the SSH method it accepted.
    Instance {
        method: &'static str,
        instance: InstanceId,
        /// It wants something else as well, so this alone makes no grant.
        is_partial: bool,
    },
}

/// What is to be known later of the certificate that let somebody in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedBy {
    /// Free text of the authority.
    pub key_id: String,
    pub serial: u64,
    /// The authority's `SHA256:...`.
    pub authority: String,
}

impl CertifiedBy {
    fn of(certificate: &Certificate) -> Self {
        Self {
            key_id: certificate.key_id.chars().take(KEY_ID_CHARS_MAX).collect(),
            serial: certificate.serial,
            authority: fingerprint(&certificate.ca_blob),
        }
    }
}

impl fmt::Display for CertifiedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key_id,
            serial,
            authority,
        } = self;
        write!(f, "certificate {key_id:?} serial {serial} of {authority}")
    }
}

impl Proof {
    fn is_partial(&self) -> bool {
        matches!(
            self,
            Self::Instance {
                is_partial: true,
                ..
            }
        )
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicKey {
                algorithm,
                fingerprint,
                certificate,
            } => {
                write!(f, "publickey {algorithm} {fingerprint}")?;
                match certificate {
                    Some(certificate) => write!(f, " {certificate}"),
                    None => Ok(()),
                }
            }
            Self::Instance {
                method, instance, ..
            } => {
                write!(f, "{method} (instance {})", instance.name)
            }
        }
    }
}

/// Why a signature and a line do not make a proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("the signature is by another key than the authorized one")]
    OtherKey,
    #[error("the signature is for another user than the line")]
    OtherUser,
    #[error("another certificate was presented than the one the line was judged for, or none")]
    Certificate,
    #[error("the security key was not touched, and its line does not say no-touch-required")]
    NotTouched,
    #[error("the line says verify-required, and the security key did not verify its user")]
    NotVerified,
    #[error("the instance has not accepted the login")]
    NotAccepted,
}

impl Verified {
    /// A signature over this connection, by a key that a line of this person's lists.
    pub fn by_key(signed: &SignedKey, line: &AuthorizedLine) -> Result<Self, ProofError> {
        if signed.key_blob() != line.key_blob() {
            return Err(ProofError::OtherKey);
        }
        // What is signed is the name as typed, `alice+gpu`; the line is of the person in it.
        let name: Option<LoginName> = signed.user().parse().ok();
        if name.is_none_or(|name| name.user != line.user().as_ref()) {
            return Err(ProofError::OtherUser);
        }
        // A plain line would lose the certificate's limits, and a certificate's rights are no plain key's.
        if signed.certificate() != line.certificate().map(Arc::as_ref) {
            return Err(ProofError::Certificate);
        }
        if let Some(presence) = signed.presence() {
            if line.is_touch_required() && !presence.is_user_present() {
                return Err(ProofError::NotTouched);
            }
            if line.is_verification_required() && !presence.is_user_verified() {
                return Err(ProofError::NotVerified);
            }
        }
        Ok(Self {
            user: line.user().clone(),
            proof: Proof::PublicKey {
                algorithm: signed.algorithm().name().to_owned(),
                fingerprint: fingerprint(line.key_blob()),
                certificate: line.certificate().map(|shown| CertifiedBy::of(shown)),
            },
            restrictions: line.restrictions().clone(),
        })
    }

    /// The verdict of the instance that a password or the answers to its questions were relayed to, for the user named
    /// in that very conversation: success, or partial success where it wants more. `method` is the SSH method's name.
    pub fn by_instance(
        user: &str,
        method: &'static str,
        instance: &InstanceId,
        verdict: &AuthReply,
    ) -> Result<Self, ProofError> {
        let is_partial = match verdict {
            AuthReply::Success => false,
            AuthReply::Failure { partial: true, .. } => true,
            _ => return Err(ProofError::NotAccepted),
        };
        Ok(Self {
            user: user.into(),
            proof: Proof::Instance {
                method,
                instance: instance.clone(),
                is_partial,
            },
            restrictions: Restrictions::unrestricted(),
        })
    }

    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// Why factors do not make a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    #[error("nothing was proved")]
    NoFactor,
    #[error("the instance wants more than what was proved")]
    OnlyInPart,
    #[error("the factors prove different users")]
    DifferentUsers,
    #[error("two of the keys force different commands")]
    ContradictingCommands,
}

/// A proven login and what it may do. Immutable: there is no way to widen one.
#[derive(Clone, Debug)]
pub struct Grant {
    user: Arc<str>,
    proofs: Vec<Proof>,
    restrictions: Restrictions,
}

impl Grant {
    /// From all factors of one login, in the order they were proved; what it allows is what each of them allows.
    pub fn new(factors: &[Verified]) -> Result<Self, GrantError> {
        let first = factors.first().ok_or(GrantError::NoFactor)?;
        if factors.iter().all(|factor| factor.proof.is_partial()) {
            return Err(GrantError::OnlyInPart);
        }
        let mut restrictions = first.restrictions.clone();
        for factor in factors {
            if factor.user != first.user {
                return Err(GrantError::DifferentUsers);
            }
            restrictions = restrictions
                .intersect(&factor.restrictions)
                .ok_or(GrantError::ContradictingCommands)?;
        }
        Ok(Self {
            user: first.user.clone(),
            proofs: factors.iter().map(|factor| factor.proof.clone()).collect(),
            restrictions,
        })
    }

    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    pub fn proofs(&self) -> &[Proof] {
        &self.proofs
    }

    pub fn restrictions(&self) -> &Restrictions {
        &self.restrictions
    }

    /// All proofs in one text, for the audit line.
    pub fn proof_text(&self) -> String {
        let texts: Vec<String> = self.proofs.iter().map(Proof::to_string).collect();
        texts.join(", ")
    }
}

#[cfg(test)]
mod tests;
