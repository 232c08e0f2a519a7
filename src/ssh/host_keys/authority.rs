//! Host certificates (OpenSSH PROTOCOL.certkeys): who may sign them, and whether one is this instance's, at this time.

use std::time::{SystemTime, UNIX_EPOCH};

use super::error::{CertificateFault, HostKeyError};
use super::lists::parse_key;
use crate::identity::glob;
use crate::pool::Instance;
use crate::ssh::wire::keys::{Certificate, CertificateKind, fingerprint, key_type};

/// Public keys of the authorities that sign instances' host keys: a file with one a line, as in a `.pub` file.
#[derive(Debug, PartialEq, Eq)]
pub struct Authorities(Vec<Vec<u8>>);

impl Authorities {
    pub fn parse(text: &str) -> Result<Self, (usize, &'static str)> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let key = words.next().zip(words.next());
            let key = key.and_then(|(kind, key)| parse_key(kind, key));
            let expected = "expected TYPE KEY, as in the .pub file of the host CA";
            keys.push(key.ok_or((index + 1, expected))?);
        }
        if keys.is_empty() {
            return Err((
                1,
                "the file holds no key; append the .pub file of the host CA",
            ));
        }
        Ok(Self(keys))
    }

    /// Whether the blob is a certificate by one of these authorities for this instance.
    pub fn check(
        &self,
        instance: &Instance,
        blob: &[u8],
        now: SystemTime,
    ) -> Result<(), HostKeyError> {
        if !is_certificate(blob) {
            return Err(HostKeyError::not_certified(instance));
        }
        let is_trusted = |ca: &[u8]| self.0.iter().any(|known| known == ca);
        let verdict = Certificate::parse(blob).map_err(CertificateFault::from);
        verdict
            .and_then(|certificate| judge(instance, &certificate, now, is_trusted))
            .map_err(|reason| HostKeyError::certificate(instance, reason))
    }
}

pub fn is_certificate(blob: &[u8]) -> bool {
    key_type(blob).is_ok_and(|kind| kind.ends_with("-cert-v01@openssh.com"))
}

/// All that must hold of a host certificate; `is_trusted` is asked with the authority's key blob.
pub fn judge(
    instance: &Instance,
    certificate: &Certificate,
    now: SystemTime,
    is_trusted: impl FnOnce(&[u8]) -> bool,
) -> Result<(), CertificateFault> {
    if certificate.kind != CertificateKind::Host {
        return Err(CertificateFault::UserKind);
    }
    if !is_trusted(&certificate.ca_blob) {
        let authority = fingerprint(&certificate.ca_blob);
        return Err(CertificateFault::Authority(authority));
    }
    certificate.verify_signature()?;
    let seconds = now.duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    if !seconds.is_ok_and(|now| certificate.is_valid_at(now)) {
        return Err(CertificateFault::Time);
    }
    if let Some((name, _)) = certificate.critical_options.first() {
        return Err(CertificateFault::CriticalOption(name.clone()));
    }
    // A certificate without names would be good for every host; none is accepted here.
    let name = instance.id.name.to_lowercase();
    let address = instance.address.to_lowercase();
    let is_ours = |pattern: &String| {
        let pattern = pattern.to_lowercase();
        glob::matches(&pattern, &name) || glob::matches(&pattern, &address)
    };
    if !certificate.principals.iter().any(is_ours) {
        let names = certificate.principals.clone();
        return Err(CertificateFault::Principal {
            names,
            name,
            address,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
