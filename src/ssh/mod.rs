//! The ssh front door: accept, authenticate, place, log in to the instance, relay.

pub mod ca;
pub mod channels;
pub mod examine;
pub mod front;
pub mod host_identity;
pub mod host_keys;
pub mod policy;
pub mod wire;

mod client_env;
mod commands;
mod ends;
mod entropy;
pub mod errand;
mod gatekeeper;
mod key_file;
mod leg;
mod login;
mod pipe;
mod policies;
mod record;
mod refusals;
mod replies;
#[cfg(test)]
mod test_keys;
mod toll;
mod traced;
mod upstream;
