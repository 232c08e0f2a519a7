//! Who the gate is to people's clients: its host keys, their certificates, and the keys of a rotation to come.
//!
//! Clients that keep their lists up to date (OpenSSH's UpdateHostKeys) hear of every key after the login and have each
//! proved over their own connection, so that a key can be replaced without an alarm (OpenSSH PROTOCOL section 2.5).
//! Deliberately absent: the instances' keys (`host_keys`); nothing of theirs ever reaches a client.

mod certificates;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

pub use self::certificates::HostCertificateError;
use super::host_keys::{KeyFileError, load_host_keys};
use super::key_file;
use super::leg::Leg;
use super::wire::keys::{PrivateKey, SigAlg};
use super::wire::message::{
    GlobalRequest, Writer, host_key_proof_data, hostkeys_announcement, number,
};
use super::wire::transport::{HostCertificate, WireError};
use crate::config::SshConfig;
use crate::net::expiry::Lifetime;

/// How often one connection may ask for proofs: a client asks once, and a signature costs far more than the question.
const PROOFS_MAX: u8 = 4;
/// Tera Term of these versions ends the connection at the announcement (as OpenSSH's sshd knows of them).
const CANNOT_HEAR: [&str; 3] = ["TTSSH/2.70", "TTSSH/2.71", "TTSSH/2.72"];

/// Why the gate cannot say who it is.
#[derive(Debug, thiserror::Error)]
pub enum HostIdentityError {
    #[error("{0}")]
    Key(#[from] KeyFileError),
    #[error(
        "ssh.standby_host_keys: {0} is one of ssh.host_keys; leave it in one of the two: host_keys once clients know it, \
         standby_host_keys until then"
    )]
    InUse(PathBuf),
    #[error("{0}")]
    Certificate(#[from] HostCertificateError),
}

pub struct HostIdentity {
    offered: Arc<Vec<PrivateKey>>,
    standby: Vec<PrivateKey>,
    certificates: Arc<Vec<HostCertificate>>,
    lifetimes: Vec<Lifetime>,
    announcement: Vec<u8>,
}

/// For how long the certificates in these files may be shown, for whoever only looks.
pub fn lifetimes(certificates: &[PathBuf]) -> Vec<Lifetime> {
    certificates::lifetimes_of(certificates)
}

impl HostIdentity {
    /// Reads every file. The error is one line with its remedy.
    /// A certificate among `in_use` may be outside of its time: it is no worse than it was.
    pub fn load(
        config: &SshConfig,
        now: SystemTime,
        in_use: &[HostCertificate],
    ) -> Result<Self, HostIdentityError> {
        let offered = load_host_keys(&config.host_keys)?;
        let mut standby = Vec::new();
        for path in &config.standby_host_keys {
            let key = key_file::load("ssh.standby_host_keys", path)?;
            let is_same = |other: &PrivateKey| other.public_blob() == key.public_blob();
            if offered.iter().any(is_same) {
                return Err(HostIdentityError::InUse(path.clone()));
            }
            standby.push(key);
        }
        let certificates = certificates::load(&config.host_certificates, &offered, now, in_use)?;
        let blobs: Vec<_> = offered
            .iter()
            .chain(&standby)
            .map(|key| key.public_blob().to_vec())
            .collect();
        Ok(Self {
            offered: Arc::new(offered),
            lifetimes: certificates::lifetimes(&config.host_certificates, &certificates),
            standby,
            certificates: Arc::new(certificates),
            announcement: hostkeys_announcement(&blobs),
        })
    }

    #[cfg(test)]
    pub fn of_key(key: PrivateKey) -> Self {
        Self {
            announcement: hostkeys_announcement(&[key.public_blob().to_vec()]),
            offered: Arc::new(vec![key]),
            standby: Vec::new(),
            certificates: Arc::default(),
            lifetimes: Vec::new(),
        }
    }

    /// The keys that key exchanges are signed with.
    pub fn offered(&self) -> &Arc<Vec<PrivateKey>> {
        &self.offered
    }

    /// Announced to clients, and not offered yet.
    pub fn standby(&self) -> &[PrivateKey] {
        &self.standby
    }

    /// For how long its certificates may be shown.
    pub fn lifetimes(&self) -> &[Lifetime] {
        &self.lifetimes
    }

    pub fn certificates(&self) -> Arc<Vec<HostCertificate>> {
        self.certificates.clone()
    }

    /// The answer to `hostkeys-prove-00@openssh.com`: a signature for each key asked for. `negotiated` is what the key
    /// exchange was signed with: clients expect other RSA keys to sign in the same way. `None` if the request is malformed,
    /// names a key that is not the gate's, or more keys than it has.
    fn proof(
        &self,
        request: &GlobalRequest<'_>,
        session_id: &[u8],
        negotiated: Option<SigAlg>,
    ) -> Option<Vec<u8>> {
        let blobs = request.keys().ok()?;
        let own = || self.offered.iter().chain(&self.standby);
        if blobs.is_empty() || blobs.len() > own().count() {
            return None;
        }
        let mut answer = Writer::new(number::REQUEST_SUCCESS);
        for blob in blobs {
            let key = own().find(|key| key.public_blob() == blob)?;
            let fitting = negotiated.filter(|alg| key.algorithms().contains(alg));
            let alg = fitting.or_else(|| key.algorithms().first().copied())?;
            let signed = key.sign(alg, &host_key_proof_data(session_id, blob));
            answer = answer.string(signed.ok()?);
        }
        Some(answer.finish())
    }
}

/// What one session may ask of the gate's identity.
pub struct Prover {
    identity: Arc<HostIdentity>,
    left: u8,
}

impl Prover {
    pub fn new(identity: Arc<HostIdentity>) -> Self {
        Self {
            identity,
            left: PROOFS_MAX,
        }
    }

    /// Puts the announcement behind what the client is to be sent: right after its login, as sshd does.
    pub fn announce(&self, client: &mut Leg) -> Result<(), WireError> {
        let ident = client.transport.peer_ident();
        let software = ident.map(|ident| ident.as_str()).unwrap_or_default();
        if CANNOT_HEAR.iter().any(|broken| software.contains(broken)) {
            return Ok(());
        }
        let (entropy, out) = (&mut client.entropy, &mut client.outgoing);
        client
            .transport
            .send(&self.identity.announcement, entropy, out)
    }

    /// The answer the client gets, when its turn comes; `None` is a refusal.
    pub fn answer(&mut self, request: &GlobalRequest<'_>, client: &Leg) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(1)?;
        let transport = &client.transport;
        let negotiated = transport
            .algorithms()
            .map(|chosen| chosen.host_key.signature);
        self.identity
            .proof(request, transport.session_id()?, negotiated)
    }
}
