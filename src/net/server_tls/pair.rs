//! One certificate with its private key: read, proved to belong together, and what is to be known of it.
//!
//! Whose signature it bears is not looked at: clients decide whom they trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::config::{CertificateFiles, read_regular};

/// A chain is some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What is wrong with the files, and what to do; one line each.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{key}: cannot read {file}: {cause}; name a PEM file this user may read")]
    Unreadable {
        file: PathBuf,
        key: String,
        cause: std::io::Error,
    },
    #[error(
        "{key}: {file} holds no certificate; name a PEM file with the chain, own certificate first"
    )]
    NoCertificate { file: PathBuf, key: String },
    #[error("{key}: {file} holds no private key; name a PEM file with an unencrypted key")]
    NoKey { file: PathBuf, key: String },
    #[error(
        "{key}: {file} is protected by a passphrase; write the key without one: openssl pkey -in {file}"
    )]
    Encrypted { file: PathBuf, key: String },
    #[error(
        "{key}: {file} holds a certificate that browsers do not take; an X.509 certificate of version 3 is needed"
    )]
    NotTaken { file: PathBuf, key: String },
    #[error(
        "{key}: {file} is not sound PEM: {cause}; write it again from the certificate authority's files"
    )]
    Malformed {
        file: PathBuf,
        key: String,
        cause: String,
    },
    #[error(
        "{key}: the key in {private_key} does not belong to the certificate in {certificate}; name files that were issued together"
    )]
    Mismatch {
        certificate: PathBuf,
        private_key: PathBuf,
        key: String,
    },
    #[error(
        "{key}: {certificate} cannot be used: {cause}; an RSA, ECDSA or Ed25519 pair is needed"
    )]
    Unusable {
        certificate: PathBuf,
        key: String,
        cause: rustls::Error,
    },
    #[error(
        "{key}: the certificate in {certificate} is not valid at this time, and the one in use is; renew it"
    )]
    NotNow { certificate: PathBuf, key: String },
    #[error(
        "{key}: {file} holds no OCSP response; write what `openssl ocsp -respout` or the certificate authority's tool writes, in DER"
    )]
    NoOcspResponse { file: PathBuf, key: String },
    #[error("TLS cannot be set up: {0}; the system may give no random bytes")]
    Library(#[from] rustls::Error),
}

/// A certificate that can be shown.
#[derive(Debug)]
pub struct Pair {
    pub certified: Arc<CertifiedKey>,
    /// What it is for, in lower case; `*.` before a name stands for one label.
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl Pair {
    /// Reads the files.
    pub fn read(files: &CertificateFiles) -> Result<Self, TlsError> {
        let in_section = |name: &str| format!("{}.{name}", files.key);
        let chain = certificates(&files.certificate, in_section("certificate"))?;
        let key = private_key(&files.private_key, in_section("private_key"))?;
        let mut pair = Self::new(chain, key).map_err(|cause| match cause {
            rustls::Error::InvalidCertificate(_) => TlsError::NotTaken {
                file: files.certificate.clone(),
                key: in_section("certificate"),
            },
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
                certificate: files.certificate.clone(),
                private_key: files.private_key.clone(),
                key: in_section("private_key"),
            },
            cause => TlsError::Unusable {
                certificate: files.certificate.clone(),
                key: in_section("certificate"),
                cause,
            },
        })?;
        if let Some(file) = &files.ocsp_response {
            let ocsp = Some(ocsp_response(file, in_section("ocsp_response"))?);
            let certified = (*pair.certified).clone();
            pair.certified = Arc::new(CertifiedKey { ocsp, ..certified });
        }
        Ok(pair)
    }

    /// Fails where they do not belong together, or where the certificate is none.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let certified = CertifiedKey::from_der(chain, key, &default_provider())?;
        let own = certified.end_entity_cert()?;
        let invalid = |_| rustls::Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
        let (_, read) = X509Certificate::from_der(own).map_err(invalid)?;
        let validity = read.validity();
        Ok(Self {
            names: names(&read),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
            certified: Arc::new(certified),
        })
    }

    /// The certificate itself.
    pub fn own(&self) -> Option<&CertificateDer<'static>> {
        self.certified.cert.first()
    }

    pub fn is_valid_at(&self, now: SystemTime) -> bool {
        self.not_before <= now && now < self.not_after
    }

    pub fn lifetime(&self) -> Duration {
        let lifetime = self.not_after.duration_since(self.not_before);
        lifetime.unwrap_or_default()
    }

    /// For logs and metrics.
    pub fn name(&self) -> &str {
        self.names.first().map_or("(no name)", String::as_str)
    }
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let listed = certificate.subject_alternative_name().ok().flatten();
    let listed = listed.map(|extension| extension.value.general_names.as_slice());
    listed
        .unwrap_or_default()
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

fn certificates(file: &Path, key: String) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(file, &key)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|cause| malformed(file, &key, &cause))?;
    if chain.is_empty() {
        let file = file.to_owned();
        return Err(TlsError::NoCertificate { file, key });
    }
    Ok(chain)
}

/// Only its shape is looked at (RFC 6960 4.2.1): one that is past its time harms nobody but those who demand one.
fn ocsp_response(file: &Path, key: String) -> Result<Vec<u8>, TlsError> {
    let bytes = read(file, &key)?;
    // A SEQUENCE whose first part is the ENUMERATED `successful`.
    let body = match bytes.as_slice() {
        [0x30, 0x82, _, _, body @ ..] | [0x30, 0x81, _, body @ ..] => body,
        _ => &[],
    };
    if !body.starts_with(&[0x0a, 1, 0]) {
        let file = file.to_owned();
        return Err(TlsError::NoOcspResponse { file, key });
    }
    Ok(bytes.to_vec())
}

fn private_key(file: &Path, key: String) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(file, &key)?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        let file = file.to_owned();
        return Err(TlsError::Encrypted { file, key });
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|cause| match cause {
        pem::Error::NoItemsFound => TlsError::NoKey {
            file: file.to_owned(),
            key: key.clone(),
        },
        cause => malformed(file, &key, &cause),
    })
}

fn read(file: &Path, key: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    read_regular(file, FILE_BYTES_MAX).map_err(|cause| TlsError::Unreadable {
        file: file.to_owned(),
        key: key.to_owned(),
        cause,
    })
}

fn malformed(file: &Path, key: &str, cause: &pem::Error) -> TlsError {
    TlsError::Malformed {
        file: file.to_owned(),
        key: key.to_owned(),
        cause: cause.to_string(),
    }
}
