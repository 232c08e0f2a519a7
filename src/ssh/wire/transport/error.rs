//! Why a connection cannot go on, and what the peer is told about it.

use crate::ssh::wire::cipher::CipherError;
use crate::ssh::wire::ident::IdentError;
use crate::ssh::wire::kex::KexError;
use crate::ssh::wire::keys::KeyError;
use crate::ssh::wire::message::{DisconnectCode, Malformed};
use crate::ssh::wire::negotiate::NegotiateError;

/// A connection's end. `Transport::receive` has written a fitting DISCONNECT before it returns one.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error(transparent)]
    Ident(#[from] IdentError),
    #[error("a packet cannot be opened: {0}")]
    Packet(#[from] CipherError),
    #[error("the peer sent a malformed message: {0}")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Negotiate(#[from] NegotiateError),
    #[error("the key exchange failed: {0}")]
    Exchange(#[from] KexError),
    #[error("the host key or its signature is not acceptable: {0}")]
    HostKey(#[from] KeyError),
    #[error("none of our host keys signs {0}")]
    NoHostKey(&'static str),
    #[error("the peer's host key changed in the middle of the connection")]
    HostKeyChanged,
    #[error("the peer sent message {number} {at}, where it is not allowed")]
    Unexpected { number: u8, at: &'static str },
    #[error("the peer sent more than {0} messages that carry nothing before it logged in")]
    Flood(u32),
    #[error("the peer did not renew its keys within the hard limit")]
    KeysWornOut,
    #[error("the packet counter would wrap before the first key exchange has ended")]
    SequenceWrapped,
    #[error("more than {0} bytes wait for the keys to be renewed")]
    HeldTooMuch(usize),
    #[error("the connection has ended")]
    Ended,
}

impl WireError {
    /// The reason a DISCONNECT gives.
    pub fn disconnect_code(&self) -> DisconnectCode {
        match self {
            Self::Ident(IdentError::Version(_)) => DisconnectCode::ProtocolVersionNotSupported,
            Self::Packet(_) => DisconnectCode::MacError,
            Self::Negotiate(_) | Self::Exchange(_) | Self::NoHostKey(_) => {
                DisconnectCode::KeyExchangeFailed
            }
            Self::HostKey(_) | Self::HostKeyChanged => DisconnectCode::HostKeyNotVerifiable,
            _ => DisconnectCode::ProtocolError,
        }
    }
}
