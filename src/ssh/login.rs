//! One ssh login, forward only: handshake, proof, placement, login on the instance.
//!
//! Nothing happens outside the gate before a proof, except that a password is proved by the instance itself and so must
//! reach one. Public keys are checked here and become a short-lived certificate inward; passwords and
//! keyboard-interactive rounds pass to the instance as they are, and its answers come back as they are.

mod error;
mod placing;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

pub(super) use error::LoginError;

use super::gatekeeper::Gatekeeper;
use super::leg::{LINGER, Leg};
use super::toll::Toll;
use super::upstream::{BANNERS_MAX, Upstream};
use super::wire::keys::SigAlg;
use super::wire::message::{self, number};
use super::wire::userauth::{self, AuthReply, AuthRequest, InProgress, Method, SignedKey};
use crate::identity::AuthorizedLine;
use crate::identity::grant::{Grant, Offered, Proof, Verified};
use crate::pool::login_name::LoginNameError;
use crate::pool::{InstanceId, LoginName};
use crate::shared_pool::Seat;

/// Messages of one login beyond the keys it may offer and the tries it has: rounds of questions, services, `none`.
const MESSAGES_MAX: u32 = 256;

/// A login that has come through: both legs stand right behind their `USERAUTH_SUCCESS`.
pub(super) struct Admitted {
    pub instance: Leg,
    pub seat: Seat,
    pub grant: Grant,
}

pub(super) struct Login<'a> {
    gatekeeper: &'a Gatekeeper,
    peer: SocketAddr,
    deadline: Instant,
    toll: Toll,
    /// When the request at hand came.
    asked_at: Instant,
    pub(super) client: Leg,
    /// Fixed by the first request; changing it ends the login.
    pub(super) name: Option<LoginName>,
    raw_name: String,
    upstream: Option<Upstream>,
    /// The instance has asked something by keyboard-interactive and waits for the answers.
    is_asked: bool,
    /// Factors proved so far, where the instance wants several.
    verified: Vec<Verified>,
    /// Instances this login does without, and what the last of them said.
    unreachable: Vec<InstanceId>,
    last_failure: String,
    failures: u32,
    offers: u32,
    messages: u32,
}

impl<'a> Login<'a> {
    pub(super) fn new(
        gatekeeper: &'a Gatekeeper,
        client: Leg,
        peer: SocketAddr,
        deadline: Instant,
        toll: Toll,
    ) -> Self {
        Self {
            gatekeeper,
            peer,
            deadline,
            toll,
            asked_at: Instant::now(),
            client,
            name: None,
            raw_name: String::new(),
            upstream: None,
            is_asked: false,
            verified: Vec::new(),
            unreachable: Vec::new(),
            last_failure: String::new(),
            failures: 0,
            offers: 0,
            messages: 0,
        }
    }

    pub(super) async fn run(&mut self) -> Result<Admitted, LoginError> {
        self.client
            .established()
            .await
            .map_err(LoginError::Client)?;
        loop {
            let message = self.client.next().await.map_err(LoginError::Client)?;
            self.count_message()?;
            match message.first().copied() {
                Some(number::SERVICE_REQUEST) => {
                    self.accept_service(&message).await?;
                }
                Some(number::USERAUTH_REQUEST) => {
                    let request = AuthRequest::parse(&message)?;
                    self.fix_name(&request)?;
                    self.asked_at = Instant::now();
                    if let Some(admitted) = self.answer(request).await? {
                        return Ok(admitted);
                    }
                }
                Some(number::USERAUTH_INFO_RESPONSE) if self.is_asked => {
                    self.is_asked = false;
                    self.asked_at = Instant::now();
                    let answers = userauth::parse_info_response(&message)?;
                    let payload = userauth::info_response(&answers);
                    let admitted = self
                        .relay(&payload, InProgress::KeyboardInteractive)
                        .await?;
                    if let Some(admitted) = admitted {
                        return Ok(admitted);
                    }
                }
                other => return Err(LoginError::OutOfPlace(other.unwrap_or_default())),
            }
        }
    }

    /// The login name is fixed by the first request (as OpenSSH does): factors proved for one name must not serve another.
    fn fix_name(&mut self, request: &AuthRequest) -> Result<(), LoginError> {
        if request.service != message::SERVICE_CONNECTION {
            return Err(LoginError::OutOfPlace(number::USERAUTH_REQUEST));
        }
        if self.name.is_none() {
            let name: LoginName = request
                .user
                .parse()
                .map_err(|error: LoginNameError| LoginError::Name(error.to_string()))?;
            self.name = Some(name);
            self.raw_name = request.user.clone();
        } else if self.raw_name != request.user {
            return Err(LoginError::Name(
                "the login name changed during the login".to_owned(),
            ));
        }
        Ok(())
    }

    /// Whoever has proved who they are owes nothing, however it ends.
    pub(super) fn settle(&mut self, error: &LoginError) {
        if self.verified.is_empty() {
            self.toll.settle(error);
        }
    }

