//! The SSH engine: bytes in, events and bytes out. Transport and user authentication for both roles.
//!
//! Deliberately absent: sockets, tasks, clocks, files, channels. Time and entropy come in as arguments; after login the
//! connection protocol (RFC 4254) passes through uninterpreted.

pub mod cipher;
pub mod ident;
pub mod kex;
pub mod keys;
pub mod message;
pub mod negotiate;
pub mod packet;
pub mod transport;
pub mod userauth;

/// Where random bytes come from: padding, cookies and ephemeral secrets.
pub trait Entropy {
    fn fill(&mut self, bytes: &mut [u8]);
}
