//! One request from its head to its answer: validate, classify, route, rewrite, send, learn.
//!
//! The one place that decides whether another instance may be asked: only before any byte of the request was written.
//! What was written is never written again elsewhere; a read is sent to ask again by a 303, all else gets 503.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use super::answer::{self, Trouble};
use super::body::{Body, Upload};
use super::classify::{Kind, classify, wants_html};
use super::cookies;
use super::even;
use super::forward::{self, Failed};
use super::front::Front;
use super::headers;
use super::learn::Callback;
use super::listener::{Connection, OpenRequest};
use super::own;
use super::pages::{self, words::Words};
use super::pin::{self, Pin};
use super::relogin::Carried;
use super::route::{Ask, Direction, Route};
use super::sign_in::AUTHORIZE;
use super::upgrade;
use super::validate::{Invalid, Target, validate};
use super::waiting;
use crate::pool::{Answer, Health, InstanceId, Protocol};
use crate::telemetry::failed_logins;
use crate::telemetry::traces::{self, works};

/// Instances a request without a pin is tried on.
const MAX_PLACES: usize = 3;
/// A hub answers a request to start a server within 10 s by default, and a slow directory a password within less.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of a request apart from what is sent on.
pub(super) struct Call {
    pub ask: Ask,
    /// The language of somebody who can be shown a page.
    pub wants_html: Option<&'static Words>,
    pub path_and_query: String,
    pub callback: Option<Callback>,
    /// The hub login that somebody asks for a server with.
    pub hub_login: Option<String>,
    pub is_logout: bool,
    pub version: Version,
    /// Its half of the switch, if it wants a WebSocket.
    pub switch: Option<OnUpgrade>,
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

async fn within<T>(
    patience: Option<Duration>,
    sending: std::pin::Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
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
        let began = Instant::now();
        let mut is_tunnel = false;
        let switch = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let log = self.access_log.as_ref();
        let mut entry = log.map(|log| log.begin(&head, connection.peer.ip()));
        let version = head.version;
        let mut response = match refuse(connection, &head) {
            Ok(target) => {
                is_tunnel = target.is_websocket;
                let call = self.call(connection, &head, &target, switch);
                if let Some(entry) = &mut entry {
                    entry.of(call.ask.pin.as_ref());
                }
                tell_trace(call.ask.pin.as_ref());
                self.answer_call(call, head, body, &target, connection)
                    .await
            }
            Err(refused) => refused.answer(version),
        };
        if let Some(hsts) = &self.hsts {
            let headers = response.headers_mut();
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        let took = (!is_tunnel).then(|| began.elapsed());
        self.metrics.count_request(response.status().as_u16(), took);
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
        if let Some(page) = self.visit_page(&call, &head, target) {
            return page;
        }
        match self.outbound(head, body, target, connection) {
            Some(outbound) => {
                let (kind, began) = (call.ask.kind, Instant::now());
                let response = self.relay(call, outbound).await;
                if kind == Kind::LoginPost && is_refusal(response.status()) {
                    // The name in the form is the hub's to read.
                    failed_logins::tell("", connection.peer, failed_logins::Way::Https);
                }
                even::wait(kind, began, response.status()).await;
                response
            }
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
            .find_map(|text| connection.last_pin.open(text, &self.pin_key))
            .filter(|pin| pin.instance.pool == *pool);
        let kind = classify(head, &target.path, target.is_websocket);
        let hub_login = cookies::values(&head.headers, cookies::HUB_LOGIN).next();
        let has_hub_login = hub_login.is_some();
        let hub_login = hub_login.filter(|_| target.path == AUTHORIZE);
        let mut ask = Ask {
            kind,
            pool: pool.clone(),
            pin,
            ticket: waiting::ticket(kind, &head.headers),
            elsewhere: None,
            has_hub_login,
            peer: connection.peer,
            client: head.headers.get(USER_AGENT).cloned(),
        };
        ask.elsewhere = self.server_elsewhere(&ask, head, &target.path);
        Call {
            ask,
            wants_html: (kind.is_visit() && wants_html(&head.headers))
                .then(|| pages::words_for(&head.headers)),
            path_and_query: head
                .uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            callback: Callback::of(&head.method, head.uri.path()),
            hub_login: hub_login.and_then(|value| String::from_utf8(value.to_vec()).ok()),
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
        *request.uri_mut() = Uri::from(head.uri.path_and_query()?.clone());
        *request.headers_mut() = head.headers;
        let peer = connection.peer_text.as_ref();
        headers::toward_instance(request.headers_mut(), &target.host, peer);
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
            outbound = match Box::pin(self.carry_login(&call.ask, outbound)).await {
                Carried::Untouched(form) => form,
                Carried::Moved(moved) => return self.after_answer(call, moved.0, moved.1).await,
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
                        let sending =
                            forward::send_alone(&self.instances, &route.instance, outbound);
                        Box::pin(sending).await
                    }
                    None => forward::send(&self.instances, &route.instance, outbound).await,
                }
            };
            let patience = call.patience(&route, self.config.answer_timeout);
            let Some(sent) = within(patience, pin!(sending)).await else {
                let instance = &route.instance.id;
                tracing::info!(%instance, wait = ?patience, "an instance took too long to answer");
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
                        let answer = Answer::new(Health::Down, format!("a request: {cause}"));
                        self.pool.observe(&id, Protocol::Jupyter, answer);
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
}

/// Whose request it is, as the gate has signed it.
fn tell_trace(pin: Option<&Pin>) {
    if let Some(user) = pin.and_then(|pin| pin.user.as_ref()) {
        traces::tell(works::USER, user);
    }
}

/// How hubs answer a login form that lets nobody in: with the form once more.
fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
    )
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