    /// The end of a login that came to nothing: both sides hear of it, as far as somebody listens.
    pub(super) async fn give_up(self, error: &LoginError) {
        let (upstream, client) = (self.upstream, self.client);
        // At the same time: an instance that hangs must not keep the person from hearing why.
        let instance = async {
            if let Some(upstream) = upstream {
                upstream.leave().await;
            }
        };
        let person = async {
            if let Some(code) = error.disconnect_code() {
                client.disconnect(code, &error.told(), LINGER).await;
            }
        };
        tokio::join!(instance, person);
    }

    async fn accept_service(&mut self, message: &[u8]) -> Result<(), LoginError> {
        let service = message::parse_service(message)?;
        if service != message::SERVICE_USERAUTH {
            return Err(LoginError::OutOfPlace(number::SERVICE_REQUEST));
        }
        self.tell(&message::service_accept(service)).await
    }

    async fn answer(&mut self, request: AuthRequest) -> Result<Option<Admitted>, LoginError> {
        self.is_asked = false;
        match &request.method {
            Method::PublicKey {
                signature: None, ..
            } => {
                self.answer_offer(&request).await?;
                Ok(None)
            }
            Method::PublicKey {
                signature: Some(_), ..
            } => self.answer_signature(&request).await,
            Method::Password {
                password,
                new_password,
            } if self.gatekeeper.relays_passwords => {
                let user = self.user();
                let payload = match new_password {
                    Some(new) => userauth::password_change_request(&user, password, new),
                    None => userauth::password_request(&user, password),
                };
                self.relay(&payload, InProgress::Password).await
            }
            Method::KeyboardInteractive { submethods } if self.gatekeeper.relays_passwords => {
                let user = self.user();
                let payload = userauth::keyboard_interactive_request(&user, submethods);
                self.relay(&payload, InProgress::KeyboardInteractive).await
            }
            Method::None => {
                let methods = self.gatekeeper.methods();
                self.tell(&userauth::failure(methods, false)).await?;
                Ok(None)
            }
            Method::Password { .. } | Method::KeyboardInteractive { .. } | Method::Other(_) => {
                self.count_failure().await?;
                self.refuse().await?;
                Ok(None)
            }
        }
    }

    /// A key named but not signed with: the answer is all that comes of it.
    async fn answer_offer(&mut self, request: &AuthRequest) -> Result<(), LoginError> {
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
        let offered = Offered {
            user: self.user().into(),
            key_blob: key_blob.clone(),
        };
        let is_known = self
            .gatekeeper
            .find_key(&offered, self.peer.ip())
            .await
            .is_some();
        if is_known && SigAlg::from_name(algorithm).is_some() {
            self.even_out().await;
            self.tell(&userauth::pk_ok(algorithm, key_blob)).await
        } else {
            self.refuse().await
        }
    }

