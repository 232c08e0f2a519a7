//! The messages of the transport layer (RFC 4253 sections 10-12, RFC 8308, OpenSSH PROTOCOL): numbers, builders, parsers,
//! and the heads of the global requests and channel messages a gate has to know.
//!
//! Deliberately absent: key exchange (`negotiate`, `kex`), user authentication (`userauth`).

pub mod channel;
mod codec;
mod global;

pub use codec::{Malformed, Reader, Writer};
pub use global::{GlobalKind, GlobalRequest, host_key_proof_data, hostkeys_announcement};

/// Message numbers (RFC 4250 section 4.1.2 and OpenSSH's PROTOCOL).
pub mod number {
    pub const DISCONNECT: u8 = 1;
    pub const IGNORE: u8 = 2;
    pub const UNIMPLEMENTED: u8 = 3;
    pub const DEBUG: u8 = 4;
    pub const SERVICE_REQUEST: u8 = 5;
    pub const SERVICE_ACCEPT: u8 = 6;
    pub const EXT_INFO: u8 = 7;
    pub const KEXINIT: u8 = 20;
    pub const NEWKEYS: u8 = 21;
    pub const KEX_INIT: u8 = 30;
    pub const KEX_REPLY: u8 = 31;
    pub const USERAUTH_REQUEST: u8 = 50;
    pub const USERAUTH_FAILURE: u8 = 51;
    pub const USERAUTH_SUCCESS: u8 = 52;
    pub const USERAUTH_BANNER: u8 = 53;
    /// `PK_OK`, `PASSWD_CHANGEREQ` or `INFO_REQUEST`: the method in progress decides.
    pub const USERAUTH_60: u8 = 60;
    pub const USERAUTH_INFO_RESPONSE: u8 = 61;
    pub const GLOBAL_REQUEST: u8 = 80;
    pub const REQUEST_SUCCESS: u8 = 81;
    pub const REQUEST_FAILURE: u8 = 82;
    pub const CHANNEL_OPEN: u8 = 90;
    pub const CHANNEL_OPEN_CONFIRMATION: u8 = 91;
    pub const CHANNEL_OPEN_FAILURE: u8 = 92;
    pub const CHANNEL_WINDOW_ADJUST: u8 = 93;
    pub const CHANNEL_DATA: u8 = 94;
    pub const CHANNEL_EXTENDED_DATA: u8 = 95;
    pub const CHANNEL_EOF: u8 = 96;
    pub const CHANNEL_CLOSE: u8 = 97;
    pub const CHANNEL_REQUEST: u8 = 98;
    pub const CHANNEL_SUCCESS: u8 = 99;
    pub const CHANNEL_FAILURE: u8 = 100;
    pub const PING: u8 = 192;
    pub const PONG: u8 = 193;
}

/// The service that comes before every other (RFC 4252).
pub const SERVICE_USERAUTH: &str = "ssh-userauth";
/// The service people want (RFC 4254).
pub const SERVICE_CONNECTION: &str = "ssh-connection";

/// Signature algorithms we verify, as announced in `server-sig-algs` (RFC 8308 section 3.1).
pub const SERVER_SIG_ALGS: &str = "ssh-ed25519,sk-ssh-ed25519@openssh.com,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,\
     ecdsa-sha2-nistp521,sk-ecdsa-sha2-nistp256@openssh.com,rsa-sha2-512,rsa-sha2-256";

const LONGEST_TEXT: usize = 1024;
const MOST_EXTENSIONS: u32 = 64;

/// Why a connection ends (RFC 4253 section 11.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DisconnectCode {
    HostNotAllowedToConnect = 1,
    ProtocolError = 2,
    KeyExchangeFailed = 3,
    MacError = 5,
    ServiceNotAvailable = 7,
    ProtocolVersionNotSupported = 8,
    HostKeyNotVerifiable = 9,
    ConnectionLost = 10,
    ByApplication = 11,
    TooManyConnections = 12,
    AuthCancelledByUser = 13,
    NoMoreAuthMethodsAvailable = 14,
    IllegalUserName = 15,
}

