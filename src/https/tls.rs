//! What TLS the gate speaks: 1.3 and 1.2, tickets on, no early data. Certificates are `store`'s.
//!
//! Early data is off because it can be replayed, and a replayed request may be a login.

pub mod challenges;
mod expiry;
pub mod pair;
pub mod store;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::ServerConfig;

use challenges::ACME_ALPN;
pub use pair::TlsError;
use store::Certificates;

pub const ALPN_H2: &[u8] = b"h2";
const ALPN_H1: &[u8] = b"http/1.1";

/// `answers_acme`: an authority may connect to check that a name is ours.
pub fn server_config(
    certificates: Arc<Certificates>,
    answers_acme: bool,
) -> Result<ServerConfig, rustls::Error> {
    let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    tls.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_H1.to_vec()];
    if answers_acme {
        tls.alpn_protocols.push(ACME_ALPN.to_vec());
    }
    tls.ticketer = Ticketer::new()?;
    Ok(tls)
}
