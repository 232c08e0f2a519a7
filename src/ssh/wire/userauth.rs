//! User authentication messages (RFC 4252, RFC 4256), both sides: parsing, building, and the one function that turns an
//! offered key into a proven one.
//!
//! Deliberately absent: whether anybody may log in, attempt counters, delays. Every field read is bounded; secrets are
//! wiped on drop and never printed. Message 60 has three meanings, so its reader is told the method in progress.

mod client;
mod reply;
mod request;
mod server;
mod signed;

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

pub use client::{
    info_response, keyboard_interactive_request, none_request, password_change_request,
    password_request, publickey_request,
};
pub use reply::{AuthReply, InProgress, InfoRequest, Prompt};
pub use request::{AuthRequest, Method, parse_info_response};
pub use server::{banner, failure, info_request, password_change_prompt, pk_ok, success};
pub use signed::{OfferedKey, SignatureError, SignedKey, offered_key, signed_key};

/// Longest user name, in bytes.
pub const LONGEST_USER: usize = 256;
/// Longest password or answer to a prompt, in bytes.
pub const LONGEST_SECRET: usize = 4 * 1024;
/// Longest key, certificate or signature, in bytes.
pub const LONGEST_BLOB: usize = 16 * 1024;
/// Most prompts, and so answers, in one keyboard-interactive round.
pub const MOST_PROMPTS: usize = 64;
/// Longest banner, in bytes: some are whole pages of terms.
pub const LONGEST_BANNER: usize = 128 * 1024;
/// Longest prompt or instruction, in bytes.
pub const LONGEST_TEXT: usize = 32 * 1024;
const LONGEST_NAME: usize = 256;

/// A password or an answer: any bytes (usually UTF-8), wiped on drop, never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes as the person's client sent them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// In constant time for equal lengths.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests;
