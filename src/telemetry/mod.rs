//! What operators see: logs, the audit log, metrics.

pub mod audit;
pub mod log;
pub mod metrics;
