//! A session: one admitted login, counted on one instance.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

use super::instance::{InstanceId, Protocol};
use super::snapshot::SessionView;

/// Unique within one run of one gate; printed as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-fA-F]{16}$", example = "00000000000000ff")]
pub struct SessionId(pub u64);

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
        id.map(Self).ok_or(SessionIdError)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session is named by 16 hex digits, as `poolgate sessions` prints them")]
pub struct SessionIdError;

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'a> Deserialize<'a> for SessionId {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// How far a login has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The name is only claimed (a password still to be checked, a browser's first page): orders placement, takes no capacity from proven people, leaves no affinity.
    Provisional,
    /// Proven, on its way to the instance.
    Reserved,
    Live,
}

#[derive(Clone, Debug)]
pub struct Session {
    pub id: SessionId,
    /// Only claimed while the stage is provisional; `None` until a browser's person has proved a name.
    pub user: Option<Arc<str>>,
    pub protocol: Protocol,
    pub instance: InstanceId,
    pub peer: IpAddr,
    pub stage: Stage,
    pub since: SystemTime,
    /// Bytes flow; makes a proven session live, whichever of the two comes first.
    pub(super) is_carrying: bool,
    /// A gate of before holds it.
    pub(super) is_elsewhere: bool,
}

impl Session {
    pub(super) fn is_proven(&self) -> bool {
        self.stage != Stage::Provisional
    }

    pub(super) fn view(&self) -> SessionView {
        SessionView {
            id: self.id,
            user: self.user.clone(),
            protocol: self.protocol,
            pool: self.instance.pool.clone(),
            instance: self.instance.name.clone(),
            peer: self.peer,
            since: self.since,
            stage: self.stage,
            is_elsewhere: self.is_elsewhere,
        }
    }
}
