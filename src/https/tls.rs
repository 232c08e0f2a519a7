//! The certificate, checked when it is loaded, and what TLS the gate speaks: 1.3 and 1.2, tickets on, no early data.
//!
//! Early data is off because it can be replayed, and a replayed request may be a login.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::ServerConfig;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::HttpsConfig;

pub const ALPN_H2: &[u8] = b"h2";
const ALPN_H1: &[u8] = b"http/1.1";

/// What is wrong with the files, and what to do; one line each.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("https.{key}: cannot read {file}: {cause}; name a PEM file this user may read")]
    Unreadable {
        file: PathBuf,
        key: &'static str,
        cause: std::io::Error,
    },
    #[error(
        "https.certificate: {file} holds no certificate; name a PEM file with the chain, own certificate first"
    )]
    NoCertificate { file: PathBuf },
    #[error(
        "https.private_key: {file} holds no private key; name a PEM file with an unencrypted key"
    )]
    NoKey { file: PathBuf },
    #[error(
        "https.private_key: {file} is protected by a passphrase; write the key without one: openssl pkey -in {file}"
    )]
    Encrypted { file: PathBuf },
    #[error(
        "https.certificate: {file} holds a certificate that browsers do not take; an X.509 certificate of version 3 is needed"
    )]
    NotTaken { file: PathBuf },
    #[error(
        "{file} is not sound PEM: {cause}; write it again from the certificate authority's files"
    )]
    Malformed { file: PathBuf, cause: String },
    #[error(
        "https.private_key: the key in {key} does not belong to the certificate in {certificate}; name files that were issued together"
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error(
        "{certificate} with {key} cannot be used: {cause}; an RSA, ECDSA or Ed25519 pair is needed"
    )]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        cause: rustls::Error,
    },
}

/// Reads the pair and proves that it works together.
pub fn server_config(config: &HttpsConfig) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&config.certificate)?;
    let key = private_key(&config.private_key)?;
    let unusable = |cause| match cause {
        rustls::Error::InvalidCertificate(_) => TlsError::NotTaken {
            file: config.certificate.clone(),
        },
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
            certificate: config.certificate.clone(),
            key: config.private_key.clone(),
        },
        cause => TlsError::Unusable {
            certificate: config.certificate.clone(),
            key: config.private_key.clone(),
            cause,
        },
    };
    let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    tls.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_H1.to_vec()];
    tls.ticketer = Ticketer::new().map_err(unusable)?;
    Ok(tls)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(file, "certificate")?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let chain = chain.map_err(|cause| malformed(file, &cause))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            file: file.to_owned(),
        });
    }
    Ok(chain)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(file, "private_key")?;
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::Encrypted {
            file: file.to_owned(),
        });
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|cause| match cause {
        pem::Error::NoItemsFound => TlsError::NoKey {
            file: file.to_owned(),
        },
        cause => malformed(file, &cause),
    })
}

fn read(file: &Path, key: &'static str) -> Result<zeroize::Zeroizing<Vec<u8>>, TlsError> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(bytes.into()),
        Err(cause) => Err(TlsError::Unreadable {
            file: file.to_owned(),
            key,
            cause,
        }),
    }
}

fn malformed(file: &Path, cause: &pem::Error) -> TlsError {
    TlsError::Malformed {
        file: file.to_owned(),
        cause: cause.to_string(),
    }
}
