//! The part of a login that the instance judges: passwords and keyboard-interactive rounds, passed on as they are.
//!
//! An instance that accepts a password alone knows nothing of what a key before it forbids. Such a login ends there, and
//! begins anew with a certificate that says so.

use zeroize::Zeroizing;

use super::super::traced;
use super::super::upstream::{self, BANNERS_MAX, BANNERS_READ_MAX, Upstream};
use super::super::wire::message::number;
use super::super::wire::userauth::{self, AuthReply, InProgress};
use super::keys::refused_certificate;
use super::{Admitted, Login, LoginError};
use crate::config::AuthMethod;
use crate::identity::grant::{Grant, Proof, Verified};
use crate::telemetry::traces::{self, works};

impl Login<'_> {
    /// A leg to an instance that will judge this method, wherever the person belongs as far as they are known.
    async fn open_upstream(&mut self, method: AuthMethod) -> Result<(), LoginError> {
        if self.upstream.is_some() {
            return Ok(());
        }
        let mut upstream = self.place_and_dial(false).await?;
        let is_key = |factor: &Verified| matches!(factor.proof(), Proof::PublicKey { .. });
        if self.verified.iter().any(is_key) {
            self.show_key_first(&mut upstream, method).await?;
        }
        self.upstream = Some(upstream);
        Ok(())
    }

    /// An instance that itself wants a key before this method gets the certificate first: the gate has seen the key.
    async fn show_key_first(
        &mut self,
        upstream: &mut Upstream,
        method: AuthMethod,
    ) -> Result<(), LoginError> {
        let instance = upstream.name();
        let refused = |why: String| LoginError::RefusedByInstance {
            instance: instance.clone(),
            why,
        };
        let wanted = upstream
            .leg
            .send(&userauth::none_request(&self.user()))
            .await;
        wanted.map_err(|why| refused(why.to_string()))?;
        let wanted = loop {
            let answer = upstream.leg.next().await;
            let answer = answer.map_err(|why| refused(why.to_string()))?;
            match AuthReply::parse(&answer, InProgress::None) {
                // It comes again with the verdict.
                Ok(AuthReply::Banner(_)) => self.tell(&answer).await?,
                Ok(AuthReply::Failure { methods, .. }) => break methods,
                Ok(_) => return Err(refused("it lets anybody in".to_owned())),
                Err(why) => return Err(refused(why.to_string())),
            }
        };
        let wants = |name: &str| wanted.iter().any(|one| one == name);
        if wants(method.name()) || !wants(AuthMethod::PublicKey.name()) {
            return Ok(());
        }
        let grant = Grant::new(&self.verified)?;
        let verdict = self.present_certificate(upstream, &grant).await?;
        match verdict {
            Ok(AuthReply::Failure { partial: true, .. }) => {
                upstream.is_certified = true;
                Ok(())
            }
            Ok(AuthReply::Success) => Err(refused(format!(
                "it does not ask for {}, which ssh.auth.methods wants; allow it in its sshd_config",
                method.name()
            ))),
            Ok(_) => Err(refused_certificate(upstream)),
            Err(why) => Err(refused(why.to_string())),
        }
    }

    /// Passes one message of a password or keyboard-interactive login to the instance, and its answer back.
    pub(super) async fn relay(
        &mut self,
        payload: &[u8],
        method: AuthMethod,
    ) -> Result<Option<Admitted>, LoginError> {
        let user = self.user();
        if payload.first() != Some(&number::USERAUTH_INFO_RESPONSE) {
            self.wake_for_known().await?;
        }
        let _turn = self.toll.turn(&user).await?;
        // Answers go where the questions came from, or nowhere.
        if payload.first() != Some(&number::USERAUTH_INFO_RESPONSE) {
            self.open_upstream(method).await?;
        }
        let Some(mut upstream) = self.upstream.take() else {
            return Err(LoginError::OutOfPlace(number::USERAUTH_INFO_RESPONSE));
        };
        let (answer, reply) = self.ask(&mut upstream, payload, method).await?;
        match reply {
            AuthReply::Success => {
                self.accept_verdict(&upstream, method, &reply)?;
                self.finish(upstream).await
            }
            AuthReply::Failure { methods, partial } => {
                self.upstream = Some(upstream);
                self.fail_or_go_on(&methods, partial, method).await
            }
            AuthReply::InfoRequest(_) | AuthReply::PasswordChange { .. } => {
                self.is_asked = method == AuthMethod::KeyboardInteractive;
                self.upstream = Some(upstream);
                self.tell(&answer).await?;
                Ok(None)
            }
            AuthReply::Banner(_) | AuthReply::PkOk { .. } => Err(LoginError::RefusedByInstance {
                instance: upstream.name(),
                why: "it answered a password as if it were a key".to_owned(),
            }),
        }
    }

    /// What the instance says to one message of a login, whole and understood.
    async fn ask(
        &mut self,
        upstream: &mut Upstream,
        payload: &[u8],
        method: AuthMethod,
    ) -> Result<(Zeroizing<Vec<u8>>, AuthReply), LoginError> {
        let span = traces::child(&works::INSTANCE_LOGIN);
        traced::asks(&span, &upstream.seat.instance().id, method);
        let answered = span.around(self.verdict(upstream, payload, method)).await;
        match &answered {
            Ok((_, reply)) => traced::answered(&span, reply),
            Err(error) => span.fail(error.outcome(), error),
        }
        answered
    }

    /// The same; banners on the way are passed on.
    async fn verdict(
        &mut self,
        upstream: &mut Upstream,
        payload: &[u8],
        method: AuthMethod,
    ) -> Result<(Zeroizing<Vec<u8>>, AuthReply), LoginError> {
        let instance = upstream.name();
        let refused = |why: String| LoginError::RefusedByInstance {
            instance: instance.clone(),
            why,
        };
        let sent = upstream.leg.send(payload).await;
        sent.map_err(|why| refused(why.to_string()))?;
        let mut banners = 0;
        loop {
            let answer = upstream.leg.next().await;
            let answer = answer.map_err(|why| refused(why.to_string()))?;
            let reply = AuthReply::parse(&answer, in_progress(method))
                .map_err(|why| refused(why.to_string()))?;
            if !matches!(reply, AuthReply::Banner(_)) {
                return Ok((answer, reply));
            }
            banners += 1;
            if banners > BANNERS_READ_MAX {
                return Err(refused("it sends banners and no verdict".to_owned()));
            }
            if banners <= BANNERS_MAX {
                self.tell(&answer).await?;
            }
        }
    }

    /// The instance has not let the person in: it did not like the answer, or it wants something else as well.
    async fn fail_or_go_on(
        &mut self,
        methods: &[String],
        partial: bool,
        method: AuthMethod,
    ) -> Result<Option<Admitted>, LoginError> {
        if !partial {
            self.count_failure().await?;
        } else if let Some(upstream) = self.upstream.take() {
            let verdict = AuthReply::Failure {
                methods: methods.to_vec(),
                partial,
            };
            self.accept_verdict(&upstream, method, &verdict)?;
            self.upstream = Some(upstream);
        }
        let wanted = self.plan.next_of(methods);
        self.tell(&userauth::failure(&wanted, partial)).await?;
        Ok(None)
    }

    /// The instance said that this method succeeded, as the last one or as one of several.
    fn accept_verdict(
        &mut self,
        upstream: &Upstream,
        method: AuthMethod,
        verdict: &AuthReply,
    ) -> Result<(), LoginError> {
        let id = &upstream.seat.instance().id;
        let verified = Verified::by_instance(&self.user(), method.name(), id, verdict)?;
        self.accept(verified, method);
        Ok(())
    }

    /// The instance would let the person in: so does the gate, unless its own list of methods goes on.
    async fn finish(&mut self, upstream: Upstream) -> Result<Option<Admitted>, LoginError> {
        if !self.plan.is_complete() {
            upstream.leave().await;
            return self.ask_for_more().await;
        }
        let grant = Grant::new(&self.verified)?;
        self.moments.proved(&grant);
        upstream.seat.prove(grant.user());
        if upstream.is_certified || !grant.restrictions().binds_the_instance() {
            return self.admit(upstream, grant).await.map(Some);
        }
        let instance = upstream.name();
        let again = upstream::begin_anew(self.gatekeeper, upstream, self.on_behalf_of()).await;
        let mut upstream = again.map_err(|error| {
            LoginError::Unreachable(format!("{instance}: {error}, the second time"))
        })?;
        match self.present_certificate(&mut upstream, &grant).await? {
            Ok(AuthReply::Success) => self.admit(upstream, grant).await.map(Some),
            Ok(_) => Err(refused_certificate(&upstream)),
            Err(why) => Err(LoginError::RefusedByInstance {
                instance,
                why: why.to_string(),
            }),
        }
    }
}

fn in_progress(method: AuthMethod) -> InProgress {
    match method {
        AuthMethod::PublicKey => InProgress::PublicKey,
        AuthMethod::Password => InProgress::Password,
        AuthMethod::KeyboardInteractive => InProgress::KeyboardInteractive,
    }
}
