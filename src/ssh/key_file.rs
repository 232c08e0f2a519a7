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
    #[error(
        "{purpose}: {path} may not be read by this account (uid {account}), which the gate runs as; as root run: chown {account} {path}"
    )]
    Forbidden {
        purpose: &'static str,
        path: PathBuf,
        account: u32,
    },
    #[error("{purpose}: cannot read {path}: {source}; name a file with a private key")]
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
        "{purpose}: {path} is a certificate; name the private key that it is for, usually the path without -cert.pub{}",
        place_of_certificate(purpose)
    )]
    Certificate {
        purpose: &'static str,
        path: PathBuf,
    },
    #[error(
        "{purpose}: {path} is protected by a passphrase, and nobody is there to type it when a gate starts; take it off, and keep the file from \
         others by its mode, run: ssh-keygen -p -N '' -f {path}"
    )]
    Encrypted {
        purpose: &'static str,
        path: PathBuf,
    },
    #[error(
        "{purpose}: {path} is a private key in another form than OpenSSH's; to have it written in that, run: {convert}"
    )]
    Foreign {
        purpose: &'static str,
        path: PathBuf,
        convert: String,
    },
    #[error(
        "{purpose}: {path} is not usable: {source}; put the key back from a copy, or make another one, after which {}: \
         rm {path}; ssh-keygen -t ed25519 -f {path} -N ''",
        cost_of_another(purpose)
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
    match public_half(text) {
        Some(Public::Key) => return Err(KeyFileError::Public { purpose, path }),
        Some(Public::Certificate) => return Err(KeyFileError::Certificate { purpose, path }),
        None => {}
    }
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed {
            purpose,
            path,
            mode,
        });
    }
    if let Some(convert) = conversion(text, &path) {
        return Err(KeyFileError::Foreign {
            purpose,
            path,
            convert,
        });
    }
    PrivateKey::from_openssh(text).map_err(|source| match source {
        KeyError::Encrypted => KeyFileError::Encrypted { purpose, path },
        source => KeyFileError::Unusable {
            purpose,
            path,
            source,
        },
    })
}

enum Public {
    Key,
    Certificate,
}

/// What the file of a public half begins with.
fn public_half(text: &str) -> Option<Public> {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_type = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|kind| first.starts_with(kind));
    if is_type && first.contains("-cert-v01@") {
        return Some(Public::Certificate);
    }
    let is_public = is_type
        || text.starts_with("---- BEGIN SSH2 PUBLIC KEY")
        || text.starts_with("-----BEGIN PUBLIC KEY");
    is_public.then_some(Public::Key)
}

/// The command that makes a file of OpenSSH's out of one of another program's.
fn conversion(text: &str, path: &Path) -> Option<String> {
    let path = path.display();
    if text.starts_with("PuTTY-User-Key-File-") {
        return Some(format!(
            "puttygen {path} -O private-openssh-new -o {path}.openssh"
        ));
    }
    let is_pem = text.starts_with("-----BEGIN ")
        && text.contains("PRIVATE KEY-----")
        && !text.contains("OPENSSH PRIVATE KEY");
    is_pem.then(|| format!("ssh-keygen -p -N '' -f {path}"))
}

fn place_of_certificate(purpose: &str) -> &'static str {
    match purpose {
        "ssh.host_keys" => ", and the certificate in ssh.host_certificates",
        _ => "",
    }
}

fn cost_of_another(purpose: &str) -> &'static str {
    match purpose {
        "ssh.user_ca" => "every instance must be given its public half (TrustedUserCAKeys)",
        _ => "people's clients warn of a changed host key",
    }
}

fn unreadable(purpose: &'static str, path: &Path, source: io::Error) -> KeyFileError {
    let path = path.to_path_buf();
    if source.kind() == io::ErrorKind::NotFound {
        return KeyFileError::Absent { purpose, path };
    }
    if source.kind() == io::ErrorKind::PermissionDenied {
        let account = nix::unistd::geteuid().as_raw();
        return KeyFileError::Forbidden {
            purpose,
            path,
            account,
        };
    }
    KeyFileError::Unreadable {
        purpose,
        path,
        source,
    }
}
