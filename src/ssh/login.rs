//! One ssh login, forward only: handshake, proof, placement, login on the instance.
//!
//! Nothing happens outside the gate before a proof, except that a password is proved by the instance itself and so must
//! reach one. Public keys are checked here and become a short-lived certificate inward; passwords and
//! keyboard-interactive rounds pass to the instance as they are, and its answers come back as they are.

mod asleep;
mod deadline;
mod error;
mod factors;
mod keys;
mod line;
mod placing;
mod relayed;
#[cfg(test)]
mod tests;
mod tried;
mod words;

use std::net::SocketAddr;
use std::time::Instant;

pub(super) use deadline::Deadline;
pub(super) use error::LoginError;
pub(super) use factors::Plan;
pub(super) use line::Waiting;
pub(super) use tried::Tried;

use super::gatekeeper::Gatekeeper;
use super::leg::{LINGER, Leg};
use super::toll::Toll;
use super::traced::{self, Moments};
use super::upstream::Upstream;
use super::wire::message::{self, number};
use super::wire::userauth::{self, AuthRequest, Method};
use crate::config::AuthMethod;
use crate::identity::grant::{Grant, Verified};
use crate::net::accept::Permit;
use crate::pool::login_name::LoginNameError;
use crate::pool::{InstanceId, LoginName};
use crate::shared_pool::Seat;
use crate::telemetry::failed_logins;
use crate::telemetry::traces::{self, Span};

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
    deadline: Deadline,
    permit: &'a mut Permit,
    toll: Toll,
    /// When the request at hand came.
    asked_at: Instant,
    pub(super) client: Leg,
    /// Fixed by the first request; changing it ends the login.
    pub(super) name: Option<LoginName>,
    raw_name: String,
    upstream: Option<Upstream>,
    /// The client has asked for user authentication; nothing about a login counts before (RFC 4253 section 10).
    is_service_open: bool,
    /// The instance has asked something by keyboard-interactive and waits for the answers.
    is_asked: bool,
    /// The name has logged in before, and woke the pool by this login: it stands in line though nothing is proved.
    is_expected: bool,
    /// Taken while nobody of the source had a turn yet.
    seat: Option<Seat>,
    /// Factors proved so far, where several are wanted.
    verified: Vec<Verified>,
    /// What must still be proved for the gate; what an instance wants beyond that is its own to say.
    plan: Plan,
    /// Instances this login does without, and what the last of them said.
    unreachable: Vec<InstanceId>,
    last_failure: String,
    failures: u32,
    offers: u32,
    messages: u32,
    moments: Moments,
    tried: Tried,
}