    async fn answer_signature(
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
                };
                let line = self.gatekeeper.find_key(&offered, self.peer.ip()).await;
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
        self.log_in_with(verified).await
    }

    fn verify(&self, signed: &SignedKey, line: &AuthorizedLine) -> Option<Verified> {
        let verified = Verified::by_key(signed, line);
        if let Err(error) = &verified {
            tracing::info!(peer = %self.peer, user = self.user(), reason = %error, "a signature proves nothing");
        }
        verified.ok()
    }

    /// An instance that wants two keys must not get one twice: the certificates made of it would differ.
    fn is_another_factor(&self, verified: &Verified) -> bool {
        let key = |verified: &Verified| match verified.proof() {
            Proof::PublicKey { fingerprint, .. } => Some(fingerprint.clone()),
            _ => None,
        };
        let is_used = self.verified.iter().any(|used| key(used) == key(verified));
        if is_used {
            tracing::info!(peer = %self.peer, user = self.user(), "a key was shown a second time in one login");
        }
        !is_used
    }

    /// Places the person by a proof of theirs and logs in on the instance with a certificate.
    async fn log_in_with(&mut self, verified: Verified) -> Result<Option<Admitted>, LoginError> {
        self.verified.push(verified);
        let grant = Grant::new(&self.verified)?;
        let (upstream, verdict) = self.ask_an_instance(&grant).await?;
        let instance = upstream.name();
        match verdict {
            AuthReply::Success => self.admit(upstream, grant).await.map(Some),
            AuthReply::Failure { methods, partial: true } => {
                self.upstream = Some(upstream);
                self.tell(&userauth::failure(&relayable(&methods), true)).await?;
                Ok(None)
            }
            _ => Err(LoginError::RefusedByInstance {
                instance,
                why: "it does not accept the gate's certificate for this name (is there such an account, and is the gate's CA in TrustedUserCAKeys?)".to_owned(),
            }),
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
            let answer = upstream
                .log_in(self.gatekeeper, grant, self.peer.ip(), SystemTime::now())
                .await;
            match answer {
                Ok((verdict, banners)) => {
                    for banner in banners {
                        self.tell(&banner).await?;
                    }
                    return Ok((upstream, verdict));
                }
                Err(error) => {
                    let instance = upstream.seat.instance().clone();
                    self.leave_out(&instance, &error.to_string());
                    let why = "it broke off the login";
                    self.tell_of_another(&instance, why).await?;
                }
            }
        }
    }

    /// Passes one message of a password or keyboard-interactive login to the instance, and its answer back.
    async fn relay(
        &mut self,
        payload: &[u8],
        method: InProgress,
    ) -> Result<Option<Admitted>, LoginError> {
        let user = self.user();
        let _turn = self.toll.turn(&user).await?;
        // Answers go where the questions came from, or nowhere.
        if payload.first() != Some(&number::USERAUTH_INFO_RESPONSE) {
            self.open_upstream().await?;
        }
        let Some(mut upstream) = self.upstream.take() else {
            return Err(LoginError::OutOfPlace(number::USERAUTH_INFO_RESPONSE));
        };
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
            let reply =
                AuthReply::parse(&answer, method).map_err(|why| refused(why.to_string()))?;
            match reply {
                AuthReply::Banner(_) => {
                    banners += 1;
                    if banners <= BANNERS_MAX {
                        self.tell(&answer).await?;
                    }
                }
                AuthReply::Success => {
                    let id = &upstream.seat.instance().id;
                    let verified = Verified::by_instance(&self.user(), factor(method), id, &reply)?;
                    self.verified.push(verified);
                    let grant = Grant::new(&self.verified)?;
                    upstream.seat.prove(&self.user());
                    return self.admit(upstream, grant).await.map(Some);
                }
                AuthReply::Failure { methods, partial } => {
                    if !partial {
                        self.count_failure().await?;
                    }
                    self.upstream = Some(upstream);
                    self.tell(&userauth::failure(&relayable(&methods), partial))
                        .await?;
                    return Ok(None);
                }
                AuthReply::InfoRequest(_) | AuthReply::PasswordChange { .. } => {
                    self.is_asked = method == InProgress::KeyboardInteractive;
                    self.upstream = Some(upstream);
                    self.tell(&answer).await?;
                    return Ok(None);
                }
                AuthReply::PkOk { .. } => {
                    return Err(refused(
                        "it answered a password as if it were a key".to_owned(),
                    ));
                }
            }
        }
    }

    async fn admit(&mut self, upstream: Upstream, grant: Grant) -> Result<Admitted, LoginError> {
        self.tell(&userauth::success()).await?;
        self.client.transport.authenticated();
        let Upstream { mut leg, seat } = upstream;
        leg.transport.authenticated();
        seat.set_live();
        Ok(Admitted {
            instance: leg,
            seat,
            grant,
        })
    }

    /// A line the person sees before the login is done.
    async fn inform(&mut self, text: &str) -> Result<(), LoginError> {
        self.tell(&userauth::banner(&format!("poolgate: {text}\r\n")))
            .await
    }

    async fn refuse(&mut self) -> Result<(), LoginError> {
        self.even_out().await;
        let methods = self.gatekeeper.methods();
        self.tell(&userauth::failure(methods, false)).await
    }

    async fn tell(&mut self, payload: &[u8]) -> Result<(), LoginError> {
        self.client.send(payload).await.map_err(LoginError::Client)
    }

    fn count_message(&mut self) -> Result<(), LoginError> {
        self.messages += 1;
        let (offers, tries) = (self.gatekeeper.offers_max, self.gatekeeper.tries_max);
        if self.messages > MESSAGES_MAX.saturating_add(offers).saturating_add(tries) {
            return Err(LoginError::TooManyMessages);
        }
        Ok(())
    }

    /// The one place where a failed try counts.
    async fn count_failure(&mut self) -> Result<(), LoginError> {
        self.failures += 1;
        self.toll.failed();
        if self.failures >= self.gatekeeper.tries_max {
            self.even_out().await;
            return Err(LoginError::TooManyTries);
        }
        Ok(())
    }

    /// An unknown name, a name without keys and a wrong key take the same time; `none` takes none.
    async fn even_out(&mut self) {
        self.toll.even_out(&self.raw_name, self.asked_at).await;
    }

    fn user(&self) -> String {
        self.name
            .as_ref()
            .map(|name| name.user.clone())
            .unwrap_or_default()
    }
}

/// Of what an instance would go on with, what can be carried to it: other methods sign for one leg only.
fn relayable(methods: &[String]) -> Vec<&str> {
    methods
        .iter()
        .map(String::as_str)
        .filter(|method| matches!(*method, "publickey" | "password" | "keyboard-interactive"))
        .collect()
}

/// The factor's name in the audit line.
fn factor(method: InProgress) -> &'static str {
    match method {
        InProgress::Password => "password",
        InProgress::KeyboardInteractive => "keyboard-interactive",
        InProgress::PublicKey => "publickey",
        InProgress::None => "none",
    }
}
