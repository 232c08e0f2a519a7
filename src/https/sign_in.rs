//! Whom a hub has let in: the hub is asked, with the login it just gave.
//!
//! This is the proof of a name, good from the login on and before there is any server. A cookie of a person's server is
//! none of who came to it: people share servers, and administrators look into them.
//! Where a hub leaves logins to an identity provider there was no form with a name in it, and the provider's answer must
//! come back to the hub that asked. Somebody who belongs elsewhere is then pinned there with the very answer, before a
//! server of theirs is started here; the provider lets them in there without a question.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, COOKIE, HOST, REFERER};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use super::body::{Body, Upload};
use super::cookies::{self, HUB_LOGIN};
use super::forward::{self, Answered};
use super::front::Front;
use super::pin::Pin;
use super::presence::Proof;
use super::route::{Ask, Route, login};
use super::service::Call;
use crate::pool::LoginRequest;

/// Adds to a login once; a hub that is slower keeps its person.
const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_MAX: usize = 256 * 1024;

/// Where a person is asked for before their server, or another's, lets them in.
pub(super) const AUTHORIZE: &str = "/hub/api/oauth2/authorize";
const HUB_PROOF: &str = "jupyterhub login";

/// What a hub's answer says of who the browser's person is.
enum SignIn {
    /// Nothing.
    Silent,
    /// This person, who may stay.
    Here(String),
    /// One who belongs on the instance of this pin.
    Elsewhere(Pin),
}

impl Front {
    pub(super) async fn after_answer(
        &self,
        call: Call,
        mut route: Route,
        answered: Answered,
    ) -> Response<Body> {
        if let Some(page) = self.ask_whose(&call, answered.0.status()) {
            return page;
        }
        let signed_in = match self.may_be_sign_in(&call, &route) {
            true => Box::pin(self.sign_in(&call, &route, &answered.0)).await,
            false => SignIn::Silent,
        };
        match signed_in {
            SignIn::Silent => self.finish(call, route, answered),
            SignIn::Here(user) => {
                self.prove(&call.ask, &mut route, &user, HUB_PROOF);
                self.finish(call, route, answered)
            }
            SignIn::Elsewhere(pin) => {
                let mut response = self.finish(call, route, answered);
                self.pin_elsewhere(&mut response, &pin);
                response
            }
        }
    }

    fn may_be_sign_in(&self, call: &Call, route: &Route) -> bool {
        let is_theirs = route.is_pinned || route.is_new_pin;
        let presence = &self.presence;
        call.path_and_query.starts_with("/hub/")
            && is_theirs
            && presence.is_current(route.pin.browser, &route.instance.id)
    }

    async fn sign_in(&self, call: &Call, route: &Route, response: &Response<Incoming>) -> SignIn {
        let is_redirect = response.status().is_redirection();
        let given = cookies::given(response.headers(), HUB_LOGIN).filter(|_| is_redirect);
        // Of a login of before, whose answer this gate has not seen.
        let known = call.hub_login.as_deref();
        let known =
            known.filter(|_| route.pin.person().is_none() && response.status().as_u16() < 400);
        let Some(login_cookie) = given.or(known) else {
            return SignIn::Silent;
        };
        let asking = self.name_of(route, login_cookie);
        let Ok(Some(user)) = tokio::time::timeout(PATIENCE, asking).await else {
            return SignIn::Silent;
        };
        // They log in for a visit, and belong where they did.
        if route.pin.guest.as_deref() == Some(&*user) {
            return SignIn::Silent;
        }
        let may_move = call.ask.kind.may_move() && route.is_pinned && given.is_some();
        let elsewhere = may_move.then(|| self.pin_where_they_belong(&call.ask, route, &user));
        match elsewhere.flatten() {
            Some(pin) => SignIn::Elsewhere(pin),
            None => SignIn::Here(user),
        }
    }

    fn pin_where_they_belong(&self, ask: &Ask, route: &Route, user: &str) -> Option<Pin> {
        let claim = LoginRequest {
            user: Some(user.to_owned()),
            ..login(Some(&route.pin.instance.pool), None, ask.peer, &[])
        };
        let (instance, reason) = self.pool.belongs_elsewhere(&claim, &route.instance.id)?;
        tracing::info!(instance = %instance.id, reason = reason.name(), "a person who signed in belongs elsewhere");
        self.metrics.count_moved_login("moved");
        Some(Pin::new(&instance, route.pin.browser, None))
    }

    /// The browser's person is this one, on this instance.
    pub(super) fn prove(&self, ask: &Ask, route: &mut Route, user: &str, how: &'static str) {
        let browser = route.pin.browser;
        if route.pin.user.as_deref() != Some(user) {
            route.pin = Pin::new(&route.instance, browser, Some(user.into()));
            route.is_new_pin = true;
        }
        self.presence.leave_unless(browser, user);
        if self.presence.visit(browser, &route.instance.id).is_none() {
            route.visit = self.attend(ask, &route.pin);
        }
        let proof = Proof {
            user,
            how,
            peer: ask.peer,
            client: &ask.client_name(),
        };
        self.presence.prove(browser, &route.instance.id, &proof);
        route.visit = self.presence.visit(browser, &route.instance.id);
    }

    /// Sends the browser there from its next request on, without what the first hub knows it by.
    fn pin_elsewhere(&self, response: &mut Response<Body>, pin: &Pin) {
        self.presence.leave(pin.browser, "belongs elsewhere");
        cookies::strip_set_cookies(response.headers_mut(), false);
        self.set_pin(response.headers_mut(), pin);
    }

    /// Whom a hub takes the holder of this login for.
    async fn name_of(&self, route: &Route, login: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Account {
            name: String,
        }
        let mut request = Request::new(Upload::Empty);
        *request.uri_mut() = Uri::from_static("/hub/api/user");
        let cookie = format!("{HUB_LOGIN}={login}");
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        // Hubs before 4 take no cookie for their API from elsewhere.
        headers.insert(REFERER, HeaderValue::from_static("http://localhost/hub/"));
        headers.insert(COOKIE, HeaderValue::try_from(cookie).ok()?);
        let sent = forward::send(&self.instances, &route.instance, request).await;
        let (response, lease) = sent.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX);
        let body: Bytes = body.collect().await.ok()?.to_bytes();
        lease.give_back();
        let account: Account = serde_json::from_slice(&body).ok()?;
        Some(account.name)
    }
}
