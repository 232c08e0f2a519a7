//! The ssh front door: accept, authenticate, place, log in to the instance, relay.

pub mod wire;

