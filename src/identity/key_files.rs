//! Finds out whether a key or a certificate lets somebody in: asks the revoked keys, the trusted authorities, the person's
//! `authorized_keys` and the operator's command, in this order.
//!
//! Refusals go to the operator's log with their reason; whoever knocks hears nothing of them. A person with keys, one
//! without and a name nobody has take the same path. Deliberately absent: signatures of people (`ssh::wire`).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::authorized_keys::{self, AuthorizedLine, KeyLine};
use super::certificates::{self, Principals};
use super::grant::Offered;
use super::keys_command::KeysCommand;
use super::operator_file::{self, FileError};
use super::person_files::{Line, Listing, PersonFiles, is_plain_name};
use super::principals::PrincipalLine;
use super::revocation::Revoked;
use crate::files::{FileFaults, Followed, Look};
use crate::ssh::wire::keys::Certificate;

pub use super::person_files::{Absence, PatternError};

mod looked;

pub use looked::{Inspected, ListedKey, inspect};

const AUTHORITIES: &str = "ssh.auth.trusted_user_ca_keys";
const REVOKED: &str = "ssh.auth.revoked_keys";
const NO_LIST: &str = "no key logs anybody in until then";

/// Where to look; each may be empty.
#[derive(Default)]
pub struct KeySources {
    /// Patterns of `authorized_keys` files.
    pub authorized_keys: Vec<String>,
    /// Files with the public keys of authorities whose certificates let people in.
    pub trusted_user_ca_keys: Vec<PathBuf>,
    /// Patterns of files with the principals a person answers to; without one, their own name alone.
    pub authorized_principals: Vec<String>,
    /// Whether a certificate without principals is anybody's on a person's own `cert-authority` line.
    pub unnamed_is_anybodys: bool,
    pub revoked_keys: Option<PathBuf>,
    pub command: Option<KeysCommand>,
}

/// Why the gate cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("ssh.auth.trusted_user_ca_keys: {0}")]
    Authority(FileError),
}

/// Who may log in with which key.
pub struct KeyFinder {
    files: PersonFiles<KeyLine>,
    authorities: Vec<Arc<Followed<Vec<Vec<u8>>>>>,
    principals: PersonFiles<PrincipalLine>,
    unnamed_is_anybodys: bool,
    /// `None` in it is a list that never was of use.
    revoked: Option<Arc<Followed<Option<Revoked>>>>,
    command: Option<KeysCommand>,
}

impl KeyFinder {
    /// Blocking: the authorities' files must be of use to begin with. What `before` holds of the same files is held here too, and so
    /// outlives content that is of no use.
    pub fn new(
        sources: KeySources,
        before: Option<&Self>,
        faults: &FileFaults,
    ) -> Result<Self, SourceError> {
        let authorities = sources.trusted_user_ca_keys.iter().map(|path| {
            let before = before.map(|before| before.authorities.as_slice());
            match kept(before.unwrap_or_default(), path) {
                Some(file) => Ok(file),
                None => {
                    let parse = authorized_keys::parse_plain_list;
                    operator_file::open(AUTHORITIES, path, parse, faults)
                        .map_err(SourceError::Authority)
                }
            }
        });
        let revoked = sources.revoked_keys.as_deref().map(|path| {
            let before = before.and_then(|before| before.revoked.as_ref());
            let before = before.map(std::slice::from_ref).unwrap_or_default();
            let open = || {
                let parse = Revoked::parse;
                operator_file::open_if_sound(REVOKED, path, parse, NO_LIST, faults)
            };
            kept(before, path).unwrap_or_else(open)
        });
        Ok(Self {
            files: PersonFiles::new(&sources.authorized_keys)?,
            authorities: authorities.collect::<Result<_, SourceError>>()?,
            principals: PersonFiles::new(&sources.authorized_principals)?,
            unnamed_is_anybodys: sources.unnamed_is_anybodys,
            revoked,
            command: sources.command,
        })
    }

    /// What is to be looked at from time to time.
    pub fn followed(&self) -> Vec<Arc<dyn Look>> {
        let authorities = self.authorities.iter().cloned();
        let mut all: Vec<Arc<dyn Look>> = authorities.map(|file| file as _).collect();
        all.extend(self.revoked.clone().map(|file| file as Arc<dyn Look>));
        all
    }

    /// What lets this key's owner in as `user`, if anything does. The same question for a key that is only offered and
    /// for one that signed: what differs is what the caller may do with the answer.
    pub async fn authorize(
        &self,
        offered: &Offered,
        client: IpAddr,
        now: SystemTime,
    ) -> Option<AuthorizedLine> {
        let user = &*offered.user;
        if !is_plain_name(user) || self.is_revoked(offered) {
            return None;
        }
        let asker = Asker {
            offered,
            client,
            now,
            unnamed_is_anybodys: self.unnamed_is_anybodys,
        };
        if let Some(certificate) = &offered.certificate
            && let Some(found) = self.by_authority(&asker, certificate).await
        {
            return Some(found);
        }
        let files = self.files.of(user).await;
        if let Some(found) = files.iter().find_map(|file| asker.find(file)) {
            return Some(found);
        }
        let command = self.command.as_ref()?;
        let text = command.ask(offered).await?;
        asker.find(&Listing::parse(command.program().into(), user, &text))
    }

