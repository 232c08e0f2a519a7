//! What an instance has answered, on its way to the person: what it proves, what of it may pass, and who is there with it.
//!
//! Deliberately absent: whether to ask at all, and whom (`service`). Nothing here waits.

use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::answer::{self, Trouble};
use super::body::{Body, Relayed};
use super::forward::Answered;
use super::front::Front;
use super::headers;
use super::pin::{self, Pin};
use super::presence::Visit;
use super::route::Route;
use super::service::Call;
use super::upgrade::Switch;
use crate::telemetry::traces;

const OAUTH_PROOF: &str = "jupyterhub oauth";

impl Front {
    /// What an instance has answered, on its way to the person.
    pub(super) fn finish(
        &self,
        call: Call,
        mut route: Route,
        answered: Answered,
    ) -> Response<Body> {
        let (mut response, lease) = answered;
        let is_current = self
            .presence
            .is_current(route.pin.browser, &route.instance.id);
        if is_current {
            self.learn(&call, &mut route, response.status(), response.headers());
        }
        if route.visit.is_none() {
            route.visit = self.attend_late(&call, &route, response.status());
        }
        let keep_logins = is_current && (route.is_pinned || route.is_new_pin);
        headers_toward(&mut response, keep_logins, call.switch.is_some());
        if self.access_log.is_some() || traces::is_kept() {
            let id = route.instance.id.clone();
            response.extensions_mut().insert(id);
        }
        if route.is_new_pin && is_current {
            self.set_pin(response.headers_mut(), &route.pin);
        }
        if call.is_logout {
            self.forget_voucher(response.headers_mut());
        }
        match call.switch {
            Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                let switch = Switch {
                    client,
                    version: call.version,
                    instance: route.instance.id.clone(),
                    visit: route.visit,
                    open: call.open,
                };
                self.open_tunnel(switch, response)
            }
            // Nobody asked for it.
            _ if response.status().is_informational() => {
                answer::unavailable(Trouble::NoAnswer, call.wants_html)
            }
            client => {
                if client.is_some() && call.version == Version::HTTP_2 {
                    refuse_tunnel(response.status_mut());
                }
                let silence = self.config.tunnel_idle_timeout;
                let metrics = self.metrics.clone();
                response.map(|frames| {
                    let relayed =
                        Relayed::new(frames, silence, lease, metrics, route.visit, call.open);
                    Body::Relayed(Box::new(relayed))
                })
            }
        }
    }

    /// Who logged in or out, if this answer proves it.
    fn learn(&self, call: &Call, route: &mut Route, status: StatusCode, headers: &HeaderMap) {
        let is_here = route.is_pinned && call.ask.elsewhere.is_none();
        let callback = call.callback.as_ref().filter(|_| is_here);
        let proved = callback.and_then(|callback| callback.proved(status, headers));
        let browser = route.pin.browser;
        // Who is known otherwise is a guest at somebody's server.
        let known = route.pin.person();
        let proved = proved.filter(|user| known.is_none_or(|known| known == *user));
        if let Some(user) = proved {
            self.prove(&call.ask, route, user, OAUTH_PROOF);
        } else if call.is_logout && route.is_pinned && route.pin.person().is_some() {
            route.pin = Pin::new(&route.instance, browser, None);
            route.is_new_pin = true;
            route.visit = None;
            self.presence.leave(browser, "logged out");
        }
    }

    /// A person who comes back to an open page is there as soon as their server answers; a tab whose server is gone
    /// may ask for ever and counts for nothing.
    fn attend_late(&self, call: &Call, route: &Route, status: StatusCode) -> Option<Visit> {
        let is_alive = status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS;
        let is_here = route.is_pinned && call.ask.elsewhere.is_none();
        let is_late = is_here && !call.ask.kind.is_visit() && route.pin.user.is_some();
        (is_alive && is_late)
            .then(|| self.attend(&call.ask, &route.pin))
            .flatten()
    }

    pub(super) fn set_pin(&self, headers: &mut HeaderMap, pin: &Pin) {
        let sealed = self
            .pin_key
            .seal(pin)
            .map(|sealed| pin::set_cookie(&sealed, pin.person().is_some()));
        match sealed.and_then(|line| HeaderValue::try_from(line).ok()) {
            Some(line) => drop(headers.append(SET_COOKIE, line)),
            None => {
                tracing::warn!(instance = %pin.instance, "a pin cannot be written: its name is too long")
            }
        }
    }
}

/// Over HTTP/2 any success would mean that the tunnel is open (RFC 8441 5), which an instance that did not switch never said.
fn refuse_tunnel(status: &mut StatusCode) {
    if status.is_success() {
        *status = StatusCode::BAD_REQUEST;
    }
}

/// A switch of protocols keeps its headers until it is answered.
fn headers_toward(response: &mut Response<Incoming>, keep_logins: bool, is_switch: bool) {
    if !(is_switch && response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        headers::toward_client(response.headers_mut(), keep_logins);
    }
}
