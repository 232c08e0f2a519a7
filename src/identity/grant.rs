//! Proof before effect, as types: what somebody claims, what was proved, and what follows from it.
//!
//! An [`Offered`] key opens nothing. A [`Verified`] factor has no public fields and exists only after a signature, an
//! instance's own verdict or a hub's answer. Only a [`Grant`] may place, wake, dial, record or sign; it is never changed.

use std::fmt;
use std::sync::Arc;

use super::authorized_keys::AuthorizedLine;
use super::restrictions::Restrictions;
use crate::pool::{InstanceId, LoginName};
use crate::ssh::wire::keys::fingerprint;
use crate::ssh::wire::userauth::{AuthReply, SignedKey};

/// A key that somebody named. It says which question to ask of `KeyFinder`, and nothing about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    pub user: Arc<str>,
    pub key_blob: Vec<u8>,
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
    },
    /// The instance asked and accepted; `method` is the SSH method it accepted.
    Instance {
        method: &'static str,
        instance: InstanceId,
    },
    /// The instance's hub logged the browser in.
    Hub { instance: InstanceId },
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicKey {
                algorithm,
                fingerprint,
            } => write!(f, "publickey {algorithm} {fingerprint}"),
            Self::Instance { method, instance } => {
                write!(f, "{method} (instance {})", instance.name)
            }
            Self::Hub { instance } => write!(f, "jupyterhub (instance {})", instance.name),
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
    #[error("a certificate was presented, and the line lists only its plain key")]
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
        // Its own limits would be lost; the same client offers the plain key next.
        if signed.certificate().is_some() {
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
            },
            restrictions: line.restrictions().clone(),
        })
    }

    /// The verdict of the instance that a password or the answers to its questions were relayed to, for the user named
    /// in that very conversation. `method` is the SSH method's name.
    pub fn by_instance(
        user: &str,
        method: &'static str,
        instance: &InstanceId,
        verdict: &AuthReply,
    ) -> Result<Self, ProofError> {
        if *verdict != AuthReply::Success {
            return Err(ProofError::NotAccepted);
        }
        Ok(Self {
            user: user.into(),
            proof: Proof::Instance {
                method,
                instance: instance.clone(),
            },
            restrictions: Restrictions::unrestricted(),
        })
    }

    /// The hub on this instance set the person's own login cookie in answer to its OAuth callback: the caller has seen
    /// that answer come from the instance, not a cookie that a browser sent.
    pub fn by_hub(user: &str, instance: &InstanceId) -> Self {
        Self {
            user: user.into(),
            proof: Proof::Hub {
                instance: instance.clone(),
            },
            restrictions: Restrictions::unrestricted(),
        }
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
