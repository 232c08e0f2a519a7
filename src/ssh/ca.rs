//! Mints what a proven person logs in to an instance with: a fresh key and a certificate for it, of two minutes.
//!
//! The certificate allows what the grant allows and no more, so the instance's sshd enforces the person's restrictions
//! as well. Deliberately absent: any way to mint for a person without a `Grant`; keeping or reusing a minted key.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::key_file::{self, KeyFileError};
use super::wire::Entropy;
use super::wire::keys::{KeyError, PrivateKey, UserCertificate, sign_user_certificate};
use crate::identity::{Grant, Proof, Restrictions};
use crate::pool::SessionId;

/// Clocks of instances may be this far behind the gate's.
pub const VALID_BEFORE_NOW: Duration = Duration::from_secs(60);
/// A certificate serves only while its session authenticates.
pub const VALID_AFTER_NOW: Duration = Duration::from_secs(120);

/// Where the authority's signature comes from. In memory here; an agent or a hardware module can stand in its place.
pub trait Signer: Send + Sync {
    fn sign(
        &self,
        request: &UserCertificate<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, KeyError>;

    /// One line for instances' `TrustedUserCAKeys`.
    fn public_line(&self) -> Result<String, KeyError>;
}

impl Signer for PrivateKey {
    fn sign(
        &self,
        request: &UserCertificate<'_>,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, KeyError> {
        sign_user_certificate(request, self, entropy)
    }

    fn public_line(&self) -> Result<String, KeyError> {
        Self::public_line(self, "poolgate user CA")
    }
}

/// The authority that instances trust to say who a person is.
pub struct UserCa {
    signer: Box<dyn Signer>,
}

/// What one login to an instance needs; dropped after it.
pub struct Minted {
    pub key: PrivateKey,
    /// The certificate's blob, to be offered in place of the plain public key.
    pub certificate: Vec<u8>,
}

/// Why nothing was minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("the clock stands before 1970")]
    Clock,
    #[error("the key's expiry-time has passed")]
    Expired,
    #[error("the user certificate could not be signed: {0}")]
    Sign(#[from] KeyError),
}

impl UserCa {
    /// Reads the authority's private key. The error is one line with its remedy.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        Ok(Self::new(Box::new(key_file::load("ssh.user_ca", path)?)))
    }

    pub fn new(signer: Box<dyn Signer>) -> Self {
        Self { signer }
    }

    /// One line for instances' `TrustedUserCAKeys`.
    pub fn public_line(&self) -> Result<String, KeyError> {
        self.signer.public_line()
    }

    /// A fresh ed25519 key and its certificate for this grant's person. Their own `from=` is not in it: the gate has checked
    /// that, and no instance ever sees their address.
    pub fn mint(
        &self,
        grant: &Grant,
        session: SessionId,
        client: IpAddr,
        now: SystemTime,
        entropy: &mut dyn Entropy,
    ) -> Result<Minted, MintError> {
        let limits = grant.restrictions();
        let (valid_after, valid_before) = validity(limits.not_after, now)?;
        let mut critical_options = Vec::new();
        if let Some(command) = &limits.force_command {
            critical_options.push(("force-command", command.as_str()));
        }
        let key = PrivateKey::generate_ed25519(entropy)?;
        let request = UserCertificate {
            public_blob: key.public_blob(),
            key_id: &key_id(grant, session, client),
            principals: &[grant.user()],
            valid_after,
            valid_before,
            critical_options: &critical_options,
            extensions: &extensions(limits),
            serial: session.0,
        };
        let certificate = self.signer.sign(&request, entropy)?;
        Ok(Minted { key, certificate })
    }

    /// The same for the gate's own errands, as an account that is nobody's: no terminal, nothing forwarded.
    pub fn mint_for_gate(
        &self,
        account: &str,
        now: SystemTime,
        entropy: &mut dyn Entropy,
    ) -> Result<Minted, MintError> {
        let (valid_after, valid_before) = validity(None, now)?;
        let key = PrivateKey::generate_ed25519(entropy)?;
        let request = UserCertificate {
            public_blob: key.public_blob(),
            key_id: &format!("{account} for poolgate itself"),
            principals: &[account],
            valid_after,
            valid_before,
            critical_options: &[],
            extensions: &[],
            serial: 0,
        };
        let certificate = self.signer.sign(&request, entropy)?;
        Ok(Minted { key, certificate })
    }
}

/// First second of validity and first second after it.
fn validity(not_after: Option<SystemTime>, now: SystemTime) -> Result<(u64, u64), MintError> {
    let seconds = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map(|since| since.as_secs())
            .ok()
    };
    let after = now
        .checked_sub(VALID_BEFORE_NOW)
        .and_then(seconds)
        .ok_or(MintError::Clock)?;
    let mut until = now.checked_add(VALID_AFTER_NOW).ok_or(MintError::Clock)?;
    if let Some(end) = not_after {
        if end <= now {
            return Err(MintError::Expired);
        }
        until = until.min(end);
    }
    Ok((after, seconds(until).ok_or(MintError::Clock)?))
}

/// Lands in the instance's sshd log, where it is the only trace of the person's own address and key; docs/operations.md
/// promises its form.
fn key_id(grant: &Grant, session: SessionId, client: IpAddr) -> String {
    let fingerprint = grant.proofs().iter().find_map(|proof| match proof {
        Proof::PublicKey { fingerprint, .. } => Some(fingerprint.as_str()),
        Proof::Instance { .. } => None,
    });
    let client = client.to_canonical();
    let fingerprint = fingerprint.unwrap_or("no-key");
    format!("{}@{client} session {session} {fingerprint}", grant.user())
}

/// In the order of their names, as certificates need them.
fn extensions(limits: &Restrictions) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("permit-X11-forwarding", limits.permit_x11_forwarding),
        ("permit-agent-forwarding", limits.permit_agent_forwarding),
        ("permit-port-forwarding", limits.permit_port_forwarding),
        ("permit-pty", limits.permit_pty),
        ("permit-user-rc", limits.permit_user_rc),
    ];
    all.iter()
        .filter(|(_, is_permitted)| *is_permitted)
        .map(|(name, _)| (*name, ""))
        .collect()
}

#[cfg(test)]
mod tests;
