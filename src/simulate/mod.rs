//! A pool in a virtual world: the very pool, policy and lint of the gate, with people and machines that are numbers.
//!
//! Deliberately absent: sleeping, sockets, files, clocks and chance. Whatever happens follows from the trace, the
//! settings and the seed, so that every run can be repeated.

pub mod chart;
pub mod clairvoyant;
mod cloud;
mod control;
pub mod dice;
pub mod faults;
pub mod generate;
mod orders;
pub mod outcome;
pub mod rivals;
mod strikes;
#[cfg(test)]
mod tests;
pub mod trace;
mod world;

pub use faults::Faults;
pub use generate::Shape;
pub use outcome::Outcome;
pub use rivals::Mind;
pub use trace::{Trace, Visit};
pub use world::{Settings, run};
