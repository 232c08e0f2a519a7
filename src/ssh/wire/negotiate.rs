//! Algorithm negotiation (RFC 4253 section 7.1): building and reading KEXINIT, and choosing.
//!
//! The pseudo algorithms of RFC 8308 (`ext-info-*`) and of strict key exchange (`kex-strict-*-v00@openssh.com`) are said
//! and heeded in a connection's first KEXINIT only. Compression is always `none`.
//! Deliberately absent: the exchange itself (`kex`) and who may send what when (`transport`).

use std::fmt;

use super::Entropy;
use super::cipher::{Cipher, Mac};
use super::kex::Kex;
use super::keys::SigAlg;
use super::message::{Malformed, Reader, Writer, number, printable};

const MOST_NAMES_BYTES: usize = 64 * 1024;
const LISTS: usize = 10;
/// Where the cipher lists stand among them.
const CIPHERS_TO_SERVER: usize = 2;
const CIPHERS_TO_CLIENT: usize = 3;

/// Which side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

impl Role {
    pub fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    fn ext_info(self) -> &'static str {
        match self {
            Self::Client => "ext-info-c",
            Self::Server => "ext-info-s",
        }
    }

    fn strict(self) -> &'static str {
        match self {
            Self::Client => "kex-strict-c-v00@openssh.com",
            Self::Server => "kex-strict-s-v00@openssh.com",
        }
    }
}

/// What a host key signs with, and whether a certificate carries the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostKeyAlgorithm {
    pub signature: SigAlg,
    pub certificate: bool,
}

impl HostKeyAlgorithm {
    /// The plain key algorithms, best first.
    pub const PLAIN: [Self; 6] = Self::each(false);
    /// The same for certified host keys.
    pub const CERTIFIED: [Self; 6] = Self::each(true);

    const fn each(certificate: bool) -> [Self; 6] {
        [
            Self {
                signature: SigAlg::Ed25519,
                certificate,
            },
            Self {
                signature: SigAlg::EcdsaP256,
                certificate,
            },
            Self {
                signature: SigAlg::EcdsaP384,
                certificate,
            },
            Self {
                signature: SigAlg::EcdsaP521,
                certificate,
            },
            Self {
                signature: SigAlg::RsaSha512,
                certificate,
            },
            Self {
                signature: SigAlg::RsaSha256,
                certificate,
            },
        ]
    }

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self.certificate {
            true => self.signature.certificate_name(),
            false => self.signature.name(),
        }
    }

    /// The algorithm of that name, exactly as spelt on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::CERTIFIED
            .into_iter()
            .chain(Self::PLAIN)
            .find(|known| known.name() == name)
    }
}

/// What one side is willing to use, each list in order of preference.
#[derive(Clone, Debug)]
pub struct Offer<'a> {
    pub kex: &'a [Kex],
    pub host_keys: &'a [HostKeyAlgorithm],
    pub ciphers: &'a [Cipher],
    pub macs: &'a [Mac],
}

/// A KEXINIT: the payload as the exchange hash takes it, and its lists.
#[derive(Clone, Debug)]
pub struct KexInit {
    payload: Vec<u8>,
    lists: [String; LISTS],
    first_packet_follows: bool,
}

/// Cipher and MAC of one direction; an AEAD cipher has no MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    pub cipher: Cipher,
    pub mac: Option<Mac>,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithms {
    pub kex: Kex,
    pub host_key: HostKeyAlgorithm,
    pub client_to_server: Protection,
    pub server_to_client: Protection,
}

/// Why nothing was agreed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    #[error("the peer's KEXINIT cannot be read: {0}")]
    Malformed(#[from] Malformed),
    #[error("no common {what}: the client offers {client:?}, the server {server:?}")]
    NothingCommon {
        what: &'static str,
        client: String,
        server: String,
    },
}

impl KexInit {
    /// Our own KEXINIT. `first`: this is the connection's first, which carries the pseudo algorithms.
    pub fn build(offer: &Offer<'_>, role: Role, first: bool, entropy: &mut dyn Entropy) -> Self {
        let mut cookie = [0; 16];
        entropy.fill(&mut cookie);
        let mut kex: Vec<&str> = offer.kex.iter().map(|kex| kex.name()).collect();
        if first {
            kex.extend([role.ext_info(), role.strict()]);
        }
        let host_keys: Vec<&str> = offer
            .host_keys
            .iter()
            .map(|algorithm| algorithm.name())
            .collect();
        let ciphers: Vec<&str> = offer.ciphers.iter().map(|cipher| cipher.name()).collect();
        let macs: Vec<&str> = offer.macs.iter().map(|mac| mac.name()).collect();
        let both = |names: &[&str]| [names.join(","), names.join(",")];
        let [c2s, s2c] = both(&ciphers);
        let [mac_c2s, mac_s2c] = both(&macs);
        let [zip_c2s, zip_s2c] = both(&["none"]);
        let lists = [
            kex.join(","),
            host_keys.join(","),
            c2s,
            s2c,
            mac_c2s,
            mac_s2c,
            zip_c2s,
            zip_s2c,
            String::new(),
            String::new(),
        ];
        let message = lists.iter().fold(
            Writer::new(number::KEXINIT).raw(&cookie),
            |message, list| message.string(list),
        );
        let payload = message.boolean(false).u32(0).finish();
        Self {
            payload,
            lists,
            first_packet_follows: false,
        }
    }

