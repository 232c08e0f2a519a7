//! Why a login comes to nothing, and how each side hears of it.

use std::time::Duration;

use crate::identity::grant::{GrantError, ProofError};
use crate::pool::Refusal;
use crate::ssh::leg::LegError;
use crate::ssh::wire::message::{DisconnectCode, Malformed};

/// Why a login came to nothing. The text is for the audit line; what the person hears is `told`.
#[derive(Debug, thiserror::Error)]
pub(in crate::ssh) enum LoginError {
    #[error("{0}")]
    Client(LegError),
    #[error("the client sent a malformed message: {0}")]
    Malformed(#[from] Malformed),
    #[error("the client sent message {0}, which has no place in a login")]
    OutOfPlace(u8),
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("too many failed attempts to log in")]
    TooManyTries,
    #[error("too many messages before the login was done")]
    TooManyMessages,
    #[error("too many keys offered; name the right one with: ssh -o IdentitiesOnly=yes -i KEY")]
    TooManyOffers,
    #[error("{0}")]
    Name(String),
    #[error("{0}")]
    Proof(#[from] ProofError),
    #[error("{0}")]
    Grant(#[from] GrantError),
    #[error("no instance could be reached; the last one tried was {0}")]
    Unreachable(String),
    #[error("instance {instance} refused the login: {why}")]
    RefusedByInstance { instance: String, why: String },
    #[error("too many failed logins from your address; try again in {0:?}")]
    Penalised(Duration),
    #[error("login took longer than {0:?}")]
    TooSlow(Duration),
}

impl LoginError {
    /// The label under which the metrics count it.
    pub(in crate::ssh) fn outcome(&self) -> &'static str {
        match self {
            Self::Client(_) => "gone",
            Self::Malformed(_) | Self::OutOfPlace(_) => "malformed",
            Self::TooManyTries
            | Self::TooManyOffers
            | Self::TooManyMessages
            | Self::Penalised(_)
            | Self::Name(_)
            | Self::Proof(_)
            | Self::Grant(_) => "refused",
            Self::Refused(_) => "no-seat",
            Self::Unreachable(_) => "unreachable",
            Self::RefusedByInstance { .. } => "refused-by-instance",
            Self::TooSlow(_) => "timeout",
        }
    }

    /// For the person: addresses, files and what instances show are the operator's to see.
    pub(in crate::ssh) fn told(&self) -> String {
        match self {
            Self::Unreachable(_) => {
                "no instance could be reached; the gate's log says why".to_owned()
            }
            other => other.to_string(),
        }
    }

    /// The disconnect code (RFC 4253 section 11.1) under which the person hears of it; `None` where nobody listens.
    pub(in crate::ssh) fn disconnect_code(&self) -> Option<DisconnectCode> {
        match self {
            Self::Client(LegError::Wire(error)) => Some(error.disconnect_code()),
            Self::Client(_) => None,
            Self::Malformed(_) | Self::OutOfPlace(_) => Some(DisconnectCode::ProtocolError),
            Self::TooManyTries
            | Self::TooManyOffers
            | Self::TooManyMessages
            | Self::Penalised(_)
            | Self::Proof(_)
            | Self::Grant(_) => Some(DisconnectCode::NoMoreAuthMethodsAvailable),
            Self::Name(_) => Some(DisconnectCode::IllegalUserName),
            Self::Refused(_) | Self::Unreachable(_) | Self::RefusedByInstance { .. } => {
                Some(DisconnectCode::ServiceNotAvailable)
            }
            Self::TooSlow(_) => Some(DisconnectCode::ByApplication),
        }
    }
}
