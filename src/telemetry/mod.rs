//! What operators see: logs, the audit log, metrics, traces.

pub mod audit;
mod bounded;
mod daemons;
pub mod events;
pub mod failed_logins;
mod journald;
pub mod lines;
pub mod log;
pub mod metrics;
pub mod rotation;
mod syslog;
pub mod traces;
