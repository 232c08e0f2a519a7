//! Headers of global requests (RFC 4254 section 4): which one is it, and does its sender wait for an answer.
//! The gate has to know host-key rotation, keepalives and `no-more-sessions`; every other request passes unread.

use super::{Malformed, Reader, Writer, number};

const LONGEST_NAME: usize = 256;
const LONGEST_KEY: usize = 16 * 1024;
const MOST_KEYS: usize = 64;

/// A GLOBAL_REQUEST, its type-specific data unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalRequest<'a> {
    pub name: &'a [u8],
    pub want_reply: bool,
    pub data: &'a [u8],
}

/// The global requests the gate treats specially (OpenSSH PROTOCOL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GlobalKind {
    /// `hostkeys-00@openssh.com`: a server announces its host keys.
    HostKeys,
    /// `hostkeys-prove-00@openssh.com`: a client wants proof of them, bound to the session id.
    HostKeysProve,
    /// `keepalive@openssh.com`: any answer will do.
    Keepalive,
    /// `no-more-sessions@openssh.com`: the client renounces further session channels.
    NoMoreSessions,
    Other,
}

impl<'a> GlobalRequest<'a> {
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::of(payload, number::GLOBAL_REQUEST)?;
        let name = reader.string(LONGEST_NAME)?;
        let want_reply = reader.boolean()?;
        Ok(Self {
            name,
            want_reply,
            data: reader.rest(),
        })
    }

    pub fn kind(&self) -> GlobalKind {
        match self.name {
            b"hostkeys-00@openssh.com" => GlobalKind::HostKeys,
            b"hostkeys-prove-00@openssh.com" => GlobalKind::HostKeysProve,
            b"keepalive@openssh.com" => GlobalKind::Keepalive,
            b"no-more-sessions@openssh.com" => GlobalKind::NoMoreSessions,
            _ => GlobalKind::Other,
        }
    }

    /// The key blobs in the data of `HostKeys` and `HostKeysProve`.
    pub fn keys(&self) -> Result<Vec<&'a [u8]>, Malformed> {
        let mut reader = Reader::new(self.data);
        let mut keys = Vec::new();
        while !reader.clone().rest().is_empty() {
            if keys.len() == MOST_KEYS {
                return Err(Malformed::TooMany);
            }
            keys.push(reader.string(LONGEST_KEY)?);
        }
        Ok(keys)
    }
}

/// `hostkeys-00@openssh.com` with these public key blobs.
pub fn hostkeys_announcement(blobs: &[Vec<u8>]) -> Vec<u8> {
    let header = Writer::new(number::GLOBAL_REQUEST)
        .string("hostkeys-00@openssh.com")
        .boolean(false);
    blobs
        .iter()
        .fold(header, |message, blob| message.string(blob))
        .finish()
}

/// What a server signs with each of its keys to answer `hostkeys-prove-00@openssh.com`.
pub fn host_key_proof_data(session_id: &[u8], blob: &[u8]) -> Vec<u8> {
    Writer::bare()
        .string("hostkeys-prove-00@openssh.com")
        .string(session_id)
        .string(blob)
        .finish()
}
