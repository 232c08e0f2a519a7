//! Why a fleet could not be looked at or resized, by what is to be done about it. Each message says so in words.
//!
//! Deliberately few kinds: whoever decides needs to know whether to wait, to look again, to ask elsewhere or to call a person,
//! and not which cloud said what. The cloud's own words are kept in the message.

use std::time::Duration;

/// What went wrong, with the cloud's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetFault {
    #[error("{what}; nothing is asked for {} s", .after.as_secs())]
    Throttled { what: String, after: Duration },
    /// Somebody else changed the fleet in between, or is at it.
    #[error("{0}; look again, then decide anew")]
    Conflict(String),
    #[error("{0}; ask the cloud for a larger quota, or lower scaling.max")]
    Quota(String),
    #[error(
        "{0}; the cloud has no such machine free: it is tried again later, and another size or zone may have room"
    )]
    NoCapacity(String),
    #[error("{0}; check the identity's role and the credential of the fleet")]
    Auth(String),
    #[error("{0}; check the names in the fleet's section")]
    NotFound(String),
    /// It may pass by itself.
    #[error("{0}; it is tried again")]
    Transient(String),
    /// Trying again changes nothing; the message ends with the remedy.
    #[error("{0}")]
    Fatal(String),
}

impl FleetFault {
    /// The word of metrics and logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Conflict(_) => "conflict",
            Self::Quota(_) => "quota",
            Self::NoCapacity(_) => "no-capacity",
            Self::Auth(_) => "auth",
            Self::NotFound(_) => "not-found",
            Self::Transient(_) => "transient",
            Self::Fatal(_) => "fatal",
        }
    }

    /// How long to leave the cloud alone at least.
    pub fn wait_at_least(&self) -> Duration {
        match self {
            Self::Throttled { after, .. } => *after,
            Self::Quota(_) | Self::NoCapacity(_) => Duration::from_secs(300),
            Self::Auth(_) | Self::NotFound(_) | Self::Fatal(_) => Duration::from_secs(60),
            Self::Conflict(_) | Self::Transient(_) => Duration::from_secs(5),
        }
    }
}
