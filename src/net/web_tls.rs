//! TLS to servers of the web: whoever proves their name by an authority that this system lists, or a file.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::authorities;

/// `ca_file`: authorities (PEM) in place of the system's.
///
/// # Errors
/// There is no certificate authority, neither in the file nor in the system.
pub fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, String> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let (listed, missing) = match ca_file {
        Some(file) => {
            let missing = format!(
                "{} holds no certificate authority: name a PEM file with one",
                file.display()
            );
            (authorities::read(file)?, missing)
        }
        None => {
            let missing = "the system lists no certificate authority: install the package ca-certificates (apt-get install ca-certificates)".to_owned();
            (rustls_native_certs::load_native_certs().certs, missing)
        }
    };
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(listed).0 {
        0 => Err(missing),
        _ => Ok(roots),
    }
}
