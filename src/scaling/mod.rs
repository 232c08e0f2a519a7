//! How big a pool should be: from facts to a plan, in words and by exact instance, as pure functions.
//!
//! Deliberately absent: clouds, clocks, files and configuration. `policy::plan` proposes, `lint` refuses what is unsafe
//! whatever proposed it, and whoever carries a plan out (the controller, the simulator) tells `History` what happened.

pub mod controller;
pub mod cost;
mod demand;
pub mod facts;
pub mod foresight;
mod freeze;
mod grow;
pub mod history;
pub mod lint;
pub mod listing;
pub mod order;
pub mod patience;
pub mod plan;
pub mod policy;
pub mod policy_config;
pub mod prospect;
pub mod schedule;
pub mod settings;
mod shrink;
mod situation;
mod supply;
#[cfg(test)]
mod tests;
mod tracks;

pub use facts::{Facts, InstanceFacts, Occupancy};
pub use history::History;
pub use order::Order;
pub use plan::{Action, Plan, Step};
pub use policy::plan;
pub use policy_config::PolicyConfig;
pub use schedule::{Bounds, Headroom, Schedule};
