//! What each fuzz target does with its input: one function a target, shared by libFuzzer (fuzz/targets) and by the test
//! that replays the corpus (tests/corpus.rs).
//!
//! Each panics on a finding and is deterministic: entropy is seeded and time stands still, so an input that failed once
//! fails always. Only what the library offers to everybody is used.

// Each fuzz target uses one of these.
#![allow(dead_code)]

pub mod authorized_keys;
pub mod channels;
pub mod config;
pub mod frames;
pub mod http_head;
pub mod ident;
pub mod keyed;
pub mod keys;
pub mod known_hosts;
pub mod messages;
pub mod pair;
pub mod private_key;
pub mod proxy_header;
pub mod transport;
pub mod userauth;

/// A target's name, which is also its corpus's, and what it does.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("authorized_keys", authorized_keys::run),
    ("channels", channels::run),
    ("config", config::run),
    ("frames", frames::run),
    ("http_head", http_head::run),
    ("ident", ident::run),
    ("keyed", keyed::run),
    ("keys", keys::run),
    ("known_hosts", known_hosts::run),
    ("messages", messages::run),
    ("private_key", private_key::run),
    ("proxy_header", proxy_header::run),
    ("transport", transport::run),
    ("userauth", userauth::run),
];

/// Cuts an input into a sequence of byte strings, each behind two bytes that hold its length, the last one as long as
/// there is input.
pub fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (part, rest) = rest.split_at(length);
        data = rest;
        Some(part)
    })
}
