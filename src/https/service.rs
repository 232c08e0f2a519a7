//! One request from its head to its answer: validate, classify, route, rewrite, send, learn.
//!
//! The one place that decides whether another instance may be asked: only before any byte of the request was written.
//! What was written is never written again elsewhere; a read is sent to ask again by a 303, all else gets 503.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::header::{
    CONTENT_LENGTH, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, USER_AGENT,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use super::answer::{self, Trouble};
use super::body::{Body, Relayed, Upload};
use super::classify::{Kind, classify, wants_html};
use super::cookies;
use super::forward::{self, Answered, Failed};
use super::front::Front;
use super::headers;
use super::learn::Callback;
use super::listener::{Connection, OpenRequest};
use super::own;
use super::pages::{self, words::Words};
use super::pin::{self, Pin};
use super::presence::{Proof, Visit};
use super::relogin::Carried;
use super::route::{Ask, Direction, Route};
use super::upgrade::{self, Switch};
use super::validate::{Invalid, Target, validate};
use super::waiting;
use crate::pool::{Health, InstanceId, Protocol};

/// Instances a request without a pin is tried on.
const MAX_PLACES: usize = 3;
/// A hub answers a request to start a server within 10 s by default, and a slow directory a password within less.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const MAX_CLIENT_LEN: usize = 200;

/// What is known of a request apart from what is sent on.
pub(super) struct Call {
    pub ask: Ask,
    /// The language of somebody who can be shown a page.
    pub wants_html: Option<&'static Words>,
    pub path_and_query: String,
    callback: Option<Callback>,
    is_logout: bool,
    pub version: Version,
    /// Its half of the switch, if it wants a WebSocket.
    switch: Option<OnUpgrade>,
    pub open: OpenRequest,
}

impl Call {
    /// Somebody who has logged in there: their work is there too.
    fn is_settled(&self, route: &Route) -> bool {
        route.pin.user.is_some() || self.ask.has_hub_login
    }

    /// How long an instance may take to begin its answer; `None` is for ever. People's own servers may take their time
    /// (a long computation, an event stream), and code asks with its own patience. A hub may be slow too, while it
    /// checks a password or starts a server, but not before anybody has logged in.
    fn patience(&self, route: &Route, with_newcomers: Duration) -> Option<Duration> {
        let is_hub = !["/user/", "/services/", "/hub/api/"]
            .iter()
            .any(|own| self.path_and_query.starts_with(own));
        if !is_hub || !self.ask.kind.is_visit() {
            return None;
        }
        match self.ask.kind.may_move() && !self.is_settled(route) {
            true => Some(with_newcomers),
            false => Some(PATIENCE.max(with_newcomers)),
        }
    }
}

async fn within<T>(patience: Option<Duration>, sending: impl Future<Output = T>) -> Option<T> {
    match patience {
        Some(patience) => tokio::time::timeout(patience, sending).await.ok(),
        None => Some(sending.await),
    }
}

