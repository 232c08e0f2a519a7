//! Who may ask the admin side what. The socket is its owner's; over TCP a token or a session is needed for everything but
//! signs of life, and each costs its source something when it is wrong.
//!
//! `guard` stands before every route; `roles` is the table of routes. Nothing here knows what the routes do.

mod cookies;
mod guard;
mod login;
mod oidc;
mod page;
mod roles;
mod sessions;
mod tokens;
mod ways;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Link, Via};
use crate::config::{AdminConfig, PenaltiesConfig};
use crate::files::{FileFaults, Look};
use crate::net::current::Current;
use crate::net::penalties::{Offence, Penalties};
use crate::telemetry::audit::{AuditEvent, AuditLog};
use crate::telemetry::metrics::Metrics;

pub(super) use guard::guard;
pub(super) use login::router as login_router;
pub use oidc::ask as ask_provider;
pub use roles::Role;
pub(super) use roles::{Needs, ROUTES};
use sessions::{Sessions, Whose};
use tokens::Holder;
pub use tokens::{NewToken, TokensFault, new_token};
use ways::Ways;
pub use ways::{NextWays, judge_tokens};

/// Sources whose penalties are remembered; beyond it the lightest is forgotten.
const SOURCES_MAX: usize = 4096;
/// A token that was taken out of its file works no longer than two of these.
const REFRESH: Duration = Duration::from_millis(500);

/// The ways in, and who is in.
pub struct Access {
    ways: Arc<Current<Ways>>,
    sessions: Sessions,
    penalties: Mutex<Penalties>,
    files: FileFaults,
    audit: AuditLog,
    metrics: Metrics,
}

/// Why nobody could be let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessFault {
    #[error("admin.tokens_file: {0}")]
    Tokens(#[from] TokensFault),
    #[error("admin.oidc: {0}")]
    Provider(String),
}

/// Why somebody is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Denied {
    /// Nobody can log in over TCP.
    Closed,
    Nobody,
    /// Their session has ended.
    Over,
    Wrong,
    /// They have tried too often.
    Wait(Duration),
}

impl Access {
    /// # Errors
    /// When the file of tokens is at fault, or nothing can judge the provider's certificate.
    pub fn open(
        config: &AdminConfig,
        audit: AuditLog,
        metrics: Metrics,
        files: FileFaults,
    ) -> Result<Self, AccessFault> {
        let ways = Ways::read(config, None, &files)?;
        Ok(Self {
            ways: Current::new(Arc::new(ways)),
            files,
            ..Self::closed(audit, metrics)
        })
    }

    /// Of a gate that nobody can log in to over TCP.
    pub fn closed(audit: AuditLog, metrics: Metrics) -> Self {
        let rules = PenaltiesConfig {
            max_sources: SOURCES_MAX,
            ..PenaltiesConfig::default()
        };
        Self {
            ways: Current::new(Arc::new(Ways::closed())),
            sessions: Sessions::default(),
            penalties: Mutex::new(Penalties::new(rules)),
            files: FileFaults::default(),
            audit,
            metrics,
        }
    }

    /// Follows the file of tokens.
    pub(super) async fn keep(self: Arc<Self>, ending: CancellationToken) {
        let rounds = async {
            loop {
                tokio::time::sleep(REFRESH).await;
                if let Some(tokens) = self.ways().tokens.clone() {
                    drop(tokio::task::spawn_blocking(move || tokens.look()).await);
                }
            }
        };
        ending.run_until_cancelled(rounds).await;
    }

    /// Those of this moment.
    fn ways(&self) -> Arc<Ways> {
        self.ways.get()
    }

