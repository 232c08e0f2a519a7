//! Both roles against each other over byte buffers.

mod desk;
mod handshake;
mod hostile;
mod independent;
mod rekey;
mod replay;

use std::time::Duration;

use super::*;
use crate::ssh::wire::keys::PrivateKey;

/// Reproducible bytes (xorshift); good enough for tests only.
pub(super) struct Seeded(pub u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0 as u8;
        }
    }
}

/// What a peer saw, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Established,
    Rekeyed,
    Message(Vec<u8>),
    Disconnected(u32),
}

/// One end with its buffers.
pub(super) struct Peer {
    pub transport: Transport,
    pub entropy: Seeded,
    pub now: Instant,
    /// Received, not consumed.
    pub inbox: Vec<u8>,
    /// To be sent.
    pub out: Vec<u8>,
    pub seen: Vec<Seen>,
}

impl Peer {
    pub fn server(settings: ServerSettings) -> Self {
        let (mut entropy, now, mut out) = (Seeded(0x5eed), Instant::now(), Vec::new());
        let transport = Transport::server(Arc::new(settings), &mut entropy, now, &mut out);
        Self {
            transport,
            entropy,
            now,
            inbox: Vec::new(),
            out,
            seen: Vec::new(),
        }
    }

    pub fn client(settings: ClientSettings) -> Self {
        let (mut entropy, now, mut out) = (Seeded(0xc11e), Instant::now(), Vec::new());
        let transport = Transport::client(Arc::new(settings), &mut entropy, now, &mut out);
        Self {
            transport,
            entropy,
            now,
            inbox: Vec::new(),
            out,
            seen: Vec::new(),
        }
    }

    /// Takes one thing out of the inbox; false: it needs more.
    pub fn step(&mut self) -> Result<bool, WireError> {
        let received =
            self.transport
                .receive(&mut self.inbox, &mut self.entropy, self.now, &mut self.out)?;
        let seen = match received.event {
            Event::NeedMore => return Ok(false),
            Event::Progress => None,
            Event::Established => Some(Seen::Established),
            Event::Rekeyed => Some(Seen::Rekeyed),
            Event::Message(payload) => Some(Seen::Message(payload.to_vec())),
            Event::Disconnected { code, .. } => Some(Seen::Disconnected(code)),
        };
        let consumed = received.consumed;
        self.seen.extend(seen);
        self.inbox.drain(..consumed);
        Ok(true)
    }

    /// Takes everything that is in the inbox and in `bytes`.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.inbox.extend_from_slice(bytes);
        while !self
            .seen
            .iter()
            .any(|seen| matches!(seen, Seen::Disconnected(_)))
            && self.step()?
        {}
        Ok(())
    }

    pub fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        self.transport
            .send(payload, &mut self.entropy, &mut self.out)
    }

    /// Sends a packet whatever the rules say.
    pub fn force(&mut self, payload: &[u8]) {
        self.transport
            .outbound
            .seal(payload, &mut self.entropy, &mut self.out)
            .unwrap();
    }

    pub fn rekey(&mut self) {
        self.transport
            .request_rekey(&mut self.entropy, &mut self.out)
            .unwrap();
    }

    pub fn messages(&self) -> Vec<Vec<u8>> {
        let message = |seen: &Seen| match seen {
            Seen::Message(payload) => Some(payload.clone()),
            _ => None,
        };
        self.seen.iter().filter_map(message).collect()
    }

    pub fn count(&self, wanted: &Seen) -> usize {
        self.seen.iter().filter(|seen| *seen == wanted).count()
    }

    pub fn is_settled(&self) -> bool {
        matches!(self.transport.phase, Phase::Settled)
    }
}

/// Moves at most `most` bytes from one peer to the other.
pub(super) fn carry(from: &mut Peer, to: &mut Peer, most: usize) -> Result<(), WireError> {
    let count = most.min(from.out.len());
    let bytes: Vec<u8> = from.out.drain(..count).collect();
    to.feed(&bytes)
}

/// Lets both talk until neither has anything to say.
pub(super) fn settle(client: &mut Peer, server: &mut Peer, chunk: usize) -> Result<(), WireError> {
    while !client.out.is_empty() || !server.out.is_empty() {
        carry(client, server, chunk)?;
        carry(server, client, chunk)?;
    }
    Ok(())
}

pub(super) const ED25519: &str =
    include_str!("../../../../tests/fixtures/ssh/transport/host_ed25519");
const ECDSA: &str = include_str!("../../../../tests/fixtures/ssh/transport/host_ecdsa");
const RSA: &str = include_str!("../../../../tests/fixtures/ssh/transport/host_rsa");

pub(super) fn server_settings(pems: &[&str]) -> ServerSettings {
    let keys = pems
        .iter()
        .map(|pem| PrivateKey::from_openssh(pem).unwrap())
        .collect();
    ServerSettings::new(Arc::new(keys))
}

/// A server with an ed25519 key and a client, their keys made.
pub(super) fn established() -> (Peer, Peer) {
    let mut client = Peer::client(ClientSettings::default());
    let mut server = Peer::server(server_settings(&[ED25519]));
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(
        (&client.seen[..], &server.seen[..]),
        (&[Seen::Established][..], &[Seen::Established][..])
    );
    (client, server)
}

/// A message of the layers above with a body to tell it by.
pub(super) fn message(body: u32, length: usize) -> Vec<u8> {
    let mut payload = vec![94];
    payload.extend_from_slice(&body.to_be_bytes());
    payload.resize(5 + length, body as u8);
    payload
}