impl<'a> Login<'a> {
    pub(super) fn new(
        gatekeeper: &'a Gatekeeper,
        client: Leg,
        peer: SocketAddr,
        (deadline, permit): (Deadline, &'a mut Permit),
        toll: Toll,
    ) -> Self {
        Self {
            gatekeeper,
            peer,
            deadline,
            permit,
            toll,
            asked_at: Instant::now(),
            client,
            name: None,
            raw_name: String::new(),
            upstream: None,
            is_service_open: false,
            is_asked: false,
            is_expected: false,
            seat: None,
            verified: Vec::new(),
            plan: gatekeeper.plan.clone(),
            unreachable: Vec::new(),
            last_failure: String::new(),
            failures: 0,
            offers: 0,
            messages: 0,
            moments: Moments::begin(),
            tried: Tried::default(),
        }
    }

    pub(super) async fn run(&mut self) -> Result<Admitted, LoginError> {
        self.client
            .established()
            .await
            .map_err(LoginError::Client)?;
        self.moments.established();
        loop {
            let message = self.client.next().await.map_err(LoginError::Client)?;
            self.count_message()?;
            match message.first().copied() {
                Some(number::SERVICE_REQUEST) => {
                    self.accept_service(&message).await?;
                }
                Some(number::USERAUTH_REQUEST) if self.is_service_open => {
                    let request = AuthRequest::parse(&message)?;
                    self.fix_name(&request)?;
                    self.asked_at = Instant::now();
                    if let Some(admitted) = Box::pin(self.answer(request)).await? {
                        return Ok(admitted);
                    }
                }
                Some(number::USERAUTH_INFO_RESPONSE) if self.is_asked => {
                    self.is_asked = false;
                    self.asked_at = Instant::now();
                    let answers = userauth::parse_info_response(&message)?;
                    let payload = userauth::info_response(&answers);
                    let relaying = self.relay(&payload, AuthMethod::KeyboardInteractive);
                    let admitted = Box::pin(relaying).await?;
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
            self.moments.named();
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

    /// What its trace hears of a login that came to nothing.
    pub(super) fn tell_trace(&self, span: &Span, error: &LoginError) {
        if !self.plan.is_complete() {
            self.moments.unproved(error);
        }
        let user = self.name.as_ref().map(|name| &*name.user);
        traced::refused(span, user, error);
    }

    /// What it tried, and whether nothing of that proved who it is.
    pub(super) fn tried(&mut self) -> (Tried, bool) {
        (std::mem::take(&mut self.tried), self.verified.is_empty())
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
        self.is_service_open = true;
        self.tell(&message::service_accept(service)).await
    }

    async fn answer(&mut self, request: AuthRequest) -> Result<Option<Admitted>, LoginError> {
        self.is_asked = false;
        let is_in_turn = match &request.method {
            // An offer out of turn is no failed try: clients ask with every key they have.
            Method::PublicKey { signature, .. } => {
                signature.is_none() || self.plan.allows(AuthMethod::PublicKey)
            }
            Method::Password { .. } => self.may_relay(AuthMethod::Password),
            Method::KeyboardInteractive { .. } => self.may_relay(AuthMethod::KeyboardInteractive),
            Method::None => true,
            Method::Other(_) => false,
        };
        if !is_in_turn {
            self.count_failure().await?;
            self.refuse().await?;
            return Ok(None);
        }
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
            } => {
                let user = self.user();
                let payload = match new_password {
                    Some(new) => userauth::password_change_request(&user, password, new),
                    None => userauth::password_request(&user, password),
                };
                self.relay(&payload, AuthMethod::Password).await
            }
            Method::KeyboardInteractive { submethods } => {
                let user = self.user();
                let payload = userauth::keyboard_interactive_request(&user, submethods);
                self.relay(&payload, AuthMethod::KeyboardInteractive).await
            }
            Method::None => {
                self.tell_methods().await?;
                Ok(None)
            }
            Method::Other(_) => {
                self.refuse().await?;
                Ok(None)
            }
        }
    }

    fn may_relay(&self, method: AuthMethod) -> bool {
        self.gatekeeper.relays_passwords && self.plan.allows(method)
    }

    /// One more factor is proved; whoever calls this has the proof in hand.
    fn accept(&mut self, verified: Verified, method: AuthMethod) {
        // An instance may say again what it has said.
        let is_known = |known: &Verified| known.proof() == verified.proof();
        if !self.verified.iter().any(is_known) {
            self.verified.push(verified);
            self.plan.prove(method);
        }
    }

    /// The factor counts, and the gate wants another one.
    async fn ask_for_more(&mut self) -> Result<Option<Admitted>, LoginError> {
        let next = self.plan.next();
        self.tell(&userauth::failure(&next, true)).await?;
        Ok(None)
    }

    async fn admit(&mut self, upstream: Upstream, grant: Grant) -> Result<Admitted, LoginError> {
        self.tell(&userauth::success()).await?;
        self.client.transport.authenticated();
        let Upstream { mut leg, seat, .. } = upstream;
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
        self.tell_methods().await
    }

    /// The answer to a request that came to nothing: what may come next.
    async fn tell_methods(&mut self) -> Result<(), LoginError> {
        let next = match self.plan.is_complete() {
            // What the instance still wants is among these.
            true => self.gatekeeper.plan.next(),
            false => self.plan.next(),
        };
        self.tell(&userauth::failure(&next, false)).await
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
        self.tried.note_failure();
        self.toll.failed();
        traces::note("failed try", &[]);
        failed_logins::tell(&self.raw_name, self.peer, failed_logins::Way::Ssh);
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
