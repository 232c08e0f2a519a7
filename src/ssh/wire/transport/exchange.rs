//! The key exchange within the transport (RFC 4253 sections 7 to 9): KEXINIT, the exchange, NEWKEYS, new keys.

use std::time::Instant;

use super::settings::Side;
use super::{Event, Phase, Transport, WireError};
use crate::ssh::wire::Entropy;
use crate::ssh::wire::cipher::{Cipher, KeyBlock, Opener, Sealer};
use crate::ssh::wire::ident::ClientKind;
use crate::ssh::wire::kex::{
    ClientKex, ExchangeInputs, SharedSecret, derive, exchange_hash, server_reply,
};
use crate::ssh::wire::keys::{Certificate, CertificateKind, KeyError, key_type, verify};
use crate::ssh::wire::message::{ExtInfo, Malformed, Reader, Writer, number};
use crate::ssh::wire::negotiate::{Algorithms, HostKeyAlgorithm, KexInit, Offer, Protection, Role};

/// Longest public value, host key, certificate or signature in an exchange, in bytes.
const LONGEST_FIELD: usize = 16 * 1024;

/// Between the KEXINITs and our NEWKEYS.
pub(super) struct Exchange {
    own: KexInit,
    peer: KexInit,
    algorithms: Algorithms,
    /// The peer guessed wrong: its next packet is void.
    skips_next: bool,
    /// As a client: our ephemeral keys and the public value sent.
    client: Option<(ClientKex, Vec<u8>)>,
}

/// Between our NEWKEYS and the peer's.
pub(super) struct Confirming {
    opener: Opener,
}

/// What an exchange yields.
struct Outcome {
    algorithms: Algorithms,
    secret: SharedSecret,
    hash: [u8; 32],
}

impl Transport {
    /// Whether to hear the client's KEXINIT before sending ours. GCM alone is offered to clients that would put something
    /// dearer first, but only if they have it at all; those known to prefer it send their KEXINIT without waiting for ours.
    pub(super) fn attends_client(&self) -> bool {
        match &self.side {
            Side::Server(settings) => {
                settings.ciphers.is_none() && self.client_kind() == ClientKind::PrefersGcm
            }
            Side::Client(_) => false,
        }
    }

