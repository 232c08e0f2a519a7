//! TLS to servers of the web: whoever proves their name by an authority that this system lists.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// # Errors
/// The system knows no certificate authority.
pub fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let listed = rustls_native_certs::load_native_certs().certs;
    if roots.add_parsable_certificates(listed).0 == 0 {
        return Err("the system lists no certificate authority: install ca-certificates".into());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
