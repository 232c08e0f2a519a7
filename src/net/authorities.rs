//! Files of certificate authorities (PEM) by which others prove themselves to the gate.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::config::read_regular;

/// All that systems usually list is a quarter of this.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All that are in the file, one at least.
///
/// # Errors
/// In words: the file, what is wrong with it, and what to name.
pub fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    const NAME: &str = "name a PEM file with the authorities' certificates";
    let unusable =
        |cause: &dyn std::fmt::Display| format!("cannot read {}: {cause}; {NAME}", file.display());
    let bytes = read_regular(file, FILE_BYTES_MAX).map_err(|error| unusable(&error))?;
    let listed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let listed = listed.map_err(|error| unusable(&error))?;
    match listed.is_empty() {
        true => Err(format!(
            "{} holds no authority's certificate; {NAME}",
            file.display()
        )),
        false => Ok(listed),
    }
}
