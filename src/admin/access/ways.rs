//! The ways in by which operators come over TCP, as configured: tokens, a provider of accounts, and what needs neither. A reload may
//! give others; who is in stays in, but for those whom a provider vouched for that is another now, or gives other roles.

use std::path::Path;
use std::sync::Arc;

use super::oidc::Oidc;
use super::tokens::Tokens;
use super::{Access, AccessFault};
use crate::config::{AdminConfig, OidcConfig};
use crate::files::{FileFaults, Look, Stamp};

pub(super) struct Ways {
    pub tokens: Option<Arc<Tokens>>,
    pub oidc: Option<Arc<Oidc>>,
    pub has_open_metrics: bool,
    /// Names under which browsers reach this side, beside this machine's own.
    pub hosts: Vec<String>,
    /// The file of the provider's authorities when it was read.
    authorities: Option<Stamp>,
}

/// What takes the place of what is there; dropped, it changes nothing.
pub struct NextWays(Ways);

impl Ways {
    /// Of a gate that nobody can log in to over TCP.
    pub fn closed() -> Self {
        Self {
            tokens: None,
            oidc: None,
            has_open_metrics: true,
            hosts: Vec::new(),
            authorities: None,
        }
    }

    /// `before`: what of it is configured alike is kept, with all it remembers.
    pub fn read(
        config: &AdminConfig,
        before: Option<&Self>,
        faults: &FileFaults,
    ) -> Result<Self, AccessFault> {
        let tokens = config.tokens_file.as_deref().map(|path| {
            let kept = before.and_then(|before| before.tokens.clone());
            match kept.filter(|tokens| tokens.path() == path) {
                Some(tokens) => Ok(tokens),
                None => Tokens::open(path, faults).map(Arc::new),
            }
        });
        let authorities = config
            .oidc
            .as_ref()
            .and_then(|oidc| oidc.ca_file.as_deref());
        let authorities = authorities.and_then(Stamp::at);
        let kept = before.filter(|before| before.authorities == authorities);
        let oidc = config.oidc.clone().map(|oidc| {
            let kept = kept.and_then(|before| before.oidc.clone());
            match kept.filter(|kept| *kept.config() == oidc) {
                Some(kept) => Ok(kept),
                None => Oidc::new(oidc).map(Arc::new),
            }
        });
        // Where the provider sends people back to.
        let of_provider = config.oidc.as_ref().and_then(OidcConfig::host);
        let hosts = config.hosts.iter().cloned();
        Ok(Self {
            tokens: tokens.transpose()?,
            oidc: oidc.transpose().map_err(AccessFault::Provider)?,
            has_open_metrics: config.has_open_metrics,
            hosts: hosts.chain(of_provider).collect(),
            authorities,
        })
    }

    /// Whether those whom the provider vouched for are by now who they were.
    fn vouches_as(&self, other: &Self) -> bool {
        let by = |ways: &Self| {
            let config = ways.oidc.as_ref().map(|oidc| oidc.config().clone());
            config.map(|config| {
                let claims = (config.name_claim, config.groups_claim);
                (config.issuer, config.client_id, claims, config.roles)
            })
        };
        by(self) == by(other)
    }
}

impl Access {
    /// Reads what these ways in need; nothing is changed yet.
    ///
    /// # Errors
    /// When the file of tokens is at fault, or nothing can judge the provider's certificate.
    pub fn prepare(&self, config: &AdminConfig) -> Result<NextWays, AccessFault> {
        let before = self.ways();
        Ways::read(config, Some(&before), &self.files).map(NextWays)
    }

    /// From here on people come in by these.
    pub fn change(&self, next: NextWays) {
        if !next.0.vouches_as(&self.ways()) {
            self.sessions.end_vouched();
        }
        if let Some(tokens) = &next.0.tokens {
            tokens.renew();
        }
        self.ways.set(Arc::new(next.0));
    }

    /// Whether anybody can log in over TCP.
    pub(super) fn has_way_in(&self) -> bool {
        let ways = self.ways();
        ways.tokens.is_some() || ways.oidc.is_some()
    }

    /// Whether browsers reach this side under this name, beside this machine's own.
    pub(in crate::admin) fn is_host(&self, name: &str) -> bool {
        let ways = self.ways();
        let mut hosts = ways.hosts.iter();
        hosts.any(|host| name.eq_ignore_ascii_case(host))
    }
}

/// # Errors
/// What is wrong with the file for a gate that runs as this account.
pub fn judge_tokens(path: &Path, account: u32) -> Result<(), super::TokensFault> {
    super::tokens::read_as(path, account).map(drop)
}