    /// A list that never was of use revokes everything: who was locked out must not come back in by a broken disk.
    fn is_revoked(&self, offered: &Offered) -> bool {
        let Some(file) = &self.revoked else {
            return false;
        };
        let list = file.current();
        let Some(revoked) = list.as_ref() else {
            tracing::error!(
                user = %offered.user,
                file = %file.path().display(),
                "ssh.auth.revoked_keys cannot be read, so every key is refused"
            );
            return true;
        };
        let certificate = offered.certificate.as_deref();
        let reason = revoked.reason(&offered.key_blob, certificate);
        if let Some(reason) = reason {
            tracing::info!(user = %offered.user, reason, "a revoked key was shown");
        }
        reason.is_some()
    }

    /// By the authorities of the config, for the person's principals.
    async fn by_authority(
        &self,
        asker: &Asker<'_>,
        certificate: &Arc<Certificate>,
    ) -> Option<AuthorizedLine> {
        if !self.is_trusted(certificate) {
            return None;
        }
        let user = &asker.offered.user;
        let files = self.principals.of(user).await;
        let lines;
        let principals = if self.principals.is_configured() {
            lines = files.iter().flat_map(|file| &file.lines).collect();
            Principals::Listed(lines)
        } else {
            Principals::Name
        };
        let found = certificates::judge(certificate, &principals, user, asker.client, asker.now);
        found
            .inspect_err(|reason| {
                tracing::info!(user = %user, key_id = certificate.key_id, serial = certificate.serial, %reason, "certificate of a trusted authority refused");
            })
            .ok()
    }

    fn is_trusted(&self, certificate: &Certificate) -> bool {
        let mut lists = self.authorities.iter();
        lists.any(|file| file.current().contains(&certificate.ca_blob))
    }
}

/// # Errors
/// Why this file of authorities would let nobody in at a gate that runs as this account.
pub fn judge_authorities(path: &Path, account: u32) -> Result<(), FileError> {
    operator_file::judge(path, authorized_keys::parse_plain_list, account)
}

/// # Errors
/// Why this list of revoked keys would be of no use to a gate that runs as this account.
pub fn judge_revoked(path: &Path, account: u32) -> Result<(), FileError> {
    operator_file::judge(path, Revoked::parse, account)
}

/// The file of this path, if it is held already.
fn kept<T>(held: &[Arc<Followed<T>>], path: &Path) -> Option<Arc<Followed<T>>> {
    held.iter().find(|file| file.path() == path).cloned()
}

/// Who asks, with what, from where and when.
struct Asker<'a> {
    offered: &'a Offered,
    client: IpAddr,
    now: SystemTime,
    unnamed_is_anybodys: bool,
}

impl Asker<'_> {
    /// The first line that lists the key, or the authority of the certificate, and whose conditions hold.
    fn find(&self, file: &Listing<KeyLine>) -> Option<AuthorizedLine> {
        file.lines.iter().find_map(|line| match self.judge(line) {
            Ok(found) => found,
            Err(reason) => {
                let (user, path, line) = (&self.offered.user, file.path.display(), line.number);
                tracing::info!(user = %user, file = %path, line, %reason, "listed key refused");
                None
            }
        })
    }

    /// `None` for a line about another key.
    fn judge(&self, line: &KeyLine) -> Result<Option<AuthorizedLine>, String> {
        let Offered {
            user,
            key_blob,
            certificate,
        } = self.offered;
        match certificate {
            None if line.key_blob == *key_blob => {
                let found = authorized_keys::judge(line, user, self.client, self.now);
                found.map(Some).map_err(|reason| reason.to_string())
            }
            // A plain line says nothing of certificates: their own limits would be lost.
            Some(certificate)
                if line.options.is_cert_authority && line.key_blob == certificate.ca_blob =>
            {
                let found = certificates::judge_by_line(
                    certificate,
                    line,
                    self.unnamed_is_anybodys,
                    user,
                    self.client,
                    self.now,
                );
                found.map(Some).map_err(|reason| reason.to_string())
            }
            _ => Ok(None),
        }
    }
}

impl Line for KeyLine {
    fn parse_file(text: &[u8]) -> (Vec<Self>, Vec<(usize, String)>) {
        let parsed = authorized_keys::parse(text);
        let skipped = parsed.skipped.into_iter();
        let skipped = skipped.map(|(line, reason)| (line, reason.to_string()));
        (parsed.lines, skipped.collect())
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key_blob.len() + self.options.bytes()
    }
}

#[cfg(test)]
mod tests;
