//! What TLS the gate speaks to those who come: 1.3 and 1.2, tickets on, no early data. Certificates are `store`'s.
//!
//! Early data is off because it can be replayed, and a replayed request may be a login.

pub mod challenges;
pub mod pair;
pub mod store;
pub mod watch;

use std::sync::Arc;

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::ServerConfig;

use challenges::ACME_ALPN;
pub use pair::TlsError;
use store::Certificates;

pub const ALPN_H2: &[u8] = b"h2";
pub const ALPN_H1: &[u8] = b"http/1.1";

/// The same for other certificates: who holds a ticket of before still need not shake hands in full.
pub fn renewed_config(
    before: &ServerConfig,
    certificates: Arc<Certificates>,
    protocols: Vec<Vec<u8>>,
) -> ServerConfig {
    let mut tls = before.clone();
    tls.cert_resolver = certificates;
    tls.alpn_protocols = protocols;
    tls
}

/// Of the browsers' door. `answers_acme`: an authority may connect to check that a name is ours.
pub fn browsers_protocols(answers_acme: bool) -> Vec<Vec<u8>> {
    let mut protocols = vec![ALPN_H2.to_vec(), ALPN_H1.to_vec()];
    if answers_acme {
        protocols.push(ACME_ALPN.to_vec());
    }
    protocols
}

/// `protocols` are those to agree on by ALPN, the best first.
///
/// # Errors
/// Where the system has no randomness.
pub fn server_config(
    certificates: Arc<Certificates>,
    protocols: Vec<Vec<u8>>,
) -> Result<ServerConfig, rustls::Error> {
    let mut tls = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    tls.alpn_protocols = protocols;
    tls.ticketer = Ticketer::new()?;
    // Libraries ask for AES-256 with SHA-384 first, which makes a handshake a tenth dearer and no connection safer.
    tls.ignore_client_order = true;
    Ok(tls)
}

/// The library's choice, AES-128 before AES-256: both are sound for as long as anybody can foresee (RFC 8446 9.1).
fn provider() -> CryptoProvider {
    let mut provider = default_provider();
    provider
        .cipher_suites
        .sort_by_key(|suite| match suite.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
            CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => {
                1
            }
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
            _ => 3,
        });
    provider
}
