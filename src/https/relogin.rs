//! One person, one machine, from the browser's side: a login form goes to the hub its person belongs on.
//!
//! The page with the form came from the hub the browser happened to be placed on. The name in the form is proved by
//! nothing: it chooses where the password is checked, and nothing else. The hub there is asked for a page of its own, whose
//! token takes the place of the other hub's. The browser moves only when that hub lets its person in; a refusal is shown
//! as the first hub would have shown it. Whatever goes wrong before the form was written leaves it untouched for the
//! first hub.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, ORIGIN, SET_COOKIE,
    TRANSFER_ENCODING,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::body::{Body, Upload};
use super::cookies::{self, HUB_LOGIN};
use super::forward::{self, Answered, Failed};
use super::front::Front;
use super::headers;
use super::login_form::{self, LoginForm};
use super::pin::Pin;
use super::route::{Ask, Route, login};
use super::service::PATIENCE;
use crate::pool::{Instance, LoginRequest, PlacementReason, Protocol};

const LOGIN_PATH: &str = "/hub/login";
const XSRF: &str = "_xsrf";
/// A form of 4 KB comes within one round trip.
const FORM_PATIENCE: Duration = Duration::from_secs(10);
/// A hub that shows no page in this time would check no password either.
const PAGE_PATIENCE: Duration = Duration::from_secs(5);
/// Login pages of hubs are some 10 KB; those with a picture in them are larger.
const PAGE_MAX: usize = 1 << 20;

/// What became of a login form.
pub enum Carried {
    /// It belongs where the browser is, or could not be carried: here it is, whole.
    Untouched(Request<Upload>),
    /// The hub its person belongs on has let them in.
    Moved(Box<(Route, Answered)>),
    /// The hub its person belongs on has not.
    Refused(Response<Body>),
    /// It was written, and there is no answer.
    Lost,
}

/// A form that belongs elsewhere, and what it takes to get there.
struct Errand {
    form: LoginForm,
    instance: Arc<Instance>,
    reason: PlacementReason,
}

impl Front {
    /// Takes a login form to the hub its person belongs on, if that is another than the browser's.
    pub(super) async fn carry_login(&self, ask: &Ask, mut request: Request<Upload>) -> Carried {
        // A guest logs in where they are, or could visit nobody.
        let is_own = |pin: &&Pin| pin.guest.is_none() && self.holds(pin);
        let Some(pin) = ask.pin.as_ref().filter(is_own) else {
            return Carried::Untouched(request);
        };
        let Some(errand) = self.errand(ask, pin, &mut request).await else {
            return Carried::Untouched(request);
        };
        let Some(token) = self.token_of(&errand.instance, request.headers()).await else {
            return self.give_up(&errand, request, "it gave no login page");
        };
        let Some(carried) = carried(&request, &errand.form, &token) else {
            return self.give_up(&errand, request, "its token fits no form");
        };
        let sending = forward::send(&self.instances, &errand.instance, carried);
        let answered = match tokio::time::timeout(PATIENCE, sending).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(Failed::Connect { .. })) => {
                return self.give_up(&errand, request, "it cannot be reached");
            }
            Ok(Err(Failed::Client(_) | Failed::Instance(_))) | Err(_) => {
                self.metrics.count_moved_login("failed");
                return Carried::Lost;
            }
        };
        if answered.0.status().is_redirection() {
            return self.moved(ask, pin, errand, answered);
        }
        self.metrics.count_moved_login("refused");
        match refusal(answered, &token, &errand.form.token).await {
            Some(response) => Carried::Refused(response),
            None => Carried::Lost,
        }
    }

    async fn errand(&self, ask: &Ask, pin: &Pin, request: &mut Request<Upload>) -> Option<Errand> {
        if !is_login_form(request) {
            return None;
        }
        let body = request.body_mut();
        let body = body.read_whole(login_form::MAX_LEN, FORM_PATIENCE).await?;
        let form = LoginForm::read(body)?;
        // The hub that gave the token would have asked the same; its signature only that hub can check.
        let has_token = |value: &[u8]| value == form.token.as_bytes();
        if !cookies::values(request.headers(), XSRF).any(has_token) {
            return None;
        }
        let claim = claim(ask, pin, &form.user);
        let (instance, reason) = self.pool.belongs_elsewhere(&claim, &pin.instance)?;
        Some(Errand {
            form,
            instance,
            reason,
        })
    }

    fn give_up(&self, errand: &Errand, request: Request<Upload>, why: &str) -> Carried {
        let instance = &errand.instance.id;
        tracing::info!(%instance, reason = why, "a login form stays where its browser is");
        self.metrics.count_moved_login("failed");
        Carried::Untouched(request)
    }

    /// The token of the login page an instance shows this browser; `None` if it shows no such page.
    async fn token_of(&self, instance: &Arc<Instance>, from: &HeaderMap) -> Option<String> {
        let asking = async {
            let sent = forward::send(&self.instances, instance, page_request(from));
            let (response, lease) = sent.await.ok()?;
            if response.status() != StatusCode::OK {
                return None;
            }
            let token = given_token(response.headers())?;
            let page = read_page(response.into_body()).await?;
            lease.give_back();
            // A page without it has no form to be sent: people of this hub log in in some other way.
            find(&page, token.as_bytes()).is_some().then_some(token)
        };
        tokio::time::timeout(PAGE_PATIENCE, asking).await.ok()?
    }

    /// From here on the browser is the other instance's, before it has anything on the first.
    fn moved(&self, ask: &Ask, pin: &Pin, errand: Errand, answered: Answered) -> Carried {
        self.metrics.count_moved_login("moved");
        self.presence
            .leave(pin.browser, "logs in where they belong");
        let seat = self.pool.place(&claim(ask, pin, &errand.form.user)).ok();
        let seat = seat.filter(|seat| seat.instance().id == errand.instance.id);
        self.metrics
            .count_placement(Protocol::Jupyter, errand.reason);
        let pin = Pin::new(&errand.instance, pin.browser, None);
        let visitor = ask.visitor(pin.browser, None);
        let visit = seat.and_then(|seat| self.presence.admit(&visitor, seat));
        tracing::info!(instance = %pin.instance, reason = errand.reason.name(), "a login was taken where its person belongs");
        let route = Route {
            instance: errand.instance,
            pin,
            is_new_pin: true,
            is_pinned: false,
            visit,
        };
        Carried::Moved(Box::new((route, answered)))
    }
}

