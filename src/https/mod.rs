//! The browser's front door: TLS, validation, pins, and a relay to the one JupyterHub a person belongs to.
//!
//! Several independent hubs stand behind one address, and a single request sent to the wrong one logs a person out. So
//! every request is routed by a signed pin, set on the very first answer; nothing else a client sends decides where it
//! goes. Deliberately absent: parsing of WebSocket frames, caching, buffering, rewriting of bodies or of `Location`.

pub mod classify;
pub mod cookies;
pub mod frames;
pub mod framing;
pub mod headers;
pub mod pin;
pub mod validate;

mod access_log;
mod acme;
mod announce;
mod answer;
mod body;
mod choice;
mod even;
mod finish;
mod forward;
mod front;
mod hosts;
mod instance_pool;
mod learn;
mod listener;
mod login_form;
mod lost;
mod own;
mod pages;
mod presence;
mod redirect;
mod relogin;
mod route;
mod service;
mod sign_in;
mod stream;
#[cfg(test)]
mod tests;
mod traced;
mod tunnel;
mod upgrade;
mod visit;
mod waiting;

pub use front::{BuildError, Front, Renewed, Reread, sweep};
