//! For tests: keys, certificates and revocation lists made by the real ssh-keygen.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ssh::wire::keys::Certificate;

/// A folder with an authority `ca`, another one `other_ca`, and a person's key `key`.
pub struct Authority(tempfile::TempDir);

impl Authority {
    pub fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        for name in ["ca", "other_ca", "key"] {
            made.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name]);
        }
        made
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn keygen(&self, args: &[&str]) {
        let mut keygen = Command::new("ssh-keygen");
        let output = keygen.args(args).current_dir(&self.0).output();
        let output = output.expect("tests need ssh-keygen: install openssh-client");
        assert!(output.status.success(), "ssh-keygen {args:?}: {output:?}");
    }

    /// The blob in a file of this folder.
    pub fn blob(&self, name: &str) -> Vec<u8> {
        let line = std::fs::read_to_string(self.path(name)).unwrap();
        STANDARD.decode(line.split(' ').nth(1).unwrap()).unwrap()
    }

    /// A certificate for `key`, by the options of ssh-keygen; `key-cert.pub` in the folder.
    pub fn certify(&self, options: &[&str]) -> Arc<Certificate> {
        self.certify_by("ca", options)
    }

    pub fn certify_by(&self, ca: &str, options: &[&str]) -> Arc<Certificate> {
        self.keygen(&[&["-q", "-s", ca, "-I", "an id"], options, &["key.pub"]].concat());
        Arc::new(Certificate::parse(&self.blob("key-cert.pub")).unwrap())
    }
}