/// The name is only claimed: it is looked up, and leaves no trace.
fn claim(ask: &Ask, pin: &Pin, user: &str) -> LoginRequest {
    LoginRequest {
        user: Some(user.to_owned()),
        ..login(Some(&pin.instance.pool), None, ask.peer, &[])
    }
}

fn is_login_form(request: &Request<Upload>) -> bool {
    let headers = request.headers();
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_own_page = site.is_none_or(|site| [&b"same-origin"[..], b"none"].contains(&site));
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    *request.method() == Method::POST
        && request.uri().path() == LOGIN_PATH
        && is_own_page
        && length.is_none_or(|length| length <= login_form::MAX_LEN)
        && LoginForm::is_announced_by(headers)
}

/// The same browser, as far as the hub's token depends on it: its address, its name for itself, and its session.
fn page_request(from: &HeaderMap) -> Request<Upload> {
    let mut page = Request::new(Upload::Empty);
    *page.uri_mut() = Uri::from_static(LOGIN_PATH);
    let headers = page.headers_mut();
    *headers = from.clone();
    for name in [
        CONTENT_LENGTH,
        CONTENT_TYPE,
        TRANSFER_ENCODING,
        ORIGIN,
        ACCEPT_ENCODING,
    ] {
        headers.remove(name);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("text/html"));
    cookies::replace(headers, &[XSRF, HUB_LOGIN], None);
    page
}

/// The form as the other hub takes it.
fn carried(from: &Request<Upload>, form: &LoginForm, token: &str) -> Option<Request<Upload>> {
    let body = form.with_token(token)?;
    let mut carried = Request::new(Upload::Empty);
    *carried.method_mut() = Method::POST;
    *carried.uri_mut() = from.uri().clone();
    let headers = carried.headers_mut();
    *headers = from.headers().clone();
    headers.remove(TRANSFER_ENCODING);
    // A refusal is read here.
    headers.remove(ACCEPT_ENCODING);
    headers.insert(CONTENT_LENGTH, body.len().into());
    cookies::replace(headers, &[XSRF, HUB_LOGIN], Some((XSRF, token)));
    *carried.body_mut() = Upload::Whole(Some(body));
    Some(carried)
}

/// The other hub's refusal as the first one's: with the first one's token in its form, and none of the other's cookies.
async fn refusal(answered: Answered, theirs: &str, ours: &str) -> Option<Response<Body>> {
    let (response, lease) = answered;
    let (mut head, body) = response.into_parts();
    let page = tokio::time::timeout(PAGE_PATIENCE, read_page(body)).await;
    let page = page.ok().flatten()?;
    lease.give_back();
    let page = replaced(&page, theirs.as_bytes(), ours.as_bytes());
    headers::toward_client(&mut head.headers, false);
    for name in [SET_COOKIE, ETAG, CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    Some(Response::from_parts(
        head,
        Body::Own(Some(page).filter(|page| !page.is_empty())),
    ))
}

async fn read_page(body: Incoming) -> Option<Bytes> {
    let page = Limited::new(body, PAGE_MAX).collect().await.ok()?;
    Some(page.to_bytes())
}

fn given_token(headers: &HeaderMap) -> Option<String> {
    let token = cookies::given(headers, XSRF)?;
    // Quoted values would have to be written otherwise into a form than into a cookie.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\;,".contains(&byte);
    token.bytes().all(is_plain).then(|| token.to_owned())
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Bytes {
    let mut rest = text;
    let mut made = Vec::with_capacity(text.len());
    while let Some(at) = find(rest, old) {
        made.extend_from_slice(rest.get(..at).unwrap_or_default());
        made.extend_from_slice(new);
        rest = rest.get(at.saturating_add(old.len())..).unwrap_or_default();
    }
    made.extend_from_slice(rest);
    made.into()
}
