//! One person, one machine, where a hub leaves logins to an identity provider: there is no form with a name in it.
//!
//! The provider's answer must come back to the hub that asked, so the login ends where it began. That hub then knows who it
//! let in, and is asked so with the login it just gave. Somebody who belongs elsewhere is pinned there with the very
//! answer, before a server of theirs is started here; the provider lets them in there without a question.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, COOKIE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use super::body::{Body, Upload};
use super::cookies::{self, HUB_LOGIN};
use super::forward;
use super::front::Front;
use super::pin::Pin;
use super::route::{Ask, Route, login};
use crate::pool::LoginRequest;

/// Adds to a login once; a hub that is slower keeps its person.
const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_MAX: usize = 256 * 1024;

impl Front {
    /// Whether this answer of a hub may let somebody in.
    pub(super) fn may_be_sign_in(
        &self,
        ask: &Ask,
        route: &Route,
        path: &str,
        response: &Response<Incoming>,
    ) -> bool {
        ask.kind.may_move()
            && route.is_pinned
            && path.starts_with("/hub/")
            && response.status().is_redirection()
            && self
                .presence
                .is_current(route.pin.browser, &route.instance.id)
    }

    /// The pin to the instance on which the person belongs whom this answer of a hub lets in, if that is another one.
    pub(super) async fn pin_after_sign_in(
        &self,
        ask: &Ask,
        route: &Route,
        response: &Response<Incoming>,
    ) -> Option<Pin> {
        let login_cookie = cookies::given(response.headers(), HUB_LOGIN)?;
        let asking = self.name_of(route, login_cookie);
        let user = tokio::time::timeout(PATIENCE, asking).await.ok()??;
        let claim = LoginRequest {
            user: Some(user),
            ..login(Some(&route.pin.instance.pool), None, ask.peer, &[])
        };
        let (instance, reason) = self.pool.belongs_elsewhere(&claim, &route.instance.id)?;
        tracing::info!(instance = %instance.id, reason = reason.name(), "a person who signed in belongs elsewhere");
        self.metrics.count_moved_login("moved");
        Some(Pin::new(&instance, route.pin.browser, None))
    }

    /// Sends the browser there from its next request on, without what the first hub knows it by.
    pub(super) fn pin_elsewhere(&self, response: &mut Response<Body>, pin: &Pin) {
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
