//! The part of a login that is about keys and certificates: what is offered, what is signed, and the certificate that
//! logs the person in on an instance.

use std::sync::Arc;

use super::super::upstream::{LogInError, Upstream};
use super::super::wire::keys::fingerprint;
use super::super::wire::userauth::{self, AuthReply, AuthRequest, Method, SignedKey};
use super::{Admitted, Login, LoginError};
use crate::config::AuthMethod;
use crate::identity::AuthorizedLine;
use crate::identity::grant::{Grant, Offered, Proof, Verified};

impl Login<'_> {
    /// A key named but not signed with: the answer is all that comes of it.
    pub(super) async fn answer_offer(&mut self, request: &AuthRequest) -> Result<(), LoginError> {
        self.offers += 1;
        if self.offers > self.gatekeeper.offers_max {
            return Err(LoginError::TooManyOffers);
        }
        let Method::PublicKey {
            algorithm,
            key_blob,
            ..
        } = &request.method
        else {
            return Ok(());
        };
        let Some(Ok(key)) = userauth::offered_key(request) else {
            return self.refuse().await;
        };
        let offered = Offered {
            user: self.user().into(),
            key_blob: key.key_blob,
            certificate: key.certificate.map(Arc::new),
        };
        let shown = fingerprint(&offered.key_blob);
        let is_known = self.plan.allows(AuthMethod::PublicKey)
            && !self.is_used(&shown)
            && self
                .gatekeeper
                .find_key(&offered, self.peer.ip())
                .await
                .is_some();
        self.tried.note_key(shown, is_known);
        if is_known {
            self.even_out().await;
            self.tell(&userauth::pk_ok(algorithm, key_blob)).await
        } else {
            self.refuse().await
        }
    }

    pub(super) async fn answer_signature(
        &mut self,
        request: &AuthRequest,
    ) -> Result<Option<Admitted>, LoginError> {
        let session_id = self.client.transport.session_id().unwrap_or_default();
        let signed = userauth::signed_key(session_id, request);
        let verified = match signed {
            Ok(signed) => {
                let offered = Offered {
                    user: self.user().into(),
                    key_blob: signed.key_blob().to_vec(),
                    certificate: signed.certificate().cloned().map(Arc::new),
                };
                let line = self.gatekeeper.find_key(&offered, self.peer.ip()).await;
                let shown = fingerprint(&offered.key_blob);
                self.tried.note_key(shown, line.is_some());
                line.and_then(|line| self.verify(&signed, &line))
                    .filter(|verified| self.is_another_factor(verified))
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "signature refused");
                None
            }
        };
        let Some(verified) = verified else {
            self.count_failure().await?;
            self.refuse().await?;
            return Ok(None);
        };
        self.accept(verified, AuthMethod::PublicKey);
        if !self.plan.is_complete() {
            return self.ask_for_more().await;
        }
        self.log_in_by_certificate().await
    }

    fn verify(&self, signed: &SignedKey, line: &AuthorizedLine) -> Option<Verified> {
        let verified = Verified::by_key(signed, line);
        if let Err(error) = &verified {
            tracing::info!(peer = %self.peer, user = self.user(), reason = %error, "a signature proves nothing");
        }
        verified.ok()
    }

    /// Who is asked for two keys must not show one twice, be it once with and once without a certificate.
    fn is_another_factor(&self, verified: &Verified) -> bool {
        let is_used = match verified.proof() {
            Proof::PublicKey { fingerprint, .. } => self.is_used(fingerprint),
            _ => false,
        };
        if is_used {
            tracing::info!(peer = %self.peer, user = self.user(), "a key was shown a second time in one login");
        }
        !is_used
    }

    fn is_used(&self, key: &str) -> bool {
        self.verified.iter().any(|used| match used.proof() {
            Proof::PublicKey { fingerprint, .. } => fingerprint == key,
            _ => false,
        })
    }

    /// Places the person by what they have proved and logs in on the instance with a certificate.
    async fn log_in_by_certificate(&mut self) -> Result<Option<Admitted>, LoginError> {
        let grant = Grant::new(&self.verified)?;
        self.moments.proved(&grant);
        let (mut upstream, verdict) = self.ask_an_instance(&grant).await?;
        match verdict {
            AuthReply::Success => self.admit(upstream, grant).await.map(Some),
            AuthReply::Failure {
                methods,
                partial: true,
            } => {
                upstream.is_certified = true;
                self.upstream = Some(upstream);
                let wanted = self.plan.next_of(&methods);
                let failure = userauth::failure(&wanted, true);
                self.tell(&failure).await?;
                Ok(None)
            }
            _ => Err(refused_certificate(&upstream)),
        }
    }

    /// The verdict of the first instance that gives one; one that breaks off is left for another.
    async fn ask_an_instance(
        &mut self,
        grant: &Grant,
    ) -> Result<(Upstream, AuthReply), LoginError> {
        loop {
            let mut upstream = match self.upstream.take() {
                Some(upstream) => upstream,
                None => self.place_and_dial(true).await?,
            };
            upstream.seat.prove(grant.user());
            match self.present_certificate(&mut upstream, grant).await? {
                Ok(verdict) => return Ok((upstream, verdict)),
                Err(error) => {
                    let instance = upstream.seat.instance().clone();
                    // Nobody else waits for a seat that this login has given up.
                    drop(upstream);
                    self.leave_out(&instance, &error.to_string());
                    self.tell_of_another(&instance, error.told()).await?;
                }
            }
        }
    }

    /// What an instance says to a certificate for this grant, its banners passed on; the inner error is why it gave no
    /// verdict.
    pub(super) async fn present_certificate(
        &mut self,
        upstream: &mut Upstream,
        grant: &Grant,
    ) -> Result<Result<AuthReply, LogInError>, LoginError> {
        let answer = upstream
            .log_in(self.gatekeeper, grant, self.peer.ip(), self.deadline.at())
            .await;
        match answer {
            Ok((verdict, banners)) => {
                for banner in banners {
                    self.tell(&banner).await?;
                }
                Ok(Ok(verdict))
            }
            Err(error) => Ok(Err(error)),
        }
    }
}

/// The person belongs elsewhere from here on: where they are refused they must not be sent again.
pub(super) fn refused_certificate(upstream: &Upstream) -> LoginError {
    upstream.seat.turn_away();
    LoginError::RefusedByInstance {
        instance: upstream.name(),
        why: "it does not accept the gate's certificate for this name (is there such an account, and is the gate's CA in TrustedUserCAKeys?)".to_owned(),
    }
}
