//! The SSH transport protocol (RFC 4253), both roles: identification, key exchange and its renewal at any moment, packets
//! in and out. Strict key exchange (OpenSSH PROTOCOL section 1.10) is always offered.
//!
//! Bytes and the time come in, events and bytes go out; payloads are opened in the caller's buffer and copied once on the
//! way out. Deliberately absent: sockets, timers, user authentication, channels, compression.

mod error;
mod exchange;
mod held;
mod incoming;
mod settings;

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

pub use error::WireError;
pub use settings::{ClientSettings, HostCertificate, ServerSettings};

use self::exchange::{Confirming, Exchange};
use self::held::Held;
use self::settings::Side;
use super::Entropy;
use super::ident::{ClientKind, Ident, IdentReader};
use super::message::{DisconnectCode, ExtInfo, disconnect, number};
use super::negotiate::{Algorithms, KexInit, Role};
use super::packet::{Inbound, Outbound};
pub use super::packet::{LARGEST_FRAME, RekeyLimits};

/// One SSH connection's transport layer, either role.
pub struct Transport {
    side: Side,
    ident_reader: IdentReader,
    peer_ident: Option<Ident>,
    inbound: Inbound,
    outbound: Outbound,
    phase: Phase,
    is_strict: bool,
    /// Hash of the first exchange: the name of this connection in everything that is signed.
    session_id: Option<[u8; 32]>,
    is_established: bool,
    is_authenticated: bool,
    has_ended: bool,
    algorithms: Option<Algorithms>,
    host_key: Option<Vec<u8>>,
    client_takes_gcm: bool,
    peer_reads_ext_info: bool,
    peer_info: ExtInfo,
    held: Held,
    /// Messages without use for anybody, counted until the peer has logged in.
    idle_messages: u32,
    keys_since: Instant,
}

/// How far the key exchange is.
enum Phase {
    /// The peer's identification is still to come; as a client our KEXINIT is out already.
    Identifying(Option<KexInit>),
    /// The client's KEXINIT is to come first: which ciphers we offer depends on it.
    Attending,
    /// Our KEXINIT is out, the peer's is not in. While renewing, the peer's earlier messages still arrive.
    Proposed(KexInit),
    /// Both KEXINITs are known, the exchange itself is not over.
    Exchanging(Box<Exchange>),
    /// Our NEWKEYS is out, the peer's is not in.
    Confirming(Box<Confirming>),
    /// No exchange is going on.
    Settled,
}

/// What `receive` took out of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Received<'b> {
    /// Bytes at the start of the buffer that are done with, once the event has been looked at.
    pub consumed: usize,
    /// Where in the buffer the payload of an [`Event::Message`] is, for [`Transport::send_within`]; else empty.
    pub payload: Range<usize>,
    pub event: Event<'b>,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// The buffer holds no whole packet.
    NeedMore,
    /// Something of the transport's own was consumed.
    Progress,
    /// The first key exchange is over: there are keys in both directions.
    Established,
    /// The keys were renewed.
    Rekeyed,
    /// A message of the layers above: number 5, 6 or 50 to 127, from the number on.
    Message(&'b [u8]),
    /// The peer said goodbye; `text` is bounded and fit for a log. Nothing more will come.
    Disconnected { code: u32, text: String },
}