    /// Sends our KEXINIT.
    pub(super) fn propose(
        &mut self,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<KexInit, WireError> {
        let first = !self.is_established;
        let own = match &self.side {
            Side::Server(settings) => {
                let host_keys = settings.host_key_algorithms();
                let ciphers = settings.ciphers_for(self.client_kind(), self.client_takes_gcm);
                let (kex, macs) = (&settings.kex, &settings.macs);
                let offer = Offer {
                    kex,
                    host_keys: &host_keys,
                    ciphers: &ciphers,
                    macs,
                };
                KexInit::build(&offer, Role::Server, first, entropy)
            }
            Side::Client(settings) => {
                let offer = Offer {
                    kex: &settings.kex,
                    host_keys: &settings.host_key_algorithms,
                    ciphers: &settings.ciphers,
                    macs: &settings.macs,
                };
                KexInit::build(&offer, Role::Client, first, entropy)
            }
        };
        self.seal(own.payload(), entropy, out)?;
        Ok(own)
    }

    pub(super) fn on_kexinit(
        &mut self,
        payload: &[u8],
        sequence: u32,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let peer = KexInit::parse(payload)?;
        self.client_takes_gcm = [Cipher::Aes128Gcm, Cipher::Aes256Gcm]
            .into_iter()
            .any(|cipher| peer.offers(cipher));
        let own = match std::mem::replace(&mut self.phase, Phase::Settled) {
            Phase::Proposed(own) => own,
            Phase::Settled | Phase::Attending => self.propose(entropy, out)?,
            _ => {
                let at = "in the middle of a key exchange";
                return Err(WireError::Unexpected {
                    number: number::KEXINIT,
                    at,
                });
            }
        };
        let (role, peer_role) = (self.role(), self.role().peer());
        if !self.is_established {
            self.is_strict = own.wants_strict(role) && peer.wants_strict(peer_role);
            self.peer_reads_ext_info = peer.wants_ext_info(peer_role);
            if self.is_strict && sequence != 0 {
                let at = "after another packet, under strict key exchange";
                return Err(WireError::Unexpected {
                    number: number::KEXINIT,
                    at,
                });
            }
        }
        let algorithms = match role {
            Role::Client => Algorithms::choose(&own, &peer)?,
            Role::Server => Algorithms::choose(&peer, &own)?,
        };
        let skips_next = peer.guessed_wrong(&own);
        let client = match role {
            Role::Server => None,
            Role::Client => {
                let (kex, public) = ClientKex::start(algorithms.kex, entropy)?;
                let init = Writer::new(number::KEX_INIT).string(&public).finish();
                self.seal(&init, entropy, out)?;
                Some((kex, public))
            }
        };
        let exchange = Exchange {
            own,
            peer,
            algorithms,
            skips_next,
            client,
        };
        self.phase = Phase::Exchanging(Box::new(exchange));
        Ok(())
    }

    /// Whether the packet at hand is a wrong guess, to be ignored; true at most once an exchange.
    pub(super) fn skips_guess(&mut self) -> bool {
        match &mut self.phase {
            Phase::Exchanging(exchange) => std::mem::take(&mut exchange.skips_next),
            _ => false,
        }
    }

    /// As a server: the client's public value.
    pub(super) fn on_kex_init(
        &mut self,
        payload: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let exchange = self.take_exchange(number::KEX_INIT)?;
        let mut reader = Reader::of(payload, number::KEX_INIT)?;
        let client_public = reader.string(LONGEST_FIELD)?;
        reader.finish()?;
        let algorithms = exchange.algorithms;
        let (server_public, secret) = server_reply(algorithms.kex, client_public, entropy)?;
        let Side::Server(settings) = self.side.clone() else {
            return Err(WireError::Unexpected {
                number: number::KEX_INIT,
                at: "to a client",
            });
        };
        let signs = algorithms.host_key.signature;
        let (key, shown) = settings
            .host_key_for(algorithms.host_key)
            .ok_or(WireError::NoHostKey(algorithms.host_key.name()))?;
        let inputs = ExchangeInputs {
            client_ident: self
                .peer_ident
                .as_ref()
                .map_or(&[], |ident| ident.as_bytes()),
            server_ident: settings.ident.as_bytes(),
            client_kexinit: exchange.peer.payload(),
            server_kexinit: exchange.own.payload(),
            host_key: shown,
            client_public,
            server_public: &server_public,
        };
        let hash = exchange_hash(algorithms.kex, &inputs, &secret);
        let reply = Writer::new(number::KEX_REPLY)
            .string(shown)
            .string(&server_public)
            .string(key.sign(signs, &hash)?)
            .finish();
        self.seal(&reply, entropy, out)?;
        self.switch_outbound(
            &Outcome {
                algorithms,
                secret,
                hash,
            },
            entropy,
            out,
        )
    }

    /// As a client: the server's public value, host key and signature.
    pub(super) fn on_kex_reply(
        &mut self,
        payload: &[u8],
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let exchange = self.take_exchange(number::KEX_REPLY)?;
        let mut reader = Reader::of(payload, number::KEX_REPLY)?;
        let host_key = reader.string(LONGEST_FIELD)?;
        let server_public = reader.string(LONGEST_FIELD)?;
        let signature = reader.string(LONGEST_FIELD)?;
        reader.finish()?;
        let Some((client, client_public)) = exchange.client else {
            return Err(WireError::Unexpected {
                number: number::KEX_REPLY,
                at: "to a server",
            });
        };
        let algorithms = exchange.algorithms;
        let secret = client.finish(server_public)?;
        let inputs = ExchangeInputs {
            client_ident: self.side.ident().as_bytes(),
            server_ident: self
                .peer_ident
                .as_ref()
                .map_or(&[], |ident| ident.as_bytes()),
            client_kexinit: exchange.own.payload(),
            server_kexinit: exchange.peer.payload(),
            host_key,
            client_public: &client_public,
            server_public,
        };
        let hash = exchange_hash(algorithms.kex, &inputs, &secret);
        verify_host_key(algorithms.host_key, host_key, &hash, signature)?;
        match &self.host_key {
            Some(known) if known != host_key => return Err(WireError::HostKeyChanged),
            Some(_) => {}
            None => self.host_key = Some(host_key.to_vec()),
        }
        self.switch_outbound(
            &Outcome {
                algorithms,
                secret,
                hash,
            },
            entropy,
            out,
        )
    }

    fn take_exchange(&mut self, number: u8) -> Result<Exchange, WireError> {
        match std::mem::replace(&mut self.phase, Phase::Settled) {
            Phase::Exchanging(exchange) => Ok(*exchange),
            _ => Err(WireError::Unexpected {
                number,
                at: "without an exchange to belong to",
            }),
        }
    }

    /// Sends NEWKEYS, then what must or may follow it at once.
    fn switch_outbound(
        &mut self,
        outcome: &Outcome,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let session_id = *self.session_id.get_or_insert(outcome.hash);
        let keys = |sender| outcome.direction(sender, &session_id);
        self.seal(&[number::NEWKEYS], entropy, out)?;
        let (own, sealing) = keys(self.role());
        let sealer = Sealer::new(own.cipher, own.mac, &sealing)?;
        self.outbound.renew(sealer, self.is_strict);
        let (peer, opening) = keys(self.role().peer());
        let opener = Opener::new(peer.cipher, peer.mac, &opening)?;
        self.phase = Phase::Confirming(Box::new(Confirming { opener }));
        self.algorithms = Some(outcome.algorithms);
        // RFC 8308 section 2.4: the very next packet after the server's first NEWKEYS.
        if !self.is_established && self.role() == Role::Server && self.peer_reads_ext_info {
            self.seal(&ExtInfo::of_server(), entropy, out)?;
        }
        let mut held = std::mem::take(&mut self.held);
        held.release(|payload| self.seal(payload, entropy, out))
    }

    pub(super) fn on_newkeys(
        &mut self,
        payload: &[u8],
        now: Instant,
        entropy: &mut dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<Event<'static>, WireError> {
        let Phase::Confirming(confirming) = std::mem::replace(&mut self.phase, Phase::Settled)
        else {
            let at = "without an exchange to belong to";
            return Err(WireError::Unexpected {
                number: number::NEWKEYS,
                at,
            });
        };
        if payload.len() != 1 {
            return Err(Malformed::Trailing.into());
        }
        self.inbound.renew(confirming.opener, self.is_strict);
        self.keys_since = now;
        let first = !std::mem::replace(&mut self.is_established, true);
        // A server we chose to dial: its banner may be as long as it likes.
        if self.role() == Role::Client {
            self.inbound.lift_limit();
        }
        self.renew_if_worn(entropy, out)?;
        Ok(if first {
            Event::Established
        } else {
            Event::Rekeyed
        })
    }
}

impl Outcome {
    /// What protects the packets that `sender` sends (RFC 4253 section 7.2).
    fn direction(&self, sender: Role, session_id: &[u8]) -> (Protection, KeyBlock) {
        let (protection, [iv, key, mac]) = match sender {
            Role::Client => (self.algorithms.client_to_server, *b"ACE"),
            Role::Server => (self.algorithms.server_to_client, *b"BDF"),
        };
        let make = |letter, length| {
            derive(
                self.algorithms.kex,
                &self.secret,
                &self.hash,
                session_id,
                letter,
                length,
            )
        };
        let keys = KeyBlock {
            iv: make(iv, protection.cipher.iv_len()),
            key: make(key, protection.cipher.key_len()),
            mac_key: make(mac, protection.mac.map_or(0, |mac| mac.key_len())),
        };
        (protection, keys)
    }
}

/// Whether `signature` over the exchange hash is by the key presented, plain or certified as was agreed.
fn verify_host_key(
    agreed: HostKeyAlgorithm,
    blob: &[u8],
    hash: &[u8],
    signature: &[u8],
) -> Result<(), KeyError> {
    if !agreed.certificate {
        return verify(blob, agreed.signature, hash, signature);
    }
    if key_type(blob)? != agreed.signature.certificate_key_type() {
        return Err(KeyError::Algorithm(agreed.name().to_owned()));
    }
    let certificate = Certificate::parse(blob)?;
    if certificate.kind != CertificateKind::Host {
        return Err(KeyError::Malformed("host certificate: it is a user's"));
    }
    certificate.verify_signature()?;
    verify(&certificate.public_blob, agreed.signature, hash, signature)
}

#[cfg(test)]
mod tests {
    use std::fs::read_to_string;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::ssh::wire::keys::{PrivateKey, SigAlg};

