//! Who asks: the account at the other end of the socket, or whoever logged in over TCP; and what they may do.
//!
//! Every request that needs a role carries a `Caller` among its extensions once the guard has let it pass.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::{Uid, User};

use super::access::Role;

/// A directory service that hangs keeps no order waiting.
const LOOKUP: Duration = Duration::from_secs(1);

/// Where a connection came from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link {
    /// The socket, by this account as the kernel tells it. Who may open it is said by its owner and mode.
    Socket { uid: Option<u32> },
    Tcp {
        peer: SocketAddr,
        /// The address that was dialled.
        local: Option<SocketAddr>,
        is_tls: bool,
    },
}

impl Link {
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { is_tls: true, .. })
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Socket { .. } => None,
            Self::Tcp { peer, .. } => Some(*peer),
        }
    }
}

/// How somebody showed who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    Socket,
    Bearer,
    /// A browser's session; forms carry this text in a field `csrf`.
    Session {
        csrf: Arc<str>,
    },
}

impl Via {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Bearer => "bearer",
            Self::Session { .. } => "session",
        }
    }
}

/// Somebody who may ask.
#[derive(Clone, Debug)]
pub struct Caller {
    who: Who,
    pub role: Role,
    pub via: Via,
    /// Over TCP.
    pub peer: Option<SocketAddr>,
}

#[derive(Clone, Debug)]
enum Who {
    Account(Option<u32>),
    Named(Arc<str>),
}

impl Caller {
    pub(super) fn on_socket(uid: Option<u32>) -> Self {
        Self {
            who: Who::Account(uid),
            role: Role::Admin,
            via: Via::Socket,
            peer: None,
        }
    }

    pub(super) fn named(name: Arc<str>, role: Role, via: Via, peer: SocketAddr) -> Self {
        Self {
            who: Who::Named(name),
            role,
            via,
            peer: Some(peer),
        }
    }

    /// Root, or the account that the gate runs by: what they could make the gate do they can do themselves.
    pub fn is_gates_own(&self) -> bool {
        match self.who {
            Who::Account(Some(uid)) => uid == 0 || uid == Uid::effective().as_raw(),
            Who::Account(None) | Who::Named(_) => false,
        }
    }

    /// As events and the audit log name them: a token's or a person's name, or the account's, its number where it has none.
    pub async fn name(&self) -> String {
        let uid = match &self.who {
            Who::Named(name) => return name.to_string(),
            Who::Account(None) => return "an operator".to_owned(),
            Who::Account(Some(uid)) => *uid,
        };
        let look = tokio::task::spawn_blocking(move || User::from_uid(Uid::from_raw(uid)));
        match tokio::time::timeout(LOOKUP, look).await {
            Ok(Ok(Ok(Some(user)))) => user.name,
            _ => format!("uid {uid}"),
        }
    }

    /// What a form of this session must carry; `None` for whoever has no session.
    pub fn csrf(&self) -> Option<&str> {
        match &self.via {
            Via::Session { csrf } => Some(csrf),
            Via::Socket | Via::Bearer => None,
        }
    }
}
