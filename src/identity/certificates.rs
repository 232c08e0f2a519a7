//! Whether a person's own certificate lets them in, and with which rights: by an authority of the config, or by a
//! `cert-authority` line.
//!
//! The caller says that the authority is trusted; everything else is judged here, and the narrowest of certificate and
//! line counts. Stricter than sshd in one point, unless told otherwise: a certificate without principals is nobody's, wherever its
//! authority is listed. Deliberately absent: revocation, and the proof that the person holds the key.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::authorized_keys::{self, AuthorizedLine, KeyLine, Refusal, from};
use super::options::Options;
use super::principals::PrincipalLine;
use super::restrictions::Restrictions;
use crate::ssh::wire::keys::{Certificate, CertificateKind, KeyError};

/// Whose certificates a person may use.
pub enum Principals<'a> {
    /// Those for their login name.
    Name,
    /// Those for one of the principals that a file of theirs lists.
    Listed(Vec<&'a PrincipalLine>),
}

/// Why a certificate of a trusted authority lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    #[error("it is a host's certificate")]
    Host,
    #[error("it names no principals, so it is nobody's; sign one with: ssh-keygen -n NAME")]
    NoPrincipals,
    #[error("none of its principals is {0}")]
    Principal(String),
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("it has expired")]
    Expired,
    #[error("its critical option {0:?} is not known")]
    CriticalOption(String),
    #[error("its option {0} has a value that is not understood")]
    Value(&'static str),
    #[error("its source-address does not list the client's address")]
    SourceAddress,
    #[error("the certificate and the line force different commands")]
    ContradictingCommands,
    #[error(transparent)]
    Line(#[from] Refusal),
    #[error("its authority's signature: {0}")]
    Signature(#[from] KeyError),
}

/// By an authority that the config trusts for everybody.
pub fn judge(
    certificate: &Arc<Certificate>,
    principals: &Principals<'_>,
    user: &str,
    client: IpAddr,
    now: SystemTime,
) -> Result<AuthorizedLine, CertificateRefusal> {
    let rights = Rights::of(certificate, client, now)?;
    require_any_principal(certificate)?;
    match principals {
        Principals::Name => {
            require_principal(certificate, |principal| principal == user, user)?;
            // No line, so nothing that could ask for a touch the certificate does without.
            let open = Options {
                is_touch_required: false,
                ..Options::default()
            };
            rights.narrowed_by(&open, certificate, user)
        }
        Principals::Listed(lines) => {
            let is_listed =
                |line: &&&PrincipalLine| certificate.principals.contains(&line.principal);
            let mut refusal = CertificateRefusal::Principal(format!("listed for {user}"));
            for line in lines.iter().filter(is_listed) {
                let judged = authorized_keys::judge_conditions(&line.options, client, now)
                    .map_err(CertificateRefusal::from)
                    .and_then(|()| rights.narrowed_by(&line.options, certificate, user));
                match judged {
                    Ok(found) => return Ok(found),
                    Err(reason) => refusal = reason,
                }
            }
            Err(refusal)
        }
    }
}

/// By the authority of a person's own `cert-authority` line.
/// `unnamed_is_anybodys`: so a certificate without principals is there.
pub fn judge_by_line(
    certificate: &Arc<Certificate>,
    line: &KeyLine,
    unnamed_is_anybodys: bool,
    user: &str,
    client: IpAddr,
    now: SystemTime,
) -> Result<AuthorizedLine, CertificateRefusal> {
    let rights = Rights::of(certificate, client, now)?;
    match &line.options.principals {
        None if unnamed_is_anybodys && certificate.principals.is_empty() => {}
        None => {
            require_any_principal(certificate)?;
            require_principal(certificate, |principal| principal == user, user)?;
        }
        Some(listed) => {
            require_any_principal(certificate)?;
            let is_listed = |principal: &str| listed.iter().any(|one| one == principal);
            require_principal(certificate, is_listed, "in principals=")?;
        }
    }
    authorized_keys::judge_conditions(&line.options, client, now)?;
    rights.narrowed_by(&line.options, certificate, user)
}

fn require_any_principal(certificate: &Certificate) -> Result<(), CertificateRefusal> {
    match certificate.principals.iter().all(String::is_empty) {
        true => Err(CertificateRefusal::NoPrincipals),
        false => Ok(()),
    }
}

/// Each name is compared as a whole: a comma or a star in it is a character like any other.
fn require_principal(
    certificate: &Certificate,
    fits: impl Fn(&str) -> bool,
    wanted: &str,
) -> Result<(), CertificateRefusal> {
    if certificate.principals.iter().any(|name| fits(name)) {
        return Ok(());
    }
    Err(CertificateRefusal::Principal(wanted.to_owned()))
}

/// What the certificate itself allows.
struct Rights {
    restrictions: Restrictions,
    is_touch_required: bool,
    is_verification_required: bool,
}

impl Rights {
    fn of(
        certificate: &Certificate,
        client: IpAddr,
        now: SystemTime,
    ) -> Result<Self, CertificateRefusal> {
        if certificate.kind != CertificateKind::User {
            return Err(CertificateRefusal::Host);
        }
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        if certificate.valid_after > since.as_secs() {
            return Err(CertificateRefusal::NotYetValid);
        }
        if !certificate.is_valid_at(since.as_secs()) {
            return Err(CertificateRefusal::Expired);
        }
        let mut rights = Self {
            restrictions: Restrictions {
                permit_pty: false,
                permit_agent_forwarding: false,
                permit_x11_forwarding: false,
                permit_port_forwarding: false,
                permit_user_rc: false,
                // One too far away for the clock never comes.
                not_after: UNIX_EPOCH.checked_add(Duration::from_secs(certificate.valid_before)),
                ..Restrictions::unrestricted()
            },
            is_touch_required: true,
            is_verification_required: false,
        };
        for (name, value) in &certificate.critical_options {
            rights.obey(name, value, client)?;
        }
        for (name, value) in &certificate.extensions {
            rights.extend(name, value)?;
        }
        // Last, because it costs the most.
        certificate.verify_signature()?;
        Ok(rights)
    }

    fn obey(&mut self, name: &str, value: &[u8], client: IpAddr) -> Result<(), CertificateRefusal> {
        let text = std::str::from_utf8(value).ok();
        let text = text.filter(|text| !text.is_empty() && !text.contains('\0'));
        match name {
            "force-command" => {
                let command = text.ok_or(CertificateRefusal::Value("force-command"))?;
                self.restrictions.force_command = Some(command.to_owned());
            }
            "source-address" => {
                let refusal = CertificateRefusal::Value("source-address");
                let networks = text.ok_or(refusal.clone())?;
                match from::is_in_networks(networks, client) {
                    Some(true) => {}
                    Some(false) => return Err(CertificateRefusal::SourceAddress),
                    None => return Err(refusal),
                }
            }
            "verify-required" if value.is_empty() => self.is_verification_required = true,
            "verify-required" => return Err(CertificateRefusal::Value("verify-required")),
            other => {
                let shown = other.chars().take(64).collect();
                return Err(CertificateRefusal::CriticalOption(shown));
            }
        }
        Ok(())
    }

    /// An extension nobody knows allows nothing.
    fn extend(&mut self, name: &str, value: &[u8]) -> Result<(), CertificateRefusal> {
        let limits = &mut self.restrictions;
        let (name, right) = match name {
            "permit-X11-forwarding" => ("permit-X11-forwarding", &mut limits.permit_x11_forwarding),
            "permit-agent-forwarding" => (
                "permit-agent-forwarding",
                &mut limits.permit_agent_forwarding,
            ),
            "permit-port-forwarding" => {
                ("permit-port-forwarding", &mut limits.permit_port_forwarding)
            }
            "permit-pty" => ("permit-pty", &mut limits.permit_pty),
            "permit-user-rc" => ("permit-user-rc", &mut limits.permit_user_rc),
            "no-touch-required" => {
                self.is_touch_required = false;
                return Ok(());
            }
            _ => return Ok(()),
        };
        if !value.is_empty() {
            return Err(CertificateRefusal::Value(name));
        }
        *right = true;
        Ok(())
    }

    /// What certificate and line both allow.
    fn narrowed_by(
        &self,
        options: &Options,
        certificate: &Arc<Certificate>,
        user: &str,
    ) -> Result<AuthorizedLine, CertificateRefusal> {
        let restrictions = self.restrictions.intersect(&options.restrictions);
        let restrictions = restrictions.ok_or(CertificateRefusal::ContradictingCommands)?;
        Ok(AuthorizedLine::certified(
            user,
            certificate.clone(),
            restrictions,
            self.is_touch_required || options.is_touch_required,
            self.is_verification_required || options.is_verification_required,
        ))
    }
}

#[cfg(test)]
mod tests;
