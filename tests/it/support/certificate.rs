//! The certificate of a test's gate, as files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::World;

/// A self-signed certificate for 127.0.0.1 and its key, as files.
pub fn certificate_files(world: &World) -> (PathBuf, PathBuf) {
    let (certificate, key) = (world.path("tls.pem"), world.path("tls.key"));
    if !certificate.exists() {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(&certificate, made.cert.pem()).unwrap();
        write_private(&key, &made.signing_key.serialize_pem());
    }
    (certificate, key)
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}
