//! The gate's own host certificates: read at start, on SIGHUP and when they change, and never shown unless clients could take them.
//!
//! Whether its authority is one that clients trust cannot be known here; `poolgate host-keys` prints what they need.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::net::expiry::{Kind, Lifetime};
use crate::ssh::host_keys::HostKeyError;
use crate::ssh::host_keys::{parse_key, read_text};
use crate::ssh::wire::keys::{Certificate, CertificateKind, KeyError, PrivateKey};
use crate::ssh::wire::transport::HostCertificate;

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
    in_use: &[HostCertificate],
) -> Result<Vec<HostCertificate>, HostCertificateError> {
    let mut loaded: Vec<HostCertificate> = Vec::new();
    for path in paths {
        let certificate = load_one(path, keys, now, in_use)?;
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
    in_use: &[HostCertificate],
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
    let is_in_use = || in_use.iter().any(|one| one.blob == blob);
    if !certificate.is_valid_at(unix_seconds(now)) && !is_in_use() {
        return Err(HostCertificateError::Expired(path.into()));
    }
    Ok(HostCertificate {
        public_blob: certificate.public_blob,
        blob,
    })
}

/// For how long each of these may be shown, by the file it is in; one without an end is left out.
pub(super) fn lifetimes(paths: &[PathBuf], loaded: &[HostCertificate]) -> Vec<Lifetime> {
    let read = |(path, shown): (&PathBuf, &HostCertificate)| {
        let certificate = Certificate::parse(&shown.blob).ok()?;
        let at = |seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        Some(Lifetime {
            name: path.display().to_string(),
            kind: Kind::HostKey,
            begin: at(certificate.valid_after)?,
            // The largest number is for ever.
            end: at(certificate.valid_before)?,
        })
    };
    paths.iter().zip(loaded).filter_map(read).collect()
}

/// The same of files as they are, for whoever only looks; what is no certificate is left out.
pub(super) fn lifetimes_of(paths: &[PathBuf]) -> Vec<Lifetime> {
    let read = |path: &PathBuf| {
        let text = read_text(path).ok()?;
        let mut words = text.split_whitespace();
        let blob = parse_key(words.next()?, words.next()?)?;
        let shown = HostCertificate {
            public_blob: Vec::new(),
            blob,
        };
        lifetimes(std::slice::from_ref(path), &[shown]).pop()
    };
    paths.iter().filter_map(read).collect()
}

fn unix_seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}
