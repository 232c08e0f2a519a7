//! Whether a demo instance admits a person: only with a user certificate that its pool's CA signed.
//!
//! russh has checked that the person holds the key and that the certificate's signature matches the CA key *inside* it.
//! Which CA is trusted, for whom the certificate is and what it allows is checked here, as sshd does (OpenSSH's
//! PROTOCOL.certkeys).

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, HashAlg};

/// What a certificate lets its holder do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// Run in place of whatever was asked for.
    pub force_command: Option<String>,
    pub pty: bool,
    pub port_forwarding: bool,
}

/// Why a certificate admits nobody.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the certificate is signed by another authority than this pool's")]
    OtherAuthority,
    #[error("it is no user certificate")]
    NotForUsers,
    #[error("it is not for the user {0}")]
    OtherUser(String),
    #[error("it is not valid at this time, or its signature is wrong")]
    Invalid,
    #[error("it holds the critical option {0}, which is not understood here")]
    UnknownOption(String),
}

/// Checks `certificate` for a login as `user` at the time `now`.
///
/// # Errors
/// The first reason that speaks against it. An empty list of principals means nobody, not everybody.
pub fn check(
    certificate: &Certificate,
    authority: &KeyData,
    user: &str,
    now: SystemTime,
) -> Result<Permissions, Denied> {
    if certificate.signature_key() != authority {
        return Err(Denied::OtherAuthority);
    }
    if certificate.cert_type() != CertType::User {
        return Err(Denied::NotForUsers);
    }
    if !certificate.valid_principals().iter().any(|p| p == user) {
        return Err(Denied::OtherUser(user.into()));
    }
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    certificate
        .validate_at(seconds, [&authority.fingerprint(HashAlg::Sha256)])
        .map_err(|_| Denied::Invalid)?;

    let mut permissions = Permissions::default();
    for (option, value) in certificate.critical_options().iter() {
        match option.as_str() {
            "force-command" => permissions.force_command = Some(value.clone()),
            other => return Err(Denied::UnknownOption(other.into())),
        }
    }
    let extensions = certificate.extensions();
    permissions.pty = extensions.contains_key("permit-pty");
    permissions.port_forwarding = extensions.contains_key("permit-port-forwarding");
    Ok(permissions)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use russh::keys::key::safe_rng;
    use russh::keys::ssh_key::certificate::Builder;
    use russh::keys::{Algorithm, PrivateKey};

    use super::*;

    pub fn new_key() -> PrivateKey {
        PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
    }

    /// A certificate as the gate makes them, changed by `alter` before it is signed.
    pub fn issue(
        key: &PrivateKey,
        authority: &PrivateKey,
        user: &str,
        alter: impl FnOnce(&mut Builder),
    ) -> Certificate {
        let now = SystemTime::now();
        let (from, to) = (
            now - Duration::from_secs(60),
            now + Duration::from_secs(300),
        );
        let subject = key.public_key().key_data().clone();
        let mut builder = Builder::new_with_validity_times(vec![7; 16], subject, from, to).unwrap();
        builder.valid_principal(user).unwrap();
        builder.extension("permit-pty", "").unwrap();
        builder.extension("permit-port-forwarding", "").unwrap();
        alter(&mut builder);
        // Refused where `alter` has chosen another type.
        let _ = builder.cert_type(CertType::User);
        builder.sign(authority).unwrap()
    }

    fn verdict(
        signer: &PrivateKey,
        trusted: &PrivateKey,
        user: &str,
        alter: impl FnOnce(&mut Builder),
    ) -> Result<Permissions, Denied> {
        let certificate = issue(&new_key(), signer, "ada", alter);
        let authority = trusted.public_key().key_data();
        check(&certificate, authority, user, SystemTime::now())
    }

    #[test]
    fn a_certificate_of_the_pool_admits_its_principal_only() {
        let ca = new_key();
        let admitted = verdict(&ca, &ca, "ada", |_| {}).unwrap();
        assert!(admitted.pty && admitted.port_forwarding);
        assert_eq!(
            verdict(&ca, &ca, "eve", |_| {}),
            Err(Denied::OtherUser("eve".into()))
        );
        assert_eq!(
            verdict(&new_key(), &ca, "ada", |_| {}),
            Err(Denied::OtherAuthority)
        );
    }

    #[test]
    fn host_certificates_and_unknown_critical_options_are_refused() {
        let ca = new_key();
        let host = verdict(&ca, &ca, "ada", |b| {
            b.cert_type(CertType::Host).unwrap();
        });
        assert_eq!(host, Err(Denied::NotForUsers));
        let strange = verdict(&ca, &ca, "ada", |b| {
            b.critical_option("verify-required", "").unwrap();
        });
        assert_eq!(
            strange,
            Err(Denied::UnknownOption("verify-required".into()))
        );
        let forced = verdict(&ca, &ca, "ada", |b| {
            b.critical_option("force-command", "date").unwrap();
        });
        assert_eq!(forced.unwrap().force_command.as_deref(), Some("date"));
    }

    #[test]
    fn validity_is_from_the_first_second_to_before_the_last() {
        let (ca, key) = (new_key(), new_key());
        let certificate = issue(&key, &ca, "ada", |_| {});
        let at = |seconds| {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            check(&certificate, ca.public_key().key_data(), "ada", now).is_ok()
        };
        let (after, before) = (certificate.valid_after(), certificate.valid_before());
        assert!(at(after) && at(before - 1));
        assert!(!at(after - 1) && !at(before));
    }
}
