//! Poolgate: the front door of a shared pool of data-science machines.
//!
//! The map, a line a module; `tests/tidy.rs` holds which of them may use which.

pub mod admin; // the operators' side: API, metrics, the socket for the command line
pub mod app; // composition root: builds each part once, spawns, owns shutdown
pub mod cli; // one file a command
pub mod config; // files and environment -> validated values, every fault at once
pub mod demo; // `poolgate demo`: local instances that need nothing installed
pub mod files; // files that operators change at work: taken once they stand still, told while they are at fault
pub mod fleet; // what instances exist: a static list, local processes, a cloud
pub mod https; // the browser's front door
pub mod identity; // who is it: from an offer to a proof to a grant
pub mod net; // accept, deadlines, shutdown: what both front doors share
pub mod pool; // pure: instances, health, sessions, placement, affinity
pub mod probe; // one task an instance: does it answer
pub mod scaling; // how big a pool should be: pure plans with reasons, and the controller that carries them out
pub mod shared_pool; // the lock around the pool and the channel of its snapshots
pub mod simulate; // pure: a pool in a virtual world, to try policies in
pub mod ssh; // the ssh front door, and the engine under it
pub mod state; // files that outlive the process, and who may write them
pub mod telemetry; // logs, audit lines, metrics
pub mod webhooks; // chat channels and programs that are told of events
