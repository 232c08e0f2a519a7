//! What two gates say to each other when one takes the other's place: lines of JSON over a Unix socket, descriptors beside them.
//!
//! The first line of each side carries the version, which is raised when a gate of before would misread what this one says.
//! Deliberately absent: what the words make a gate do, which is `app::handover`'s.

mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::pool::{Plea, Reply, SessionId, SessionView};
pub use wire::{Reader, Writer, join};

pub const VERSION: u32 = 3;
/// The socket's name in the state folder.
pub const FILE_NAME: &str = "handover.sock";
/// The folder beside it that a gate moves its socket to once it has given its place away, under its process's number. Names are
/// short because a socket's path has little room: none of these is longer than the one above.
pub const OLDER: &str = "older";
/// What the state folder's lock is called among the descriptors.
pub const LOCK: &str = "lock";
/// Pleas of one gate that wait for an answer at one time.
pub const PLEAS_MAX: usize = 64;

/// From the gate that takes over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum FromNew {
    Ask {
        version: u32,
        /// The version of its program.
        program: String,
    },
    /// All that can fail has been done.
    Ready,
    /// It accepts connections.
    Serving,
    /// A session that the old gate still has is to end.
    Evict {
        session: SessionId,
        reason: Option<String>,
    },
    /// A line for its terminal.
    Tell { session: SessionId, line: Arc<str> },
    /// Files that it writes lines to have been put aside: they are to be opened anew.
    Reopen,
    /// All its sessions are to end.
    End,
    /// To a plea of this number.
    Reply { number: u64, reply: Box<Reply> },
    /// Whom does a gate hold that has given its place away? It is answered for as long as that one lives.
    Follow { version: u32 },
}

/// From the gate that runs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub enum FromOld {
    Refused {
        version: u32,
        why: String,
    },
    /// The descriptors follow in this order.
    Offer {
        version: u32,
        /// The version of its program.
        program: String,
        /// Whose wish the hand-over is; nobody's where the new gate was started by hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<Order>,
        descriptors: Vec<Passed>,
        /// Instances that are up as this gate sees them.
        up: Vec<Seen>,
        report: Report,
    },
    /// The place is the new gate's.
    Yours,
    /// The old gate accepts no more.
    Done,
    /// It goes on itself.
    Withdrawn {
        why: String,
    },
    /// What has changed of its sessions.
    Report(Report),
    /// A login that the old gate still has wants a seat.
    Plea {
        number: u64,
        plea: Box<Plea>,
    },
    /// All its sessions; reports of changes follow.
    Holds {
        version: u32,
        /// The version of its program.
        program: String,
        report: Report,
    },
}

/// An operator's, or a signal's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// As events name them.
    pub by: String,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Passed {
    /// As `SocketName` has them, or `LOCK`.
    pub name: String,
    /// Where it is a socket file that the gate itself made, and removes at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub pool: Arc<str>,
    pub instance: Arc<str>,
}

/// Sessions that have begun, changed or ended; those of the process that tells, and no other's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub sessions: Vec<Held>,
    pub ended: Vec<SessionId>,
}

/// A session of a gate of before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub session: SessionView,
    /// Of the instance: another machine under its name does not hold it.
    pub generation: u64,
}
