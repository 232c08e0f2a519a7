//! What outlives a restart: the account with the authority, and the certificate with its key.
//!
//! Each is one file that is replaced in one step, for the owner's eyes alone; chain and key stand in the same file, so that
//! neither is ever beside another's.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::net::server_tls::pair::Pair;

const ACCOUNT: &str = "account.json";
const CERTIFICATE: &str = "certificate.pem";

/// What is wrong with the kept files.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{0}: {1}; this user must own it and be able to write there")]
    Io(PathBuf, io::Error),
    #[error("{0} is damaged: {1}; remove it, and a new one is asked for")]
    Damaged(PathBuf, String),
}

pub struct Folder {
    path: PathBuf,
}

/// An account belongs to one authority.
#[derive(Serialize, Deserialize)]
struct Kept<C> {
    directory: String,
    credentials: C,
}

impl Folder {
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        made.map_err(|error| FolderError::Io(path.to_owned(), error))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The account with this authority, if there is one.
    pub fn account(&self, directory: &str) -> Result<Option<AccountCredentials>, FolderError> {
        let Some(bytes) = self.read(ACCOUNT)? else {
            return Ok(None);
        };
        let kept: Kept<AccountCredentials> = serde_json::from_slice(&bytes)
            .map_err(|error| FolderError::Damaged(self.path.join(ACCOUNT), error.to_string()))?;
        Ok((kept.directory == directory).then_some(kept.credentials))
    }

    pub fn keep_account(
        &self,
        directory: &str,
        credentials: &AccountCredentials,
    ) -> Result<(), FolderError> {
        let kept = Kept {
            directory: directory.to_owned(),
            credentials,
        };
        let damaged = |error: serde_json::Error| {
            FolderError::Damaged(self.path.join(ACCOUNT), error.to_string())
        };
        let text = Zeroizing::new(serde_json::to_vec(&kept).map_err(damaged)?);
        self.replace(ACCOUNT, &text)
    }

    pub fn pair(&self) -> Result<Option<Pair>, FolderError> {
        let Some(bytes) = self.read(CERTIFICATE)? else {
            return Ok(None);
        };
        let damaged = |what: String| FolderError::Damaged(self.path.join(CERTIFICATE), what);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        let chain = chain.map_err(|error| damaged(error.to_string()))?;
        let key =
            PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let pair = Pair::new(chain, key).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(pair))
    }

    /// Keeps what was issued, and gives it as it will be read.
    pub fn keep_pair(&self, chain: &str, key: &str) -> Result<Pair, FolderError> {
        let whole = Zeroizing::new(format!("{}\n{}\n", key.trim_end(), chain.trim_end()));
        self.replace(CERTIFICATE, whole.as_bytes())?;
        let path = self.path.join(CERTIFICATE);
        self.pair()?
            .ok_or_else(|| FolderError::Damaged(path, "it is gone".to_owned()))
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, FolderError> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FolderError::Io(path, error)),
        }
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let failed = |error| FolderError::Io(path.clone(), error);
        // Such a file is made for its owner alone.
        let mut file = tempfile::NamedTempFile::new_in(&self.path).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_certificate_is_kept_for_its_owner_alone_and_a_damaged_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::open(&folder.path().join("acme")).unwrap();
        assert!(folder.pair().unwrap().is_none());
        let made = rcgen::generate_simple_self_signed(vec!["pool.example".to_owned()]).unwrap();
        let kept = folder.keep_pair(&made.cert.pem(), &made.signing_key.serialize_pem());
        assert_eq!(kept.unwrap().names, ["pool.example"]);
        let path = folder.path.join(CERTIFICATE);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&folder.path)), (0o600, 0o700));
        fs::write(&path, "torn").unwrap();
        let told = folder.pair().unwrap_err().to_string();
        assert!(told.contains("certificate.pem is damaged"), "{told}");
    }
}
