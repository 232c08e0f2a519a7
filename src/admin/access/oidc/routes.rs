//! `/login/oidc` sends a browser to the provider, and `/login/oidc/callback` takes it back in.
//!
//! The way there is a link and the way back a page that goes on by itself: a browser that comes from elsewhere brings no
//! cookie of SameSite=Strict, and that page is ours.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use serde::Deserialize;

use super::super::login::local;
use super::super::sessions::{Whose, is_random, random};
use super::super::{Access, cookies, page};
use super::{Answer, BEGIN, Begin, CALLBACK, Fault, Finished, LIFE};
use crate::admin::caller::Link;
use crate::admin::problem::Problem;
use crate::net::penalties::Offence;
use crate::net::source::Source;

pub fn router(access: Arc<Access>) -> Router {
    Router::new()
        .route(BEGIN, get(begin))
        .route(CALLBACK, get(come_back))
        .with_state(access)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    next: String,
    /// `other`: somebody else than who is logged in at the provider.
    r#as: String,
}

async fn begin(
    State(access): State<Arc<Access>>,
    Extension(link): Extension<Link>,
    headers: HeaderMap,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let next = local(&asked.next).to_owned();
    let (Some(oidc), Some(peer)) = (access.ways().oidc.clone(), link.peer()) else {
        return page::of_problem(&no_provider(), false);
    };
    if let Err(denied) = access.may_try(peer) {
        return access.login_denied(&denied, &next);
    }
    let is_tls = link.is_tls();
    // The same for all logins that a browser has begun, in however many of its windows.
    let known = cookies::login_values(&headers, is_tls).find(|value| is_random(value));
    let Some(browser) = known.map(str::to_owned).or_else(random) else {
        return access.login_failed(&Fault::NoRandomness, &next);
    };
    let begin = Begin {
        next: next.clone(),
        replaces: cookies::session_values(&headers, is_tls)
            .map(str::to_owned)
            .collect(),
        anew: asked.r#as == "other",
    };
    match oidc.begin(&browser, Source::of(peer.ip()), begin).await {
        Ok(url) => {
            let mut response = Redirect::to(&url).into_response();
            set(&mut response, cookies::login_cookie(&browser, LIFE, is_tls));
            response
        }
        Err(fault) => access.login_failed(&fault, &next),
    }
}

async fn come_back(
    State(access): State<Arc<Access>>,
    Extension(link): Extension<Link>,
    headers: HeaderMap,
    answer: Result<Query<Answer>, QueryRejection>,
) -> Response {
    let (Some(oidc), Some(peer)) = (access.ways().oidc.clone(), link.peer()) else {
        return page::of_problem(&no_provider(), false);
    };
    if let Err(denied) = access.may_try(peer) {
        return access.login_denied(&denied, "/");
    }
    let answer = answer.map(|Query(answer)| answer).unwrap_or_default();
    let browsers = cookies::login_values(&headers, link.is_tls());
    match oidc.finish(answer, browsers).await {
        Ok(finished) => access.let_in(finished, &link, peer),
        Err(fault) => {
            if fault.is_forged() {
                access.charge(peer, Offence::AuthFail);
            }
            access.refuse(peer, &fault.to_string());
            access.login_failed(&fault, "/")
        }
    }
}

impl Access {
    fn let_in(&self, finished: Finished, link: &Link, peer: std::net::SocketAddr) -> Response {
        for value in &finished.replaces {
            self.sessions.end(value);
        }
        let whose = Whose::Person(Arc::new(finished.person));
        let value = self.admit(whose, "oidc", peer);
        let cookie = value.and_then(|value| cookies::session_cookie(&value, link.is_tls()));
        if cookie.is_none() {
            return self.login_failed(&Fault::NoRandomness, "/");
        }
        let mut response = page::going_on(local(&finished.next));
        set(&mut response, cookie);
        response
    }

    fn login_failed(&self, fault: &Fault, next: &str) -> Response {
        let status = match fault {
            Fault::Unavailable(_) | Fault::NoRandomness => StatusCode::SERVICE_UNAVAILABLE,
            Fault::Untrusted(_) | Fault::Refused(..) => StatusCode::UNAUTHORIZED,
            Fault::Stale => StatusCode::BAD_REQUEST,
            Fault::Stranger(_) => StatusCode::FORBIDDEN,
        };
        let is_known = matches!(fault, Fault::Stranger(_));
        self.login_page(status, Some(&fault.to_string()), next, is_known)
    }
}

impl Fault {
    /// Whether it is what somebody meets who makes answers up.
    fn is_forged(&self) -> bool {
        matches!(self, Self::Stale | Self::Untrusted(_))
    }
}

fn no_provider() -> Problem {
    Problem {
        status: StatusCode::NOT_FOUND,
        detail: "this gate knows no provider of accounts: log in with a token, or write [admin.oidc] in its configuration".to_owned(),
    }
}

fn set(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