impl Front {
    /// Answers one request of a connection.
    pub(super) async fn answer(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let switch = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let log = self.access_log.as_ref();
        let mut entry = log.map(|log| log.begin(&head, connection.peer.ip()));
        let version = head.version;
        let mut response = match refuse(connection, &head) {
            Ok(target) => {
                let call = self.call(connection, &head, &target, switch);
                if let Some(entry) = &mut entry {
                    entry.of(call.ask.pin.as_ref());
                }
                self.answer_call(call, head, body, &target, connection)
                    .await
            }
            Err(refused) => refused.answer(version),
        };
        if let Some(hsts) = &self.hsts {
            let headers = response.headers_mut();
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        self.metrics.count_request(response.status().as_u16());
        match entry {
            Some(entry) => entry.follow(response),
            None => response,
        }
    }

    async fn answer_call(
        self: &Arc<Self>,
        call: Call,
        head: Parts,
        body: Incoming,
        target: &Target,
        connection: &Connection,
    ) -> Response<Body> {
        if own::is_own(&target.path) {
            return self.own_page(call, &head, target);
        }
        if let Some(page) = self.announcement(&call, &head, &target.path) {
            return page;
        }
        match self.outbound(head, body, target, connection) {
            Some(outbound) => super::even::answer(call.ask.kind, self.relay(call, outbound)).await,
            None => answer::unavailable(Trouble::NoAnswer, None),
        }
    }

    fn call(
        &self,
        connection: &Arc<Connection>,
        head: &Parts,
        target: &Target,
        switch: OnUpgrade,
    ) -> Call {
        let pins = cookies::values(&head.headers, pin::COOKIE);
        let pool = self.hosts.pool(&target.host);
        let pin = pins
            .filter_map(|value| std::str::from_utf8(value).ok())
            .take(4)
            .find_map(|text| self.pin_key.open(text))
            .filter(|pin| pin.instance.pool == *pool);
        let kind = classify(head, &target.path, target.is_websocket);
        let has_hub_login = cookies::values(&head.headers, cookies::HUB_LOGIN)
            .next()
            .is_some();
        Call {
            ask: Ask {
                kind,
                pool: pool.clone(),
                pin,
                ticket: waiting::ticket(kind, &head.headers),
                has_hub_login,
                peer: connection.peer,
                client: client_name(&head.headers),
            },
            wants_html: (kind.is_visit() && wants_html(&head.headers))
                .then(|| pages::words_for(&head.headers)),
            path_and_query: head
                .uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            callback: Callback::of(&head.method, head.uri.path()),
            is_logout: target.path.trim_end_matches('/') == "/hub/logout",
            version: head.version,
            switch: target.is_websocket.then_some(switch),
            open: OpenRequest::begin(connection),
        }
    }

    /// The request as an instance gets it, whichever that will be.
    fn outbound(
        &self,
        head: Parts,
        body: Incoming,
        target: &Target,
        connection: &Connection,
    ) -> Option<Request<Upload>> {
        let upload = if target.is_websocket {
            Upload::Empty
        } else {
            Upload::new(body, self.config.stall_timeout, self.metrics.clone())
        };
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let mut request = Request::new(upload);
        *request.method_mut() = if target.is_websocket {
            Method::GET
        } else {
            head.method
        };
        *request.uri_mut() = head.uri.path_and_query()?.as_str().parse().ok()?;
        *request.headers_mut() = head.headers;
        headers::toward_instance(request.headers_mut(), &target.host, connection.peer.ip());
        if target.is_websocket {
            upgrade::ask_for_websocket(request.headers_mut(), head.version)?;
        } else if is_read
            && matches!(request.body(), Upload::Streamed(_))
            && request.body().size_hint().exact().is_none()
        {
            // The HTTP library drops a read's body of unknown length unless it is told.
            request.headers_mut().remove(CONTENT_LENGTH);
            request
                .headers_mut()
                .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Some(request)
    }

    async fn relay(self: &Arc<Self>, call: Call, mut outbound: Request<Upload>) -> Response<Body> {
        if call.ask.kind == Kind::LoginPost {
            outbound = match self.carry_login(&call.ask, outbound).await {
                Carried::Untouched(form) => form,
                Carried::Moved(moved) => return self.finish(call, moved.0, moved.1),
                Carried::Refused(response) => return response,
                Carried::Lost => {
                    return answer::unavailable(Trouble::NoAnswer, call.wants_html);
                }
            };
        }
        let mut exclude: Vec<InstanceId> = Vec::new();
        loop {
            let route = match self.seek(&call.ask, &exclude).await {
                Direction::To(route) => route,
                other => return self.turn(&call, &other),
            };
            outbound.body_mut().count_for(route.visit.as_ref());
            let sending = async {
                match &call.switch {
                    Some(_) => {
                        forward::send_alone(&self.instances, &route.instance, outbound).await
                    }
                    None => forward::send(&self.instances, &route.instance, outbound).await,
                }
            };
            let patience = call.patience(&route, self.config.answer_timeout);
            let Some(sent) = within(patience, sending).await else {
                let instance = &route.instance.id;
                tracing::info!(%instance, ?patience, "an instance took too long to answer");
                return self.after_silence(&call, &route);
            };
            let failed = match sent {
                Ok(answered) => return self.after_answer(call, *route, answered).await,
                Err(failed) => failed,
            };
            let id = route.instance.id.clone();
            match failed {
                Failed::Connect { request, cause } => {
                    tracing::info!(instance = %id, %cause, "an instance cannot be reached");
                    if self.down.may_report(&id) {
                        self.pool.observe(&id, Protocol::Jupyter, Health::Down);
                    }
                    exclude.push(id);
                    outbound = *request;
                    if !route.is_pinned {
                        self.presence
                            .leave(route.pin.browser, "its instance cannot be reached");
                        if exclude.len() < MAX_PLACES {
                            continue;
                        }
                    }
                    return self.after_no_connect(&call, &route);
                }
                Failed::Client(cause) => {
                    tracing::debug!(%cause, "a request's body ended badly");
                    return answer::invalid("the request's body ended badly", call.version);
                }
                Failed::Instance(cause) => {
                    tracing::info!(instance = %id, %cause, "an instance broke off its answer");
                    return answer::unavailable(Trouble::NoAnswer, call.wants_html);
                }
            }
        }
    }

    async fn after_answer(&self, call: Call, route: Route, answered: Answered) -> Response<Body> {
        let path = &call.path_and_query;
        let elsewhere = self.pin_after_sign_in(&call.ask, &route, path, &answered.0);
        let elsewhere = elsewhere.await;
        let mut response = self.finish(call, route, answered);
        if let Some(pin) = elsewhere {
            self.pin_elsewhere(&mut response, &pin);
        }
        response
    }

    /// Somebody who has logged in there waits until the probes agree that it is down: it may only be restarting, and
    /// their work is there. Others go on elsewhere at once.
    fn after_no_connect(&self, call: &Call, route: &Route) -> Response<Body> {
        if call.is_settled(route) || !route.is_pinned {
            return answer::unavailable(Trouble::NoAnswer, call.wants_html);
        }
        let direction = self.move_elsewhere(&call.ask, &route.pin, &route.instance.id);
        self.turn(call, &direction)
    }

    /// Who comes for the first time is sent elsewhere, once: were every hub hung, they would be sent round and round. Who
    /// came before and has nothing there loses the seat, and goes elsewhere when the probes agree. All others ask again.
    fn after_silence(&self, call: &Call, route: &Route) -> Response<Body> {
        if call.is_settled(route) || !call.ask.kind.may_move() {
            return answer::unavailable(Trouble::NoAnswer, call.wants_html);
        }
        self.presence
            .leave(route.pin.browser, "its hub does not answer");
        if route.is_pinned {
            return answer::unavailable(Trouble::NoAnswer, call.wants_html);
        }
        let direction = self.move_elsewhere(&call.ask, &route.pin, &route.instance.id);
        self.turn(call, &direction)
    }

    /// An answer that is not an instance's.
    fn turn(&self, call: &Call, direction: &Direction) -> Response<Body> {
        match direction {
            Direction::Move(pin) => {
                let moved = answer::see_other(&call.path_and_query);
                let mut response = moved.unwrap_or_else(answer::not_found);
                self.set_pin(response.headers_mut(), pin);
                response
            }
            Direction::Lost(pin) => {
                let mut response = self.tell_of_loss(call);
                self.set_pin(response.headers_mut(), pin);
                response
            }
            Direction::Refused(refusal) => self.refused(call, refusal),
            Direction::Down | Direction::To(_) => {
                answer::unavailable(Trouble::NoAnswer, call.wants_html)
            }
        }
    }

    /// What an instance has answered, on its way to the person.
    fn finish(&self, call: Call, mut route: Route, answered: Answered) -> Response<Body> {
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
        if self.access_log.is_some() {
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
        let callback = call.callback.as_ref().filter(|_| route.is_pinned);
        let proved = callback.and_then(|callback| callback.proved(status, headers));
        let browser = route.pin.browser;
        if let Some(user) = proved {
            route.pin = Pin::new(&route.instance, browser, Some(user.into()));
            route.is_new_pin = true;
            self.presence.leave_unless(browser, user);
            if self.presence.visit(browser, &route.instance.id).is_none() {
                route.visit = self.attend(&call.ask, &route.pin);
            }
            let proof = Proof {
                user,
                peer: call.ask.peer,
                client: &call.ask.client,
            };
            self.presence.prove(browser, &route.instance.id, &proof);
            route.visit = self.presence.visit(browser, &route.instance.id);
        } else if call.is_logout && route.is_pinned && route.pin.user.is_some() {
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
        let is_late = route.is_pinned && !call.ask.kind.is_visit() && route.pin.user.is_some();
        (is_alive && is_late)
            .then(|| self.attend(&call.ask, &route.pin))
            .flatten()
    }

    pub(super) fn set_pin(&self, headers: &mut HeaderMap, pin: &Pin) {
        let sealed = self
            .pin_key
            .seal(pin)
            .map(|sealed| pin::set_cookie(&sealed));
        match sealed.and_then(|line| HeaderValue::try_from(line).ok()) {
            Some(line) => drop(headers.append(SET_COOKIE, line)),
            None => {
                tracing::warn!(instance = %pin.instance, "a pin cannot be written: its name is too long")
            }
        }
    }
}

/// What is answered without asking where the request belongs.
enum Refused {
    Invalid(Invalid),
    NotFound,
}

impl Refused {
    fn answer(&self, version: Version) -> Response<Body> {
        match self {
            Self::Invalid(invalid) => answer::invalid(&invalid.to_string(), version),
            Self::NotFound => answer::not_found(),
        }
    }
}

fn refuse(connection: &Connection, head: &Parts) -> Result<Target, Refused> {
    let target = validate(head).map_err(Refused::Invalid)?;
    if connection.has_two_lengths.load(Ordering::Relaxed) {
        return Err(Refused::Invalid(Invalid::TwoLengths));
    }
    // An instance's metrics are not for the public.
    if matches!(
        target.path.trim_end_matches('/'),
        "/metrics" | "/hub/metrics"
    ) {
        return Err(Refused::NotFound);
    }
    Ok(target)
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

fn client_name(headers: &HeaderMap) -> String {
    let name = headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    name.chars().take(MAX_CLIENT_LEN).collect()
}