impl Transport {
    /// The accepting side. Our identification goes into `out` at once, our KEXINIT when the ciphers to offer are known:
    /// after the client's identification, or after its KEXINIT where it is software that sends that unasked.
    pub fn server(
        settings: Arc<ServerSettings>,
        _entropy: &mut dyn Entropy,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Self {
        Self::new(Side::Server(settings), IdentReader::of_client(), now, out)
    }

    /// The dialling side. Our identification and KEXINIT go into `out` at once.
    pub fn client(
        settings: Arc<ClientSettings>,
        entropy: &mut dyn Entropy,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Self {
        let mut transport = Self::new(Side::Client(settings), IdentReader::of_server(), now, out);
        // An unencrypted KEXINIT fails to seal only if the settings make it too large; it is tried again, and the error
        // told, when the server's identification is in.
        transport.phase = Phase::Identifying(transport.propose(entropy, out).ok());
        transport
    }

    fn new(side: Side, ident_reader: IdentReader, now: Instant, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(side.ident().as_bytes());
        out.extend_from_slice(b"\r\n");
        Self {
            side,
            ident_reader,
            peer_ident: None,
            inbound: Inbound::clear(),
            outbound: Outbound::clear(),
            phase: Phase::Identifying(None),
            is_strict: false,
            session_id: None,
            is_established: false,
            is_authenticated: false,
            has_ended: false,
            algorithms: None,
            host_key: None,
            client_takes_gcm: false,
            peer_reads_ext_info: false,
            peer_info: ExtInfo::default(),
            held: Held::default(),
            idle_messages: 0,
            keys_since: now,
        }
    }

    /// Takes the next thing out of `buffer`: the bytes received and not consumed yet, in order. Works in place, so bytes
    /// once shown must be shown again (moved or not), never read anew. A buffer of [`LARGEST_FRAME`] holds any packet.
    ///
    /// What has to be sent in answer is appended to `out`. On an error a fitting DISCONNECT is, too; the connection is
    /// over then, and every further call returns [`WireError::Ended`].
    pub fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8],
        entropy: &mut dyn Entropy,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Received<'b>, WireError> {
        if self.has_ended {
            return Err(WireError::Ended);
        }
        let received = self.take(buffer, entropy, now, out);
        if let Err(error) = &received {
            if let (WireError::Ident(fault), Role::Server) = (error, self.role()) {
                out.extend_from_slice(fault.answer());
            }
            let (code, text) = (error.disconnect_code(), error.to_string());
            self.disconnect(code, &text, entropy, out);
        }
        received
    }

    /// Appends `payload` to `out` as one packet. While this side's keys are being made or renewed, messages of the
    /// layers above are held, at most [`Transport::HELD_LIMIT`] bytes (256 KiB before the login), and go out in order after
    /// NEWKEYS.
    pub fn send(
        &mut self,
        payload: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        if self.has_ended {
            return Err(WireError::Ended);
        }
        if self.must_wait(payload) {
            let limit = match self.is_authenticated {
                true => held::LIMIT,
                false => held::EARLY_LIMIT,
            };
            return self.held.push(payload, limit);
        }
        self.seal(payload, entropy, out)?;
        self.renew_if_worn(entropy, out)
    }

