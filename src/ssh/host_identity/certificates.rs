//! The gate's own host certificates: read at start and on SIGHUP, and never shown unless clients could take them.
//!
//! Whether its authority is one that clients trust cannot be known here; `poolgate host-keys` prints what they need.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::ssh::host_keys::HostKeyError;
use crate::ssh::host_keys::{parse_key, read_text};
use crate::ssh::wire::keys::{Certificate, CertificateKind, KeyError, PrivateKey};
use crate::ssh::wire::transport::HostCertificate;

/// Left of a certificate's time when the log begins to warn: long enough for somebody who reads logs once a week.
const NEAR_EXPIRY: Duration = Duration::from_secs(14 * 24 * 3600);

/// What is wrong with the file of a host certificate.
#[derive(Debug, thiserror::Error)]
pub enum HostCertificateError {
    #[error("ssh.host_certificates: {0}")]
    Unreadable(Box<HostKeyError>),
    #[error(
        "ssh.host_certificates: {0} is no certificate; name what ssh-keygen -s writes, usually KEY-cert.pub"
    )]
    NoCertificate(PathBuf),
    #[error("ssh.host_certificates: {path} is not usable: {source}; have the key signed again")]
    Unusable { path: PathBuf, source: KeyError },
    #[error(
        "ssh.host_certificates: {0} is a certificate for people; sign the host key with -h: {sign}", sign = SIGN
    )]
    ForPeople(PathBuf),
    #[error(
        "ssh.host_certificates: {0} names no host, and clients refuse that; sign the key with -n: {sign}", sign = SIGN
    )]
    NoPrincipal(PathBuf),
    #[error(
        "ssh.host_certificates: {path} has the critical option {option}, which no client knows for a host; sign the key without it"
    )]
    CriticalOption { path: PathBuf, option: String },
    #[error(
        "ssh.host_certificates: {0} is outside its time of validity; sign the key again: {sign}", sign = SIGN
    )]
    Expired(PathBuf),
    #[error(
        "ssh.host_certificates: {0} certifies none of ssh.host_keys; name the certificate of one of them, or its key there"
    )]
    OtherKey(PathBuf),
    #[error(
        "ssh.host_certificates: {path} certifies the same key as {other}; name one of them only"
    )]
    SameKey { path: PathBuf, other: PathBuf },
}

const SIGN: &str = "ssh-keygen -s CA -h -I NAME -n NAME,NAME -V +52w KEY.pub";

/// Every certificate, each for one of `keys`.
pub(super) fn load(
    paths: &[PathBuf],
    keys: &[PrivateKey],
    now: SystemTime,
) -> Result<Vec<HostCertificate>, HostCertificateError> {
    let mut loaded: Vec<HostCertificate> = Vec::new();
    for path in paths {
        let certificate = load_one(path, keys, now)?;
        let twin = loaded
            .iter()
            .position(|other| other.public_blob == certificate.public_blob);
        if let Some(other) = twin.and_then(|index| paths.get(index)) {
            let (path, other) = (path.clone(), other.clone());
            return Err(HostCertificateError::SameKey { path, other });
        }
        loaded.push(certificate);
    }
    Ok(loaded)
}

fn load_one(
    path: &Path,
    keys: &[PrivateKey],
    now: SystemTime,
) -> Result<HostCertificate, HostCertificateError> {
    let unreadable = |error| HostCertificateError::Unreadable(Box::new(error));
    let text = read_text(path).map_err(unreadable)?;
    let mut words = text.split_whitespace();
    let blob = words
        .next()
        .zip(words.next())
        .filter(|(kind, _)| kind.ends_with("-cert-v01@openssh.com"))
        .and_then(|(kind, key)| parse_key(kind, key))
        .ok_or_else(|| HostCertificateError::NoCertificate(path.into()))?;
    let unusable = |source| HostCertificateError::Unusable {
        path: path.into(),
        source,
    };
    let certificate = Certificate::parse(&blob).map_err(unusable)?;
    certificate.verify_signature().map_err(unusable)?;
    if certificate.kind != CertificateKind::Host {
        return Err(HostCertificateError::ForPeople(path.into()));
    }
    if certificate.principals.is_empty() {
        return Err(HostCertificateError::NoPrincipal(path.into()));
    }
    if let Some((option, _)) = certificate.critical_options.first() {
        let (path, option) = (path.into(), option.clone());
        return Err(HostCertificateError::CriticalOption { path, option });
    }
    let is_of = |key: &PrivateKey| key.public_blob() == certificate.public_blob;
    if !keys.iter().any(is_of) {
        return Err(HostCertificateError::OtherKey(path.into()));
    }
    check_time(path, &certificate, now)?;
    Ok(HostCertificate {
        public_blob: certificate.public_blob,
        blob,
    })
}

fn check_time(
    path: &Path,
    certificate: &Certificate,
    now: SystemTime,
) -> Result<(), HostCertificateError> {
    let seconds = now.duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    let seconds = seconds.unwrap_or_default();
    if !certificate.is_valid_at(seconds) {
        return Err(HostCertificateError::Expired(path.into()));
    }
    let left = certificate.valid_before.saturating_sub(seconds);
    if left < NEAR_EXPIRY.as_secs() {
        tracing::warn!(
            file = %path.display(),
            hours_left = left / 3600,
            "a host certificate expires soon; sign the key again, then send SIGHUP"
        );
    }
    Ok(())
}
