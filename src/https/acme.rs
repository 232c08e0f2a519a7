//! Asks an authority for the door's certificate (RFC 8555), and again when a third of its lifetime is left.
//!
//! The protocol is instant-acme's; here is when to ask, what answers the challenges, and what is kept. An order that fails
//! is tried again with growing pauses, and what is shown meanwhile stays. Deliberately absent: DNS challenges, which need
//! the credentials of a DNS service, and external account binding.

mod carrier;
mod folder;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::sign::CertifiedKey;

use self::carrier::Carrier;
use self::folder::Folder;
use crate::config::{AcmeChallenge, AcmeConfig};
use crate::net::server_tls::pair::Pair;
use crate::net::server_tls::store::Certificates;
use crate::telemetry::metrics::Metrics;

pub use folder::FolderError;

/// From the first request of an order to its certificate.
const ORDER_TIME: Duration = Duration::from_secs(300);
/// How long the authority may check, and then sign.
const STEP_TIME: Duration = Duration::from_secs(120);
/// After a failure; doubled by each further one. Authorities count failures per hour: five fit.
const PAUSE_MIN: Duration = Duration::from_secs(120);
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3600);
/// The clock may be set, so that no sleep is trusted for longer.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
const RENEW_SHARE: u32 = 3;

/// Why there is no certificate; the text of the authority's own problem is kept.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    #[error("{0}")]
    Protocol(#[from] instant_acme::Error),
    #[error("{0}")]
    Folder(#[from] FolderError),
    #[error("it offers no {0} challenge for {1}")]
    NotOffered(&'static str, String),
    #[error("it does not believe that the names are ours: the order is {0:?}")]
    NotReady(OrderStatus),
    #[error("a certificate for the challenge cannot be made: {0}")]
    Challenge(#[from] rcgen::Error),
    #[error("a certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    #[error("no certificate within {ORDER_TIME:?}")]
    TooSlow,
}

/// The door's account with an authority.
pub struct Acme {
    config: AcmeConfig,
    folder: Folder,
    metrics: Metrics,
}

impl Acme {
    /// # Errors
    /// Where the folder of its state cannot be used.
    pub fn open(config: &AcmeConfig, metrics: Metrics) -> Result<Self, FolderError> {
        Ok(Self {
            folder: Folder::open(&config.folder)?,
            config: config.clone(),
            metrics,
        })
    }

    /// What to show until the authority has answered: the certificate of before, or else a self-signed one.
    ///
    /// # Errors
    /// Where there is neither.
    pub fn first_pair(&self) -> Result<Pair, OrderError> {
        if let Some(kept) = self.folder.pair()? {
            return Ok(kept);
        }
        let domains = self.config.domains.join(" ");
        tracing::warn!(
            domains,
            "browsers will warn: a self-signed certificate is shown until the authority issues one"
        );
        let key = KeyPair::generate()?;
        let made = CertificateParams::new(self.config.domains.clone())?.self_signed(&key)?;
        Ok(Pair::new(vec![made.der().clone()], key.into())?)
    }

    /// Keeps a certificate that is not about to end; for ever.
    pub async fn keep(&self, certificates: &Certificates) {
        let mut pause = PAUSE_MIN;
        loop {
            let wait = match self.time_left() {
                Some(left) => left.min(LOOK_INTERVAL),
                None => match self.order(certificates).await {
                    Ok(()) => {
                        self.metrics.count_acme_order("issued");
                        pause = PAUSE_MIN;
                        // What is due again at once, such as one with other names, is not asked for in a circle.
                        self.time_left().unwrap_or(PAUSE_MIN)
                    }
                    Err(error) => {
                        self.metrics.count_acme_order("failed");
                        let directory = &self.config.directory;
                        tracing::error!(%error, directory, wait = ?pause, "no certificate was issued; the old one stays, and the authority is asked again");
                        let wait = pause;
                        pause = pause.saturating_mul(2).min(PAUSE_MAX);
                        wait
                    }
                },
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Until the certificate is to be renewed; `None` where that is now.
    fn time_left(&self) -> Option<Duration> {
        let pair = self.folder.pair().ok().flatten()?;
        let mut names = self.config.domains.clone();
        names.sort();
        let mut has = pair.names.clone();
        has.sort();
        let due = pair.not_after - pair.lifetime() / RENEW_SHARE;
        let left = due.duration_since(SystemTime::now()).ok()?;
        (names == has && !left.is_zero()).then_some(left)
    }

    async fn order(&self, certificates: &Certificates) -> Result<(), OrderError> {
        let domains = self.config.domains.join(" ");
        tracing::info!(domains, directory = %self.config.directory, "asking for a certificate");
        let issued = tokio::time::timeout(ORDER_TIME, self.issue(certificates)).await;
        certificates.challenges.clear();
        let (chain, key) = issued.map_err(|_| OrderError::TooSlow)??;
        let pair = self.folder.keep_pair(&chain, &key)?;
        tracing::info!(domains, "the authority has issued a certificate");
        certificates.set_issued(Arc::new(pair));
        Ok(())
    }

    /// The chain and its key, as PEM.
    async fn issue(&self, certificates: &Certificates) -> Result<(String, String), OrderError> {
        let account = self.account().await?;
        let names: Vec<_> = self
            .config
            .domains
            .iter()
            .cloned()
            .map(Identifier::Dns)
            .collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        self.answer_challenges(&mut order, certificates).await?;
        let policy = RetryPolicy::new().timeout(STEP_TIME);
        let status = order.poll_ready(&policy).await?;
        if status != OrderStatus::Ready {
            return Err(OrderError::NotReady(status));
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&policy).await?;
        Ok((chain, key))
    }

    async fn account(&self) -> Result<Account, OrderError> {
        let http = || Carrier::boxed(self.config.ca_file.as_deref());
        let directory = &self.config.directory;
        if let Some(credentials) = self.folder.account(directory)? {
            let builder = Account::builder_with_http(http()?);
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<_> = self
            .config
            .contact
            .iter()
            .map(|mail| format!("mailto:{mail}"))
            .collect();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let builder = Account::builder_with_http(http()?);
        let (account, credentials) = builder.create(&wanted, directory.clone(), None).await?;
        self.folder.keep_account(directory, &credentials)?;
        Ok(account)
    }

    async fn answer_challenges(
        &self,
        order: &mut Order,
        certificates: &Certificates,
    ) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Pending {
                self.answer(&mut authorization, certificates).await?;
            }
        }
        Ok(())
    }

    async fn answer<'a>(
        &self,
        authorization: &'a mut AuthorizationHandle<'a>,
        certificates: &Certificates,
    ) -> Result<(), OrderError> {
        let name = authorization.identifier().to_string();
        let (kind, word) = match self.config.challenge {
            AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
            AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let challenge = authorization.challenge(kind);
        let mut challenge = challenge.ok_or_else(|| OrderError::NotOffered(word, name.clone()))?;
        let proof = challenge.key_authorization();
        match self.config.challenge {
            AcmeChallenge::Http01 => {
                let token = &challenge.token;
                certificates
                    .challenges
                    .answer_with_text(token, proof.as_str());
            }
            AcmeChallenge::TlsAlpn01 => {
                let made = challenge_certificate(&name, proof.digest().as_ref())?;
                let challenges = &certificates.challenges;
                challenges.answer_with_certificate(&name, Arc::new(made));
            }
        }
        challenge.set_ready().await?;
        Ok(())
    }
}

/// RFC 8737 3. Not a `Pair`: its extension is critical, so that nobody else takes it for a certificate.
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, OrderError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let made = params.self_signed(&key)?;
    let key = default_provider()
        .key_provider
        .load_private_key(key.into())?;
    Ok(CertifiedKey::new(vec![made.der().clone()], key))
}
