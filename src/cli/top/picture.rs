//! What a gate said of itself at one moment, as plain values. Who asks it is in `ask`; nothing here does.

use std::collections::BTreeMap;
use std::time::SystemTime;

use crate::admin::Status;
use crate::pool::{InstanceId, InstanceView, SessionView, WaiterView};

#[derive(Clone, Debug)]
pub struct Picture {
    pub at: SystemTime,
    pub status: Status,
    pub instances: Vec<InstanceView>,
    pub sessions: Vec<SessionView>,
    pub waiters: Vec<WaiterView>,
    /// Kernels that compute, where that is known.
    pub kernels: BTreeMap<InstanceId, u32>,
    pub config: Standing,
}

/// Whether the gate works by what its file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    AsWritten,
    /// So many keys have another value in the file.
    Differs(usize),
    /// The file would be refused.
    Faulty,
    /// From here it cannot be told, and why.
    Unknown(String),
}