    const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ssh/transport");

    #[test]
    fn a_host_certificate_is_verified_by_the_key_within() {
        let line = read_to_string(format!("{FIXTURES}/host_ed25519-cert.pub")).unwrap();
        let blob = STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap();
        let pem = read_to_string(format!("{FIXTURES}/host_ed25519")).unwrap();
        let key = PrivateKey::from_openssh(&pem).unwrap();
        let signature = key.sign(SigAlg::Ed25519, b"hash").unwrap();
        let agreed = |certificate| HostKeyAlgorithm {
            signature: SigAlg::Ed25519,
            certificate,
        };
        assert_eq!(
            verify_host_key(agreed(true), &blob, b"hash", &signature),
            Ok(())
        );
        assert!(verify_host_key(agreed(true), &blob, b"other", &signature).is_err());
        // What was agreed on must be what comes, in both directions.
        assert!(verify_host_key(agreed(false), &blob, b"hash", &signature).is_err());
        assert!(verify_host_key(agreed(true), key.public_blob(), b"hash", &signature).is_err());
        assert_eq!(
            verify_host_key(agreed(false), key.public_blob(), b"hash", &signature),
            Ok(())
        );
        let mut forged = blob;
        let at = forged.len() - 1;
        forged[at] ^= 1;
        assert!(verify_host_key(agreed(true), &forged, b"hash", &signature).is_err());
    }
}