    /// As [`Transport::send`], but makes the payload a packet where it lies in `buffer`, if there is room around it and
    /// nothing waits in `out`: usually so for a payload that another transport has just opened there. Then the place of
    /// the packet is returned: write it before what is in `out`. `None`: it went the way of `send`.
    pub fn send_within(
        &mut self,
        buffer: &mut [u8],
        payload: Range<usize>,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<Option<Range<usize>>, WireError> {
        let bytes = buffer.get(payload.clone()).unwrap_or_default();
        let is_free = out.is_empty() && !self.has_ended && !self.must_wait(bytes);
        if is_free
            && let Some(place) = self
                .outbound
                .seal_within(buffer, payload.clone(), entropy)?
        {
            self.renew_if_worn(entropy, out)?;
            return Ok(Some(place));
        }
        let bytes = buffer.get(payload).unwrap_or_default();
        self.send(bytes, entropy, out)?;
        Ok(None)
    }

    /// How many bytes may be held during a key exchange.
    pub const HELD_LIMIT: usize = held::LIMIT;

    /// Bytes waiting for the end of a key exchange: stop feeding this side while it is not zero.
    pub fn held_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// Whether keys are being made or renewed.
    pub fn is_rekeying(&self) -> bool {
        !matches!(self.phase, Phase::Settled)
    }

    /// Renews the keys if they are too old.
    pub fn tick(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        match self.next_deadline() {
            Some(deadline) if deadline <= now && self.may_renew() => {
                self.request_rekey(entropy, out)
            }
            _ => Ok(()),
        }
    }

    /// When `tick` has something to do; `None` while an exchange is going on.
    pub fn next_deadline(&self) -> Option<Instant> {
        let is_settled = matches!(self.phase, Phase::Settled) && !self.has_ended;
        is_settled
            .then(|| self.keys_since.checked_add(self.side.rekey().time))
            .flatten()
    }

    /// Starts renewing the keys, unless an exchange is going on already.
    pub fn request_rekey(
        &mut self,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        if self.has_ended || !matches!(self.phase, Phase::Settled) {
            return Ok(());
        }
        self.phase = Phase::Proposed(self.propose(entropy, out)?);
        Ok(())
    }

    /// Says goodbye, once; nothing can be sent or received afterwards.
    pub fn disconnect(
        &mut self,
        code: DisconnectCode,
        text: &str,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) {
        // A peer that has not even said it speaks SSH would not understand.
        if !self.has_ended && self.peer_ident.is_some() {
            // If this very packet cannot be sealed the peer goes without a reason.
            let _ = self.outbound.seal(&disconnect(code, text), entropy, out);
        }
        self.has_ended = true;
    }

    /// The peer has logged in (as a server), or has let us in (as a client): lifts the caps on packet size and on idle
    /// messages.
    pub fn authenticated(&mut self) {
        self.is_authenticated = true;
        self.inbound.lift_limit();
    }

    /// The exchange hash of the first key exchange, from [`Event::Established`] on.
    pub fn session_id(&self) -> Option<&[u8]> {
        self.session_id.as_ref().map(|id| &id[..])
    }

    pub fn peer_ident(&self) -> Option<&Ident> {
        self.peer_ident.as_ref()
    }

    /// What the latest key exchange agreed on; for the log.
    pub fn algorithms(&self) -> Option<&Algorithms> {
        self.algorithms.as_ref()
    }

    /// As a client: the server's key or certificate whose signature was verified. Whether it may be trusted is for the
    /// caller to say, before it sends anything.
    pub fn host_key(&self) -> Option<&[u8]> {
        self.host_key.as_deref()
    }

    /// `server-sig-algs` of the peer, if it sent one: known once the first message has come after
    /// [`Event::Established`] (RFC 8308 section 2.4), or never.
    pub fn peer_sig_algs(&self) -> Option<&[String]> {
        self.peer_info.sig_algs.as_deref()
    }

    /// Whether the peer answers PING (OpenSSH PROTOCOL section 1.8).
    pub fn peer_supports_ping(&self) -> bool {
        self.peer_info.ping
    }

    fn role(&self) -> Role {
        match self.side {
            Side::Server(_) => Role::Server,
            Side::Client(_) => Role::Client,
        }
    }

    fn client_kind(&self) -> ClientKind {
        self.peer_ident
            .as_ref()
            .map_or(ClientKind::Unknown, Ident::client_kind)
    }

    /// Whether RFC 4253 section 7.1 forbids to send this now: our KEXINIT is out (or about to be), our NEWKEYS is not.
    fn must_wait(&self, payload: &[u8]) -> bool {
        let is_running = !matches!(self.phase, Phase::Settled | Phase::Confirming(_));
        is_running
            && match payload.first() {
                Some(&number::DISCONNECT) => false,
                // Strict key exchange forbids even these in the first one.
                Some(&(number::IGNORE..=number::DEBUG)) => !self.is_established,
                Some(20..=49) => false,
                _ => true,
            }
    }

    /// OpenSSH's client breaks off a login when it meets a KEXINIT there; what passes until then is little.
    fn may_renew(&self) -> bool {
        self.is_authenticated
    }

    fn renew_if_worn(
        &mut self,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        match self.may_renew() && self.outbound.is_worn(self.side.rekey()) {
            true => self.request_rekey(entropy, out),
            false => Ok(()),
        }
    }

    fn seal(
        &mut self,
        payload: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        self.outbound.seal(payload, entropy, out)?;
        if self.outbound.has_wrapped() && !self.is_established {
            return Err(WireError::SequenceWrapped);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
