//! Why an instance's host key is not trusted: each text names the instance, the reason and what to do.

use std::io;
use std::path::PathBuf;

use crate::pool::Instance;
use crate::ssh::wire::keys::{KeyError, fingerprint};

/// The person only learns that the instance could not be reached; this goes to the operator's log.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    #[error(
        "the host key of {instance} ({address}) is not the pinned one: pinned {pinned}, shown {shown}. Either the machine \
         was set up anew, or something else answers at its address. If it was set up anew, delete the line that begins \
         with {instance} from {file}"
    )]
    Changed {
        instance: String,
        address: String,
        pinned: String,
        shown: String,
        file: PathBuf,
    },
    #[error(
        "the host key of {instance} ({address}) is not among those listed for it in {file}: shown {shown}. If it is the \
         right one, replace its lines by the output of: {keyscan}"
    )]
    OtherThanListed {
        instance: String,
        address: String,
        shown: String,
        file: PathBuf,
        keyscan: String,
    },
    #[error(
        "{file} lists no host key for {instance} ({address}), which shows {shown}. Compare that with the machine's own \
         (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then append the output of: {keyscan}"
    )]
    NotListed {
        instance: String,
        address: String,
        shown: String,
        file: PathBuf,
        keyscan: String,
    },
    #[error("the host key {shown} of {instance} is marked @revoked; give the machine a new one")]
    Revoked { instance: String, shown: String },
    #[error(
        "{instance} ({address}) shows a plain host key, not a certificate; sign its key with the host CA (ssh-keygen -s CA \
         -h -I NAME -n NAME KEY.pub) and name it in the machine's sshd_config as HostCertificate"
    )]
    NotCertified { instance: String, address: String },
    #[error("the host certificate of {instance} ({address}) is not valid: {reason}")]
    Certificate {
        instance: String,
        address: String,
        reason: CertificateFault,
    },
    #[error("pools.{pool}.ssh.instance_host_keys: {source}")]
    Setting { pool: String, source: Box<Self> },
    #[error(
        "{source}. Until that is set right, nobody gets on to the instances whose host keys are pinned at first use; without \
         the file each instance's next key is pinned, whoever shows it"
    )]
    Pins { source: Box<Self> },
    #[error("cannot use {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path}:{line}: {reason}")]
    Line {
        path: PathBuf,
        line: usize,
        reason: &'static str,
    },
    #[error("{path} holds more than {limit} {what}; remove what is no longer used")]
    TooMuch {
        path: PathBuf,
        limit: u64,
        what: &'static str,
    },
    #[error("pool {0:?} has no setting for its instances' host keys")]
    NoPool(String),
}

/// What is wrong with a host certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("it is a user certificate; sign host keys with ssh-keygen -h")]
    UserKind,
    #[error("its authority {0} is not a trusted one")]
    Authority(String),
    #[error("it is not valid at this time; sign the key again, and check both machines' clocks")]
    Time,
    #[error(
        "it names {names:?}, and neither {name:?} nor {address:?}; sign the key again with -n {name}"
    )]
    Principal {
        names: Vec<String>,
        name: String,
        address: String,
    },
    #[error("it has the critical option {0:?}, which means nothing for hosts")]
    CriticalOption(String),
    #[error("it or its authority is marked @revoked")]
    Revoked,
}

impl HostKeyError {
    pub(super) fn changed(instance: &Instance, pinned: &[u8], shown: &[u8], file: PathBuf) -> Self {
        Self::Changed {
            instance: instance.id.to_string(),
            address: address(instance),
            pinned: fingerprint(pinned),
            shown: fingerprint(shown),
            file,
        }
    }

    pub(super) fn other_than_listed(instance: &Instance, shown: &[u8], file: PathBuf) -> Self {
        Self::OtherThanListed {
            instance: instance.id.to_string(),
            address: address(instance),
            shown: fingerprint(shown),
            file,
            keyscan: keyscan(instance),
        }
    }

    pub(super) fn not_listed(instance: &Instance, shown: &[u8], file: PathBuf) -> Self {
        Self::NotListed {
            instance: instance.id.to_string(),
            address: address(instance),
            shown: fingerprint(shown),
            file,
            keyscan: keyscan(instance),
        }
    }

    pub(super) fn revoked(instance: &Instance, shown: &[u8]) -> Self {
        Self::Revoked {
            instance: instance.id.to_string(),
            shown: fingerprint(shown),
        }
    }

    pub(super) fn not_certified(instance: &Instance) -> Self {
        Self::NotCertified {
            instance: instance.id.to_string(),
            address: address(instance),
        }
    }

    pub(super) fn certificate(instance: &Instance, reason: CertificateFault) -> Self {
        Self::Certificate {
            instance: instance.id.to_string(),
            address: address(instance),
            reason,
        }
    }
}

fn keyscan(instance: &Instance) -> String {
    format!("ssh-keyscan -p {} {}", instance.ssh_port, instance.address)
}

/// `HOST:PORT`, an IPv6 host in brackets.
fn address(instance: &Instance) -> String {
    let (host, port) = (&instance.address, instance.ssh_port);
    if host.contains(':') {
        return format!("[{host}]:{port}");
    }
    format!("{host}:{port}")
}
