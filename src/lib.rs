//! Poolgate: the front door of a shared pool of data-science machines.
//!
//! The map, a line a module; `tests/tidy.rs` holds which of them may use which.

pub mod config; // files and environment -> validated values, every fault at once
pub mod https; // the browser's front door
pub mod identity; // who is it: from an offer to a proof to a grant
pub mod net; // accept, deadlines, shutdown: what both front doors share
pub mod pool; // pure: instances, health, sessions, placement, affinity
pub mod shared_pool; // the lock around the pool and the channel of its snapshots
pub mod ssh; // the ssh front door, and the engine under it
pub mod telemetry; // logs, audit lines, metrics
