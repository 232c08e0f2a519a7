//! The ssh front door: accept, authenticate, place, log in to the instance, relay.

pub mod ca;
pub mod host_keys;
pub mod wire;

mod key_file;
#[cfg(test)]
mod test_keys;
