//! An ssh client that obeys nobody: any packet at any moment, under good keys, bad keys or none.
//!
//! It does the key exchange by hand from the engine's parts, because an engine that keeps the rules cannot break them. One
//! algorithm of each kind is all it speaks.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use poolgate::ssh::wire::Entropy;
use poolgate::ssh::wire::cipher::{Cipher, KeyBlock, Opener, Sealer};
use poolgate::ssh::wire::kex::{ClientKex, ExchangeInputs, Kex, derive, exchange_hash};
use poolgate::ssh::wire::keys::{PrivateKey, SigAlg};
use poolgate::ssh::wire::message::{self, Reader, Writer, number};
use poolgate::ssh::wire::packet::{Inbound, Outbound};
use poolgate::ssh::wire::userauth;

/// Whatever is waited for takes milliseconds; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
const IDENT: &str = "SSH-2.0-hostile";
const KEX: Kex = Kex::Curve25519;
const CIPHER: Cipher = Cipher::Aes128Gcm;
pub const STRICT: &str = "kex-strict-c-v00@openssh.com";

/// Bytes for padding and ephemeral keys, other ones in each connection.
struct Seeded(u64);

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

pub struct Hostile {
    stream: TcpStream,
    inbound: Inbound,
    outbound: Outbound,
    entropy: Seeded,
    /// Received, not taken yet.
    buffer: Vec<u8>,
    server_ident: Vec<u8>,
    pub session_id: Option<[u8; 32]>,
    is_strict: bool,
}

/// A key exchange of ours under way.
pub struct Exchange {
    own: Vec<u8>,
    server: Vec<u8>,
    kex: ClientKex,
    public: Vec<u8>,
}

/// The keys that an exchange gave, each to be put to use at its NEWKEYS.
pub struct NewKeys {
    pub sealer: Sealer,
    pub opener: Opener,
}

