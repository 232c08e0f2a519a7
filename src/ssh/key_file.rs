//! Loads a private key the gate signs with, or says in one line what is wrong with its file and how to set it right.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::wire::keys::{KeyError, PrivateKey};
use crate::config::read_regular;

/// The largest RSA key's file is about 6 KiB.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What is wrong with the file of a private key; `purpose` is its config key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("{purpose}: {path} does not exist; make one: ssh-keygen -t ed25519 -f {path} -N ''")]
    Absent {
        purpose: &'static str,
        path: PathBuf,
    },
    #[error("{purpose}: cannot read {path}: {source}; the gate's account needs to read it")]
    Unreadable {
        purpose: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "{purpose}: {path} is a private key that others on this machine can read (mode {mode:03o}); run: chmod 600 {path}"
    )]
    Exposed {
        purpose: &'static str,
        path: PathBuf,
        mode: u32,
    },
    #[error(
        "{purpose}: {path} is a public key; name the private one, usually the path without .pub"
    )]
    Public {
        purpose: &'static str,
        path: PathBuf,
    },
    #[error(
        "{purpose}: {path} is not usable: {source}; make one that is: ssh-keygen -t ed25519 -f {path} -N ''"
    )]
    Unusable {
        purpose: &'static str,
        path: PathBuf,
        source: KeyError,
    },
    #[error(
        "{purpose}: no file is named; make a key: ssh-keygen -t ed25519 -f /etc/poolgate/ssh_host_ed25519_key -N ''"
    )]
    NoneNamed { purpose: &'static str },
    #[error("{purpose}: {path} is a key of the same kind as {other}; name one of them only")]
    SameKind {
        purpose: &'static str,
        path: PathBuf,
        other: PathBuf,
    },
}

/// Reads an unencrypted OpenSSH private key that nobody but its owner can read.
pub(super) fn load(purpose: &'static str, path: &Path) -> Result<PrivateKey, KeyFileError> {
    let found = std::fs::metadata(path).map_err(|source| unreadable(purpose, path, source))?;
    let mode = found.permissions().mode() & 0o777;
    let bytes = read_regular(path, FILE_BYTES_MAX);
    let bytes = bytes.map_err(|source| unreadable(purpose, path, source))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        let what = io::Error::new(io::ErrorKind::InvalidData, "it is not text");
        unreadable(purpose, path, what)
    })?;
    // Looked at before the mode: a public key may be readable, and the advice must be the right one.
    let path = path.to_path_buf();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") {
        return Err(KeyFileError::Public { purpose, path });
    }
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            purpose,
            path,
            mode,
        });
    }
    PrivateKey::from_openssh(text).map_err(|source| KeyFileError::Unusable {
        purpose,
        path,
        source,
    })
}

fn unreadable(purpose: &'static str, path: &Path, source: io::Error) -> KeyFileError {
    let path = path.to_path_buf();
    if source.kind() == io::ErrorKind::NotFound {
        return KeyFileError::Absent { purpose, path };
    }
    KeyFileError::Unreadable {
        purpose,
        path,
        source,
    }
}
