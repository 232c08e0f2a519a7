//! What a transport is told before it begins, one type a role.

use std::sync::Arc;

use crate::ssh::wire::cipher::{Cipher, Mac};
use crate::ssh::wire::ident::{ClientKind, OWN};
use crate::ssh::wire::kex::Kex;
use crate::ssh::wire::keys::PrivateKey;
use crate::ssh::wire::negotiate::HostKeyAlgorithm;
use crate::ssh::wire::packet::RekeyLimits;

/// A certificate of a host key, to be shown in its place.
#[derive(Clone, Debug)]
pub struct HostCertificate {
    pub blob: Vec<u8>,
    /// The plain key within.
    pub public_blob: Vec<u8>,
}

/// The accepting side.
#[derive(Clone)]
pub struct ServerSettings {
    /// The identification line without CR LF.
    pub ident: String,
    /// Best first; a client's wish chooses among them.
    pub host_keys: Arc<Vec<PrivateKey>>,
    /// Certificates of some of them.
    pub host_certificates: Arc<Vec<HostCertificate>>,
    /// Best first; a client's order decides.
    pub kex: Vec<Kex>,
    /// `None`: GCM alone for clients known to speak it well and offering it, everything for the others.
    pub ciphers: Option<Vec<Cipher>>,
    pub macs: Vec<Mac>,
    pub rekey: RekeyLimits,
}

impl ServerSettings {
    /// Every algorithm, usual limits.
    pub fn new(host_keys: Arc<Vec<PrivateKey>>) -> Self {
        Self {
            ident: OWN.to_owned(),
            host_keys,
            host_certificates: Arc::default(),
            kex: Kex::ALL.to_vec(),
            ciphers: None,
            macs: Mac::ALL.to_vec(),
            rekey: RekeyLimits::default(),
        }
    }

    /// What the host keys can sign with, in their order; those that have a certificate first with it.
    pub(super) fn host_key_algorithms(&self) -> Vec<HostKeyAlgorithm> {
        let certified = self
            .host_keys
            .iter()
            .filter(|key| self.certificate_of(key).is_some());
        let of_key = |key: &PrivateKey, certificate| {
            let signatures = key.algorithms().iter();
            signatures.map(move |signature| HostKeyAlgorithm {
                signature: *signature,
                certificate,
            })
        };
        let certified = certified.flat_map(|key| of_key(key, true));
        let plain = self.host_keys.iter().flat_map(|key| of_key(key, false));
        certified.chain(plain).collect()
    }

    /// The key that signs for an algorithm, and what is shown of it: its public half or its certificate.
    pub(super) fn host_key_for(&self, wanted: HostKeyAlgorithm) -> Option<(&PrivateKey, &[u8])> {
        let is_able = |key: &&PrivateKey| key.algorithms().contains(&wanted.signature);
        let mut able = self.host_keys.iter().filter(is_able);
        match wanted.certificate {
            false => able.next().map(|key| (key, key.public_blob())),
            true => able.find_map(|key| Some((key, self.certificate_of(key)?))),
        }
    }

    fn certificate_of(&self, key: &PrivateKey) -> Option<&[u8]> {
        let is_its = |known: &&HostCertificate| known.public_blob == key.public_blob();
        let certificate = self.host_certificates.iter().find(is_its);
        certificate.map(|certificate| certificate.blob.as_slice())
    }

    pub(super) fn ciphers_for(&self, kind: ClientKind, takes_gcm: bool) -> Vec<Cipher> {
        match (&self.ciphers, kind) {
            (Some(ciphers), _) => ciphers.clone(),
            (None, ClientKind::PrefersGcm) if takes_gcm => {
                vec![Cipher::Aes128Gcm, Cipher::Aes256Gcm]
            }
            (None, _) => Cipher::ALL.to_vec(),
        }
    }
}

/// The dialling side. Its order decides what is used.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The identification line without CR LF.
    pub ident: String,
    /// The host keys the caller can judge, best first: plain ones for pins, certified ones for a host CA.
    pub host_key_algorithms: Vec<HostKeyAlgorithm>,
    pub kex: Vec<Kex>,
    pub ciphers: Vec<Cipher>,
    pub macs: Vec<Mac>,
    pub rekey: RekeyLimits,
}

impl Default for ClientSettings {
    /// Every algorithm (AES-128-GCM first), plain host keys, usual limits.
    fn default() -> Self {
        Self {
            ident: OWN.to_owned(),
            host_key_algorithms: HostKeyAlgorithm::PLAIN.to_vec(),
            kex: Kex::ALL.to_vec(),
            ciphers: Cipher::ALL.to_vec(),
            macs: Mac::ALL.to_vec(),
            rekey: RekeyLimits::default(),
        }
    }
}

/// One of the two roles with its settings.
#[derive(Clone)]
pub(super) enum Side {
    Server(Arc<ServerSettings>),
    Client(Arc<ClientSettings>),
}

impl Side {
    pub(super) fn rekey(&self) -> &RekeyLimits {
        match self {
            Self::Server(settings) => &settings.rekey,
            Self::Client(settings) => &settings.rekey,
        }
    }

    pub(super) fn ident(&self) -> &str {
        match self {
            Self::Server(settings) => &settings.ident,
            Self::Client(settings) => &settings.ident,
        }
    }
}
