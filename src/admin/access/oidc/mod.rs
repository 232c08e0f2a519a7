//! Logging in by a provider of accounts (OpenID Connect): the authorization code flow with PKCE. The provider proves who
//! somebody is, the config says what they may do, and from then on they have a session of the gate's own.
//!
//! Every step fails closed. What comes back counts once, in the browser that began, and only for this gate. Why it did not is
//! told to people in words, and in full to the log. Deliberately absent: refresh tokens, and following what becomes of an
//! account during a session, which is of hours.

mod pending;
mod people;
mod provider;
mod routes;

#[cfg(test)]
mod tests;

use std::time::Instant;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::sessions::random;
use crate::config::OidcConfig;
use crate::net::source::Source;
pub use pending::LIFE;
use pending::{Pending, Pendings};
pub use people::Person;
use people::Stranger;
use provider::{Provider, ProviderFault};
pub use routes::router;

/// Where people go to log in by the provider, and where it sends them back to.
pub const BEGIN: &str = "/login/oidc";
pub const CALLBACK: &str = "/login/oidc/callback";

pub struct Oidc {
    config: OidcConfig,
    provider: Provider,
    pendings: Pendings,
}

/// Why somebody is not in, in words for them.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0} cannot be asked now: try again in a minute; the gate's log says more")]
    Unavailable(String),
    #[error("what came from {0} proves nothing, so nobody is logged in; the gate's log says more")]
    Untrusted(String),
    #[error("{0} did not log you in: {1}")]
    Refused(String, String),
    #[error(
        "this login was begun in another browser or under another name of this page, was answered already, or took longer than ten minutes: begin it again"
    )]
    Stale,
    #[error(transparent)]
    Stranger(Stranger),
    #[error("the system has no randomness for a login: see its log")]
    NoRandomness,
}

/// What a browser brings back.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Answer {
    code: String,
    state: String,
    /// Who sends it (RFC 9207).
    iss: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Asks the provider once what it tells of itself, as a login begins with.
///
/// # Errors
/// In words: why nobody could log in by it.
pub async fn ask(config: &OidcConfig) -> Result<(), String> {
    let provider = Provider::new(config.clone())?;
    let asked = provider.is_there().await;
    asked.map_err(|fault| format!("{}: {fault}", config.issuer))
}

impl Oidc {
    /// # Errors
    /// When there are no authorities to judge the provider's certificate by.
    pub fn new(config: OidcConfig) -> Result<Self, String> {
        Ok(Self {
            provider: Provider::new(config.clone())?,
            config,
            pendings: Pendings::default(),
        })
    }

    /// Of what it was made.
    pub fn config(&self) -> &OidcConfig {
        &self.config
    }

    /// What people call the provider.
    pub fn display_name(&self) -> &str {
        &self.config.display_name
    }

    /// Where a browser begins, under the name that the provider sends it back to.
    pub fn begins_at(&self, next: &str, anew: bool) -> String {
        let next = utf8_percent_encode(next, NON_ALPHANUMERIC);
        let other = if anew { "&as=other" } else { "" };
        format!("{}{BEGIN}?next={next}{other}", self.config.address)
    }

    /// Where people end their session at the provider, as far as is known.
    pub fn end_session(&self) -> Option<String> {
        self.provider.end_session()
    }

    /// Where to send the browser whose cookie holds `browser`.
    async fn begin(&self, browser: &str, source: Source, asked: Begin) -> Result<String, Fault> {
        let secrets = (random(), random(), random());
        let (Some(state), Some(nonce), Some(verifier)) = secrets else {
            return Err(Fault::NoRandomness);
        };
        let secrets = [state.clone(), nonce, verifier];
        let begun = self.provider.begin(secrets, asked.anew).await;
        let begun = begun.map_err(|fault| self.told(fault))?;
        let pending = Pending {
            nonce: begun.nonce,
            verifier: begun.verifier,
            next: asked.next,
            replaces: asked.replaces,
        };
        let now = Instant::now();
        self.pendings.put(&state, browser, source, pending, now);
        Ok(begun.url)
    }

    /// Who came back, and what they had begun with.
    async fn finish<'a>(
        &self,
        answer: Answer,
        browsers: impl Iterator<Item = &'a str>,
    ) -> Result<Finished, Fault> {
        let pending = self.pendings.take(&answer.state, browsers, Instant::now());
        let Pending {
            nonce,
            verifier,
            next,
            replaces,
        } = pending.ok_or(Fault::Stale)?;
        let is_own = self.provider.is_own(answer.iss.as_deref()).await;
        if !is_own.map_err(|fault| self.told(fault))? {
            let fault = "the answer is another issuer's, or does not say whose".to_owned();
            return Err(self.told(ProviderFault::Untrusted(fault)));
        }
        if let Some(error) = answer.error {
            let why = answer.error_description.unwrap_or(error);
            return Err(Fault::Refused(
                self.config.display_name.clone(),
                plain(&why),
            ));
        }
        let claims = self.provider.claims(answer.code, &nonce, verifier).await;
        let claims = claims.map_err(|fault| self.told(fault))?;
        let person = people::judge(&claims, &self.config).map_err(Fault::Stranger)?;
        Ok(Finished {
            person,
            next,
            replaces,
        })
    }

    /// In full to the log, and as much of it to people as concerns them.
    fn told(&self, fault: ProviderFault) -> Fault {
        let issuer = &self.config.issuer;
        tracing::warn!(error = %fault, issuer, "a login by the provider came to nothing");
        let name = self.config.display_name.clone();
        match fault {
            ProviderFault::Unavailable(_) => Fault::Unavailable(name),
            ProviderFault::Untrusted(_) => Fault::Untrusted(name),
        }
    }
}

/// How somebody begins.
struct Begin {
    next: String,
    /// Sessions of this browser, which the new one takes the place of.
    replaces: Vec<String>,
    /// As somebody else than they are at the provider.
    anew: bool,
}

struct Finished {
    person: Person,
    next: String,
    replaces: Vec<String>,
}

/// A line of text from outside, for a page.
fn plain(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let kept = text.chars().filter(|c| !c.is_control());
    kept.take(CHARS_MAX).collect()
}