    fn identify(&self, link: &Link, headers: &HeaderMap) -> Result<Caller, Denied> {
        let (peer, is_tls) = match *link {
            Link::Socket { uid } => return Ok(Caller::on_socket(uid)),
            Link::Tcp { peer, is_tls, .. } => (peer, is_tls),
        };
        if !self.has_way_in() {
            return Err(Denied::Closed);
        }
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let token = shown.to_str().ok().and_then(bearer);
            let holder = self.holder_of(token.unwrap_or_default(), peer)?;
            return Ok(Caller::named(holder.name, holder.role, Via::Bearer, peer));
        }
        let now = Instant::now();
        let mut denied = Denied::Nobody;
        for value in cookies::session_values(headers, is_tls) {
            if let Some(caller) = self.caller_of(value, peer, now) {
                return Ok(caller);
            }
            denied = Denied::Over;
        }
        Err(denied)
    }

    /// Whose token it is, at the price of a wrong one.
    fn holder_of(&self, token: &str, peer: SocketAddr) -> Result<Holder, Denied> {
        // Before the token is looked at: who guesses learns nothing by going on.
        self.may_try(peer)?;
        let ways = self.ways();
        let found = ways.tokens.as_ref().and_then(|tokens| tokens.find(token));
        found.ok_or_else(|| {
            self.charge(peer, Offence::AuthFail);
            self.refuse(peer, "no token of admin.tokens_file");
            Denied::Wrong
        })
    }

    fn may_try(&self, peer: SocketAddr) -> Result<(), Denied> {
        let wait = self.penalties().wait(peer.ip(), Instant::now());
        wait.map_or(Ok(()), |wait| {
            self.metrics.count_admin_login("limited");
            Err(Denied::Wait(wait))
        })
    }

    fn charge(&self, peer: SocketAddr, offence: Offence) {
        self.penalties().charge(peer.ip(), offence, Instant::now());
    }

    fn caller_of(&self, cookie: &str, peer: SocketAddr, now: Instant) -> Option<Caller> {
        let found = self.sessions.find(cookie, now)?;
        let (name, role) = self.who_is(&found.whose)?;
        let via = Via::Session { csrf: found.csrf };
        Some(Caller::named(name, role, via, peer))
    }

    /// Name and role by now; `None` for a token that is gone.
    fn who_is(&self, whose: &Whose) -> Option<(Arc<str>, Role)> {
        match whose {
            Whose::Token(hash) => {
                let holder = self.ways().tokens.as_ref()?.find_hash(hash)?;
                Some((holder.name, holder.role))
            }
            Whose::Person(person) => Some((person.name.as_str().into(), person.role)),
        }
    }

    /// Begins a session and returns what its cookie is to hold; `None` where the system has no randomness. `way`: how they
    /// showed who they are.
    fn admit(&self, whose: Whose, way: &'static str, peer: SocketAddr) -> Option<String> {
        let (name, role) = self.who_is(&whose)?;
        let cookie = self.sessions.begin(whose, Instant::now())?;
        self.metrics.count_admin_login("admitted");
        tracing::info!(by = %name, role = role.name(), way, %peer, "somebody logged in on the admin side");
        self.audit.write(&AuditEvent::AdminLogin {
            by: name.to_string(),
            role: role.name(),
            way,
            peer,
        });
        Some(cookie)
    }

    fn refuse(&self, peer: SocketAddr, cause: &str) {
        self.metrics.count_admin_login("refused");
        tracing::info!(%peer, cause, "a login on the admin side was refused");
        self.audit.write(&AuditEvent::AdminRefused {
            peer,
            cause: cause.to_owned(),
        });
    }

    /// Tells the audit log that somebody reached for more than they may.
    async fn forbid(&self, caller: &Caller, asked: String, needed: Role) {
        let by = caller.name().await;
        let (role, needed) = (caller.role.name(), needed.name());
        tracing::info!(
            by,
            role,
            asked,
            needed,
            "an operator's role does not suffice"
        );
        self.audit.write(&AuditEvent::AdminForbidden {
            by,
            role,
            via: caller.via.name(),
            peer: caller.peer,
            asked,
            needed,
        });
    }

    fn penalties(&self) -> std::sync::MutexGuard<'_, Penalties> {
        self.penalties
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearer(shown: &str) -> Option<&str> {
    let (scheme, token) = shown.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}
