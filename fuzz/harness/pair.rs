//! Two ends of the transport over byte buffers, with seeded entropy and a clock that stands still.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use poolgate::ssh::wire::Entropy;
use poolgate::ssh::wire::cipher::Cipher;
use poolgate::ssh::wire::kex::Kex;
use poolgate::ssh::wire::keys::PrivateKey;
use poolgate::ssh::wire::transport::{
    ClientSettings, Event, LARGEST_FRAME, ServerSettings, Transport, WireError,
};

const HOST_KEY: &str = include_str!("../../tests/fixtures/ssh/transport/host_ed25519");
static HOST_KEYS: LazyLock<Arc<Vec<PrivateKey>>> =
    LazyLock::new(|| Arc::new(vec![PrivateKey::from_openssh(HOST_KEY).expect("a fixture")]));
static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Answers that one side's input may cause, a byte of it; a disconnect and a KEXINIT come on top.
const ANSWER_BYTES: usize = 64;
const ANSWER_ONCE: usize = 16 * 1024;

/// Reproducible bytes (xorshift).
pub struct Seeded(pub u64);

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

/// One end with its buffers.
pub struct End {
    pub transport: Transport,
    entropy: Seeded,
    inbox: Vec<u8>,
    pub out: Vec<u8>,
    pub is_established: bool,
    pub has_ended: bool,
    /// Messages of the layers above that came out of it.
    pub messages: usize,
}

impl End {
    pub fn server(cipher: Option<Cipher>) -> Self {
        let settings = ServerSettings {
            ciphers: cipher.map(|cipher| vec![cipher]),
            ..ServerSettings::new(HOST_KEYS.clone())
        };
        Self::new(0x5eed, |entropy, now, out| {
            Transport::server(Arc::new(settings), entropy, now, out)
        })
    }

    /// `kex` is the cheapest where keys are made once an input.
    pub fn client(cipher: Option<Cipher>, kex: Kex) -> Self {
        let settings = ClientSettings {
            ciphers: cipher.map_or(Cipher::ALL.to_vec(), |cipher| vec![cipher]),
            kex: vec![kex],
            ..ClientSettings::default()
        };
        Self::new(0xc11e, |entropy, now, out| {
            Transport::client(Arc::new(settings), entropy, now, out)
        })
    }

    fn new(seed: u64, begin: impl FnOnce(&mut Seeded, Instant, &mut Vec<u8>) -> Transport) -> Self {
        let (mut entropy, mut out) = (Seeded(seed), Vec::new());
        let transport = begin(&mut entropy, *NOW, &mut out);
        Self {
            transport,
            entropy,
            inbox: Vec::new(),
            out,
            is_established: false,
            has_ended: false,
            messages: 0,
        }
    }

    pub fn entropy(&mut self) -> &mut Seeded {
        &mut self.entropy
    }

    pub fn send(&mut self, payload: &[u8]) {
        // Refused at the end of the connection and for what no packet can hold.
        let _: Result<(), WireError> =
            self.transport
                .send(payload, &mut self.entropy, &mut self.out);
    }

    pub fn rekey(&mut self) {
        let _: Result<(), WireError> = self
            .transport
            .request_rekey(&mut self.entropy, &mut self.out);
    }

    /// Takes all of `bytes`, and checks on the way what must hold of any input.
    pub fn feed(&mut self, bytes: &[u8]) {
        let held = self.transport.held_bytes();
        let before = self.out.len();
        self.inbox.extend_from_slice(bytes);
        while !self.has_ended && self.step() {}
        let room = ANSWER_ONCE + held + ANSWER_BYTES * (bytes.len() + self.inbox.len());
        assert!(
            self.out.len() - before <= room,
            "{} bytes made it answer {}",
            bytes.len(),
            self.out.len() - before
        );
    }

    fn step(&mut self) -> bool {
        let length = self.inbox.len();
        let received =
            self.transport
                .receive(&mut self.inbox, &mut self.entropy, *NOW, &mut self.out);
        let received = match received {
            Ok(received) => received,
            Err(error) => {
                let _ = (error.to_string(), error.disconnect_code());
                self.has_ended = true;
                return false;
            }
        };
        let (consumed, place) = (received.consumed, received.payload.clone());
        assert!(consumed <= length && place.end <= consumed);
        match received.event {
            Event::NeedMore => {
                assert_eq!(consumed, 0);
                assert!(length < LARGEST_FRAME, "a packet that never ends");
                return false;
            }
            Event::Progress | Event::Rekeyed => {}
            Event::Established => {
                assert!(!self.is_established && self.transport.session_id().is_some());
                self.is_established = true;
            }
            Event::Message(payload) => {
                assert!(self.is_established, "a message before there were keys");
                assert!(matches!(payload[0], 5 | 6 | 50..=127));
                self.messages += 1;
            }
            Event::Disconnected { text, .. } => {
                assert!(!text.contains(char::is_control));
                self.has_ended = true;
            }
        }
        assert!(
            consumed > 0,
            "an event that took nothing would come for ever"
        );
        self.inbox.drain(..consumed);
        true
    }
}

/// Lets both talk until neither has anything to say.
pub fn settle(one: &mut End, other: &mut End) {
    while !one.out.is_empty() || !other.out.is_empty() {
        let out = std::mem::take(&mut one.out);
        other.feed(&out);
        let out = std::mem::take(&mut other.out);
        one.feed(&out);
    }
}