impl Hostile {
    /// Connected; nothing is said yet.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let seed = u64::from(stream.local_addr().unwrap().port()) | 0x5eed_0000;
        Self {
            stream,
            inbound: Inbound::clear(),
            outbound: Outbound::clear(),
            entropy: Seeded(seed),
            buffer: Vec::new(),
            server_ident: Vec::new(),
            session_id: None,
            is_strict: false,
        }
    }

    /// Both identification lines are through.
    pub fn greeted(port: u16) -> Self {
        let mut client = Self::connect(port);
        client.raw(format!("{IDENT}\r\n").as_bytes());
        client.read_ident();
        client
    }

    /// There are keys, and user authentication may begin.
    pub fn keyed(port: u16) -> Self {
        let mut client = Self::greeted(port);
        client.exchange(true);
        client
    }

    /// The gate waits for a USERAUTH_REQUEST.
    pub fn at_login(port: u16) -> Self {
        let mut client = Self::keyed(port);
        client.send(&message::service_request(message::SERVICE_USERAUTH));
        assert_eq!(
            client.next_of(number::SERVICE_ACCEPT)[0],
            number::SERVICE_ACCEPT
        );
        client
    }

    /// Logged in by this key, which the person is known by.
    pub fn logged_in(port: u16, user: &str, key: &PrivateKey) -> Self {
        let mut client = Self::at_login(port);
        client.send(&client.signed(user, key));
        assert_eq!(client.verdict(), Some(number::USERAUTH_SUCCESS));
        client
    }

    fn read_ident(&mut self) {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                self.server_ident = line.trim_ascii_end().to_vec();
                return;
            }
            assert!(self.read_more(), "no identification came");
        }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        // The gate may have hung up; what it said before counts.
        drop(self.stream.write_all(bytes));
    }

    /// One packet under the keys in use.
    pub fn send(&mut self, payload: &[u8]) {
        let packet = self.packet(payload);
        self.raw(&packet);
    }

    pub fn packet(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        self.outbound
            .seal(payload, &mut self.entropy, &mut packet)
            .unwrap();
        packet
    }

    /// What is said of us as a client: our algorithms, one of each.
    pub fn kexinit(&mut self, strict: bool) -> Vec<u8> {
        let mut cookie = [0; 16];
        self.entropy.fill(&mut cookie);
        let mut kex = vec![KEX.name(), "ext-info-c"];
        kex.extend(strict.then_some(STRICT));
        let names = [
            kex.join(","),
            "ssh-ed25519".to_owned(),
            CIPHER.name().to_owned(),
            CIPHER.name().to_owned(),
            "hmac-sha2-256".to_owned(),
            "hmac-sha2-256".to_owned(),
            "none".to_owned(),
            "none".to_owned(),
            String::new(),
            String::new(),
        ];
        let message = Writer::new(number::KEXINIT).raw(&cookie);
        let message = names
            .iter()
            .fold(message, |message, list| message.string(list));
        message.boolean(false).u32(0).finish()
    }

    /// A whole key exchange, the first or a later one.
    pub fn exchange(&mut self, strict: bool) {
        let exchange = self.begin_exchange(strict);
        let keys = self.finish_exchange(exchange);
        self.take_up(keys);
    }

    /// Another exchange; false: the gate has had enough.
    pub fn renew_if_allowed(&mut self) -> bool {
        let own = self.kexinit(false);
        self.send(&own);
        let server = loop {
            match self.next() {
                Some(payload) if payload[0] == number::KEXINIT => break payload,
                Some(payload) if payload[0] != number::DISCONNECT => {}
                _ => return false,
            }
        };
        let exchange = self.begin_with(own, server);
        let keys = self.finish_exchange(exchange);
        self.take_up(keys);
        true
    }

    /// KEXINITs and our public value.
    pub fn begin_exchange(&mut self, strict: bool) -> Exchange {
        let own = self.kexinit(strict);
        self.send(&own);
        let server = self.next_of(number::KEXINIT);
        if self.session_id.is_none() {
            self.is_strict = strict;
        }
        self.begin_with(own, server)
    }

    fn begin_with(&mut self, own: Vec<u8>, server: Vec<u8>) -> Exchange {
        let (kex, public) = ClientKex::start(KEX, &mut self.entropy).unwrap();
        self.send(&Writer::new(number::KEX_INIT).string(&public).finish());
        Exchange {
            own,
            server,
            kex,
            public,
        }
    }

    /// The server's answer makes the keys.
    pub fn finish_exchange(&mut self, exchange: Exchange) -> NewKeys {
        let reply = self.next_of(number::KEX_REPLY);
        self.finish_with(exchange, &reply)
    }

    fn finish_with(&mut self, exchange: Exchange, reply: &[u8]) -> NewKeys {
        let mut reader = Reader::of(reply, number::KEX_REPLY).unwrap();
        let (host_key, public) = (reader.string(9999).unwrap(), reader.string(9999).unwrap());
        let secret = exchange.kex.finish(public).unwrap();
        let inputs = ExchangeInputs {
            client_ident: IDENT.as_bytes(),
            server_ident: &self.server_ident,
            client_kexinit: &exchange.own,
            server_kexinit: &exchange.server,
            host_key,
            client_public: &exchange.public,
            server_public: public,
        };
        let hash = exchange_hash(KEX, &inputs, &secret);
        let session = *self.session_id.get_or_insert(hash);
        let keys = |iv, key| KeyBlock {
            iv: derive(KEX, &secret, &hash, &session, iv, CIPHER.iv_len()),
            key: derive(KEX, &secret, &hash, &session, key, CIPHER.key_len()),
            mac_key: Vec::new().into(),
        };
        NewKeys {
            sealer: Sealer::new(CIPHER, None, &keys(b'A', b'C')).unwrap(),
            opener: Opener::new(CIPHER, None, &keys(b'B', b'D')).unwrap(),
        }
    }

    /// NEWKEYS, both ways.
    fn take_up(&mut self, keys: NewKeys) {
        self.send(&[number::NEWKEYS]);
        self.use_sealer(keys.sealer);
        self.next_of(number::NEWKEYS);
        self.use_opener(keys.opener);
    }

    pub fn use_sealer(&mut self, sealer: Sealer) {
        self.outbound.renew(sealer, self.is_strict);
    }

    pub fn use_opener(&mut self, opener: Opener) {
        self.inbound.renew(opener, self.is_strict);
        self.inbound.lift_limit();
    }

    /// Whatever comes next; `None`: the gate has hung up. Panics when nothing comes.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.inbound.next(&mut self.buffer).unwrap() {
                let payload = self.buffer[frame.payload].to_vec();
                self.buffer.drain(..frame.consumed);
                return Some(payload);
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// The next message with this number; others are let go by, but never a goodbye.
    pub fn next_of(&mut self, wanted: u8) -> Vec<u8> {
        loop {
            let payload = self
                .next()
                .unwrap_or_else(|| panic!("hung up before message {wanted}"));
            if payload[0] == wanted {
                return payload;
            }
            assert_ne!(payload[0], number::DISCONNECT, "{}", farewell(&payload));
        }
    }

    /// The answer to a login request by its number; `None`: the gate broke the connection off.
    pub fn verdict(&mut self) -> Option<u8> {
        loop {
            let payload = self.next()?;
            match payload[0] {
                number::DISCONNECT => return None,
                50..=79 if payload[0] != number::USERAUTH_BANNER => return Some(payload[0]),
                _ => {}
            }
        }
    }

    /// What the person is shown until they are let in.
    pub fn text_until_success(&mut self) -> String {
        let mut text = String::new();
        loop {
            let payload = self.next().expect("a verdict");
            match payload[0] {
                number::USERAUTH_SUCCESS => return text,
                number::USERAUTH_BANNER => text += &String::from_utf8_lossy(&payload[5..]),
                number::DISCONNECT => panic!("{text}{}", farewell(&payload)),
                _ => {}
            }
        }
    }

    /// Reads to the end of the connection; the last words, if there were any.
    pub fn end(&mut self) -> Option<String> {
        let mut said = None;
        while let Some(payload) = self.next() {
            if payload[0] == number::DISCONNECT {
                said = Some(farewell(&payload));
            }
        }
        said
    }

    /// Waits for the end of the connection, whatever comes before it.
    pub fn end_of_anything(&mut self) {
        while self.read_more() {
            self.buffer.clear();
        }
    }

    /// Says that nothing more will come.
    pub fn close_writing(&mut self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// An exchange that the server began with this KEXINIT; how many bytes of channels' data came before its NEWKEYS.
    pub fn answer_exchange(&mut self, server: Vec<u8>) -> usize {
        let own = self.kexinit(true);
        self.send(&own);
        let exchange = self.begin_with(own, server);
        let mut data = 0;
        let reply = loop {
            let payload = self.next().expect("an answer");
            match payload[0] {
                number::KEX_REPLY => break payload,
                94 => data += payload.len() - 9,
                _ => {}
            }
        };
        let keys = self.finish_with(exchange, &reply);
        self.take_up(keys);
        data
    }

    fn read_more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let began = Instant::now();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came for {:?}: {error}", began.elapsed()),
        }
    }

    /// A key named without a signature.
    pub fn offer(user: &str, key: &PrivateKey) -> Vec<u8> {
        Self::request(user, "publickey")
            .boolean(false)
            .string("ssh-ed25519")
            .string(key.public_blob())
            .finish()
    }

    /// A proper proof on this connection.
    pub fn signed(&self, user: &str, key: &PrivateKey) -> Vec<u8> {
        Self::signed_for(&self.session_id.unwrap(), user, key)
    }

    /// A proof on any connection.
    pub fn signed_for(session_id: &[u8], user: &str, key: &PrivateKey) -> Vec<u8> {
        userauth::publickey_request(session_id, user, key, None, SigAlg::Ed25519).unwrap()
    }

    /// The beginning of a USERAUTH_REQUEST.
    pub fn request(user: &str, method: &str) -> Writer {
        Writer::new(number::USERAUTH_REQUEST)
            .string(user)
            .string(message::SERVICE_CONNECTION)
            .string(method)
    }
}

/// The text of a DISCONNECT.
fn farewell(payload: &[u8]) -> String {
    message::Disconnect::parse(payload).unwrap().text
}

pub fn private_key(path: &Path) -> PrivateKey {
    PrivateKey::from_openssh(&std::fs::read_to_string(path).unwrap()).unwrap()
}