    /// The peer's KEXINIT.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::of(payload, number::KEXINIT)?;
        let _cookie = reader.bytes(16)?;
        let mut left = MOST_NAMES_BYTES;
        let mut lists = [const { String::new() }; LISTS];
        for list in &mut lists {
            let names = reader.name_list(left)?;
            left -= names.len();
            *list = names.to_owned();
        }
        let first_packet_follows = reader.boolean()?;
        let _reserved = reader.u32()?;
        reader.finish()?;
        Ok(Self {
            payload: payload.to_vec(),
            lists,
            first_packet_follows,
        })
    }

    /// The whole message, as sent.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Whether its sender, in that role, asked for strict key exchange.
    pub fn wants_strict(&self, sender: Role) -> bool {
        self.has_kex(sender.strict())
    }

    /// Whether its sender, in that role, reads EXT_INFO.
    pub fn wants_ext_info(&self, sender: Role) -> bool {
        self.has_kex(sender.ext_info())
    }

    /// Whether its sender takes this cipher in both directions.
    pub fn offers(&self, cipher: Cipher) -> bool {
        let lists = [CIPHERS_TO_SERVER, CIPHERS_TO_CLIENT];
        lists
            .into_iter()
            .all(|list| self.list(list).split(',').any(|name| name == cipher.name()))
    }

    /// Whether the sender's next packet is a guess that `other` proves wrong, so that it must be ignored
    /// (RFC 4253 section 7).
    pub fn guessed_wrong(&self, other: &Self) -> bool {
        let first = |init: &Self, list: usize| {
            init.list(list)
                .split(',')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        self.first_packet_follows && (0..2).any(|list| first(self, list) != first(other, list))
    }

    /// Says that a guessed packet follows, which nothing but tests does.
    #[cfg(test)]
    pub(super) fn announce_guess(&mut self) {
        self.first_packet_follows = true;
        let flag = self.payload.len() - 5;
        self.payload[flag] = 1;
    }

    /// Becomes the KEXINIT of a peer from before strict key exchange.
    #[cfg(test)]
    pub(super) fn forget_strict(&mut self) {
        let (start, methods) = (17, self.lists[0].len());
        let names = self
            .list(0)
            .split(',')
            .filter(|name| !name.starts_with("kex-strict"));
        let names = names.collect::<Vec<_>>().join(",");
        let list = Writer::bare().string(&names).finish();
        self.payload.splice(start..start + 4 + methods, list);
        self.lists[0] = names;
    }

    fn list(&self, index: usize) -> &str {
        self.lists
            .get(index)
            .map(String::as_str)
            .unwrap_or_default()
    }

    fn has_kex(&self, wanted: &str) -> bool {
        self.list(0).split(',').any(|name| name == wanted)
    }
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (up, down) = (self.client_to_server, self.server_to_client);
        write!(f, "{} {} {up}", self.kex.name(), self.host_key.name())?;
        if up == down {
            Ok(())
        } else {
            write!(f, " / {down}")
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cipher.name())?;
        self.mac.map_or(Ok(()), |mac| write!(f, "+{}", mac.name()))
    }
}

impl Algorithms {
    /// In each list the client's first name that the server has too.
    pub fn choose(client: &KexInit, server: &KexInit) -> Result<Self, NegotiateError> {
        let kex = common(client, server, 0, "key exchange method", Kex::from_name)?;
        let host_key = common(
            client,
            server,
            1,
            "host key algorithm",
            HostKeyAlgorithm::from_name,
        )?;
        let protection = |cipher_list, mac_list| -> Result<Protection, NegotiateError> {
            let cipher = common(client, server, cipher_list, "cipher", Cipher::from_name)?;
            let mac = match cipher.is_aead() {
                true => None,
                false => Some(common(client, server, mac_list, "MAC", Mac::from_name)?),
            };
            Ok(Protection { cipher, mac })
        };
        let chosen = Self {
            kex,
            host_key,
            client_to_server: protection(2, 4)?,
            server_to_client: protection(3, 5)?,
        };
        for list in [6, 7] {
            common(client, server, list, "compression", |name| {
                (name == "none").then_some(())
            })?;
        }
        Ok(chosen)
    }
}

fn common<T>(
    client: &KexInit,
    server: &KexInit,
    list: usize,
    what: &'static str,
    known: impl Fn(&str) -> Option<T>,
) -> Result<T, NegotiateError> {
    let (client, server) = (client.list(list), server.list(list));
    client
        .split(',')
        .filter(|name| server.split(',').any(|other| other == *name))
        .find_map(known)
        .ok_or_else(|| NegotiateError::NothingCommon {
            what,
            client: printable(client.as_bytes()),
            server: printable(server.as_bytes()),
        })
}

#[cfg(test)]
mod tests;