/// The peer's farewell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    pub code: u32,
    /// At most 1 KiB, control characters replaced: fit for a log.
    pub text: String,
}

impl Disconnect {
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::of(payload, number::DISCONNECT)?;
        let code = reader.u32()?;
        // Some peers leave text and language out.
        let text = reader.string(usize::MAX).unwrap_or_default();
        Ok(Self {
            code,
            text: printable(text),
        })
    }
}

/// Peer text made fit for a log line: bounded, valid UTF-8, no control characters.
pub fn printable(text: &[u8]) -> String {
    let bounded = text.get(..LONGEST_TEXT).unwrap_or(text);
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    String::from_utf8_lossy(bounded)
        .chars()
        .map(clean)
        .collect()
}

/// DISCONNECT; `text` is cut at 1 KiB.
pub fn disconnect(code: DisconnectCode, text: &str) -> Vec<u8> {
    let end = text.floor_char_boundary(LONGEST_TEXT);
    let text = text.get(..end).unwrap_or_default();
    Writer::new(number::DISCONNECT)
        .u32(code as u32)
        .string(text)
        .string("")
        .finish()
}

/// UNIMPLEMENTED for the packet with that sequence number.
pub fn unimplemented(sequence: u32) -> Vec<u8> {
    Writer::new(number::UNIMPLEMENTED).u32(sequence).finish()
}

/// IGNORE with `data` inside.
pub fn ignore(data: &[u8]) -> Vec<u8> {
    Writer::new(number::IGNORE).string(data).finish()
}

/// PING (OpenSSH PROTOCOL section 1.8): the peer sends `data` back.
pub fn ping(data: &[u8]) -> Vec<u8> {
    Writer::new(number::PING).string(data).finish()
}

/// The answer to a PING payload.
pub fn pong(ping: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut reader = Reader::of(ping, number::PING)?;
    let data = reader.string(usize::MAX)?;
    Ok(Writer::new(number::PONG).string(data).finish())
}

/// SERVICE_REQUEST for `service`.
pub fn service_request(service: &str) -> Vec<u8> {
    Writer::new(number::SERVICE_REQUEST)
        .string(service)
        .finish()
}

/// SERVICE_ACCEPT for `service`.
pub fn service_accept(service: &str) -> Vec<u8> {
    Writer::new(number::SERVICE_ACCEPT).string(service).finish()
}

/// The name in a SERVICE_REQUEST or SERVICE_ACCEPT.
pub fn parse_service(payload: &[u8]) -> Result<&str, Malformed> {
    let mut reader = Reader::new(payload);
    match reader.byte()? {
        number::SERVICE_REQUEST | number::SERVICE_ACCEPT => {}
        other => return Err(Malformed::Number(other)),
    }
    let name = reader.text(256)?;
    reader.finish()?;
    Ok(name)
}

/// What an EXT_INFO said that we know (RFC 8308).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtInfo {
    /// `server-sig-algs`, in the peer's order.
    pub sig_algs: Option<Vec<String>>,
    /// `ping@openssh.com` version "0".
    pub ping: bool,
}

impl ExtInfo {
    /// Our own as a server: what we verify, and that we answer pings.
    pub fn of_server() -> Vec<u8> {
        Writer::new(number::EXT_INFO)
            .u32(2)
            .string("server-sig-algs")
            .string(SERVER_SIG_ALGS)
            .string("ping@openssh.com")
            .string("0")
            .finish()
    }

    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::of(payload, number::EXT_INFO)?;
        let count = reader.u32()?;
        if count > MOST_EXTENSIONS {
            return Err(Malformed::TooMany);
        }
        let mut info = Self::default();
        for _ in 0..count {
            let name = reader.string(1024)?;
            let value = reader.string(16 * 1024)?;
            match name {
                b"server-sig-algs" => {
                    let names = codec::ascii(value)?;
                    info.sig_algs = Some(names.split(',').map(str::to_owned).collect());
                }
                b"ping@openssh.com" => info.ping = value == b"0",
                _ => {}
            }
        }
        reader.finish()?;
        Ok(info)
    }
}

#[cfg(test)]
mod tests;
