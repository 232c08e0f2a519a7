//! The demo's folder: the gate's keys and certificate, the keys people may log in with, and files that spare them typing.
//! It is temporary and goes when the demo ends.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};

/// Where everything of one demo lies; removed on drop.
pub struct Folder {
    root: tempfile::TempDir,
}

impl Folder {
    /// Makes the folder with all of the gate's keys in it.
    ///
    /// # Errors
    /// The folder for temporary files cannot be written to.
    pub fn make(addresses: &[IpAddr]) -> anyhow::Result<Self> {
        let root = tempfile::Builder::new()
            .prefix("poolgate-demo-")
            .tempdir()
            .context("cannot make a folder for the demo")?;
        let folder = Self { root };
        for inner in ["state", "instances"] {
            DirBuilder::new().mode(0o700).create(folder.path(inner))?;
        }
        new_key_file(&folder.host_key(), "poolgate demo host key")?;
        let authority = new_key_file(&folder.user_ca(), "poolgate demo user CA")?;
        write(&folder.user_ca_public(), &line(&authority)?)?;
        folder.make_certificate(addresses)?;
        Ok(folder)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }
    pub fn host_key(&self) -> PathBuf {
        self.path("ssh_host_ed25519_key")
    }
    pub fn user_ca(&self) -> PathBuf {
        self.path("user_ca")
    }
    pub fn user_ca_public(&self) -> PathBuf {
        self.path("user_ca.pub")
    }
    pub fn authorized_keys(&self) -> PathBuf {
        self.path("authorized_keys")
    }
    pub fn certificate(&self) -> PathBuf {
        self.path("tls.crt")
    }
    pub fn certificate_key(&self) -> PathBuf {
        self.path("tls.key")
    }
    pub fn known_hosts(&self) -> PathBuf {
        self.path("known_hosts")
    }
    pub fn ssh_config(&self) -> PathBuf {
        self.path("ssh_config")
    }

    /// Lets these keys log in; without any, makes one and returns the path of its private half.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn admit(&self, own_keys: &[String]) -> anyhow::Result<Option<PathBuf>> {
        if !own_keys.is_empty() {
            write(&self.authorized_keys(), &own_keys.concat())?;
            return Ok(None);
        }
        let made = self.path("id_ed25519");
        let public = new_key_file(&made, "poolgate demo key")?;
        write(&self.authorized_keys(), &line(&public)?)?;
        Ok(Some(made))
    }

    /// Writes `known_hosts` and an `ssh_config` with the host `pool`, so that nobody's own files are touched.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write_client_files(
        &self,
        address: IpAddr,
        port: u16,
        identity: Option<&Path>,
    ) -> anyhow::Result<()> {
        let host_key = PrivateKey::read_openssh_file(self.host_key())?;
        let known = format!("[{address}]:{port} {}", line(host_key.public_key())?);
        write(&self.known_hosts(), &known)?;
        let mut config = format!(
            "Host pool\n    HostName {address}\n    Port {port}\n    UserKnownHostsFile {}\n",
            self.known_hosts().display()
        );
        if let Some(identity) = identity {
            config += &format!(
                "    IdentityFile {}\n    IdentitiesOnly yes\n",
                identity.display()
            );
        }
        write(&self.ssh_config(), &config)
    }

    fn make_certificate(&self, addresses: &[IpAddr]) -> anyhow::Result<()> {
        let mut names = vec!["localhost".to_string()];
        if let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
            names.push(host.trim().to_string());
        }
        names.extend(addresses.iter().map(IpAddr::to_string));
        let made = rcgen::generate_simple_self_signed(names)?;
        write(&self.certificate(), &made.cert.pem())?;
        write(&self.certificate_key(), &made.signing_key.serialize_pem())
    }
}

/// Makes an ed25519 key pair at `path` (0600) and returns the public half.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn new_key_file(path: &Path, comment: &str) -> io::Result<PublicKey> {
    let mut key =
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(io::Error::other)?;
    key.set_comment(comment);
    let text = key.to_openssh(LineEnding::LF).map_err(io::Error::other)?;
    write_file(path, &text)?;
    Ok(key.public_key().clone())
}

fn line(key: &PublicKey) -> anyhow::Result<String> {
    Ok(format!("{}\n", key.to_openssh()?))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_file(path, text).with_context(|| format!("cannot write {}", path.display()))
}

pub fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_folder_holds_what_a_gate_needs_and_goes_on_drop() {
        let here = [IpAddr::from([127, 0, 0, 1])];
        let folder = Folder::make(&here).unwrap();
        let key = PrivateKey::read_openssh_file(folder.host_key()).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Ed25519);
        let mode = folder.user_ca().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let ca = PrivateKey::read_openssh_file(folder.user_ca()).unwrap();
        let public = PublicKey::read_openssh_file(folder.user_ca_public()).unwrap();
        assert_eq!(ca.public_key().key_data(), public.key_data());
        let root = folder.path("");
        drop(folder);
        assert!(!root.exists());
    }

    #[test]
    fn a_person_without_keys_gets_one() {
        let folder = Folder::make(&[]).unwrap();
        let made = folder.admit(&[]).unwrap().unwrap();
        let key = PrivateKey::read_openssh_file(&made).unwrap();
        let admitted = std::fs::read_to_string(folder.authorized_keys()).unwrap();
        assert_eq!(admitted, line(key.public_key()).unwrap());
        folder
            .write_client_files([127, 0, 0, 1].into(), 2222, Some(&made))
            .unwrap();
        let known = std::fs::read_to_string(folder.known_hosts()).unwrap();
        assert!(
            known.starts_with("[127.0.0.1]:2222 ssh-ed25519 "),
            "{known}"
        );
    }

    #[test]
    fn a_person_with_keys_uses_them() {
        let folder = Folder::make(&[]).unwrap();
        let own = ["ssh-ed25519 AAAA ada\n".to_string()];
        assert_eq!(folder.admit(&own).unwrap(), None);
        let admitted = std::fs::read_to_string(folder.authorized_keys()).unwrap();
        assert_eq!(admitted, own[0]);
    }
}
