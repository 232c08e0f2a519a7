//! What an instance is: its name, where it answers, what was decided about it and what was observed of it.
//! Knows nothing of how it is probed or who runs it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An instance's full name: unique within one gate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId {
    pub pool: Arc<str>,
    pub name: Arc<str>,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.name)
    }
}

/// One machine as its fleet lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub id: InstanceId,
    /// Host name or IP address, without a port.
    pub address: String,
    pub ssh_port: u16,
    /// `None` where the instance runs no hub: its health is then that of ssh alone.
    pub jupyter_port: Option<u16>,
    /// Sessions it may hold.
    pub capacity: u32,
    /// Changes when the machine under the name is another one (re-imaged, replaced): pins and host keys of the old one are void.
    pub generation: u64,
}

/// Somebody's decision about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdminState {
    Ready,
    Cordoned,
    Draining,
}

impl AdminState {
    /// The word of the lexicon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
        }
    }
}

/// What probes say of one service of an instance, and of the instance as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    Unknown,
    Up,
    /// People who are on it can go on working; nobody new can log in (a hung hub).
    NoLogins,
    Down,
}

impl Health {
    /// The word of the lexicon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::NoLogins => "no-logins",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The ways a person reaches an instance; each is probed by itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Ssh,
    Jupyter,
}

impl Protocol {
    pub const ALL: [Self; 2] = [Self::Ssh, Self::Jupyter];

    /// The word of the lexicon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Jupyter => "jupyter",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_and_json_use_the_same_words() {
        let json = |value: serde_json::Value| value.as_str().unwrap().to_owned();
        for health in [Health::Unknown, Health::Up, Health::NoLogins, Health::Down] {
            assert_eq!(
                json(serde_json::to_value(health).unwrap()),
                health.to_string()
            );
        }
        for protocol in Protocol::ALL {
            assert_eq!(
                json(serde_json::to_value(protocol).unwrap()),
                protocol.to_string()
            );
        }
        for state in [
            AdminState::Ready,
            AdminState::Cordoned,
            AdminState::Draining,
        ] {
            assert_eq!(json(serde_json::to_value(state).unwrap()), state.name());
        }
    }
}
