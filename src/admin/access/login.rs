//! `/login` and `/logout`: a token once, a session's cookie from then on.

use std::sync::Arc;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::sessions::Whose;
use super::{Access, Denied, cookies, oidc, page};
use crate::admin::caller::Link;
use crate::admin::problem::Problem;

/// Longer than any address of a page here.
const NEXT_BYTES_MAX: usize = 512;

pub fn router(access: Arc<Access>) -> Router {
    Router::new()
        .route("/login", get(show).post(log_in))
        .route("/logout", post(log_out))
        .with_state(access.clone())
        .merge(oidc::router(access))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

/// What the login form sends; no `Debug`, it holds a token.
#[derive(Deserialize)]
struct LoginForm {
    token: String,
    /// A path of this side to go to.
    #[serde(default)]
    next: String,
}

async fn show(
    State(access): State<Arc<Access>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let next = asked.map(|Query(asked)| asked.next).unwrap_or_default();
    access.login_page(StatusCode::OK, None, &next, false)
}

async fn log_in(
    State(access): State<Arc<Access>>,
    Extension(link): Extension<Link>,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    let Form(form) = match form {
        Ok(form) => form,
        Err(rejection) => {
            let detail = rejection.body_text();
            let status = rejection.status();
            return Problem { status, detail }.into_response();
        }
    };
    match access.begin(&link, &headers, &form.token) {
        Ok(cookie) => {
            let mut response = Redirect::to(local(&form.next)).into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(Failure::Denied(denied)) if page::is_wanted("/login", &headers) => {
            access.login_denied(&denied, &form.next)
        }
        Err(Failure::Denied(denied)) => {
            let mut response = denied.problem().into_response();
            denied.mark(&mut response);
            response
        }
        Err(Failure::Other(problem)) => problem.into_response(),
    }
}

async fn log_out(
    State(access): State<Arc<Access>>,
    Extension(link): Extension<Link>,
    headers: HeaderMap,
) -> Response {
    let mut of_provider = false;
    for value in cookies::session_values(&headers, link.is_tls()) {
        let ended = access.sessions.end(value);
        of_provider |= matches!(ended, Some(Whose::Person(_)));
    }
    let ways = access.ways();
    let elsewhere = ways.oidc.as_ref().filter(|_| of_provider);
    let mut response = match elsewhere.and_then(|oidc| Some((oidc, oidc.end_session()?))) {
        Some((oidc, url)) => page::logged_out(oidc.display_name(), &url),
        None => Redirect::to("/login").into_response(),
    };
    if let Some(cookie) = cookies::no_session_cookie(link.is_tls()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

enum Failure {
    Denied(Denied),
    Other(Problem),
}

impl Access {
    /// The cookie of a new session; an older one of this browser ends.
    fn begin(&self, link: &Link, headers: &HeaderMap, token: &str) -> Result<HeaderValue, Failure> {
        let Some(peer) = link.peer() else {
            return Err(Failure::Denied(Denied::Closed));
        };
        // Else a page elsewhere could log its visitors in as somebody, and see what they then do.
        if !cookies::is_from_here(headers) {
            let detail =
                "this was sent by a page of another site, or under another name than this one's";
            return Err(other(StatusCode::FORBIDDEN, detail));
        }
        let holder = self.holder_of(token.trim(), peer);
        let holder = holder.map_err(Failure::Denied)?;
        for value in cookies::session_values(headers, link.is_tls()) {
            self.sessions.end(value);
        }
        let value = self.admit(Whose::Token(holder.hash), "token", peer);
        let cookie = value.and_then(|value| cookies::session_cookie(&value, link.is_tls()));
        let detail = "the system has no randomness for a session: see its log";
        cookie.ok_or_else(|| other(StatusCode::SERVICE_UNAVAILABLE, detail))
    }
}

impl Access {
    /// `is_known`: the provider knows who they are, and they may be somebody else too.
    pub(super) fn login_page(
        &self,
        status: StatusCode,
        fault: Option<&str>,
        next: &str,
        is_known: bool,
    ) -> Response {
        let next = local(next);
        let ways = self.ways();
        let provider = ways.oidc.as_ref().map(|oidc| page::Provider {
            name: oidc.display_name(),
            begins_at: oidc.begins_at(next, is_known),
            is_known,
        });
        let has_tokens = ways.tokens.is_some();
        page::login(status, fault, next, provider, has_tokens)
    }

    pub(super) fn login_denied(&self, denied: &Denied, next: &str) -> Response {
        let problem = denied.problem();
        let mut response = self.login_page(problem.status, Some(&problem.detail), next, false);
        denied.mark(&mut response);
        response
    }
}

fn other(status: StatusCode, detail: &str) -> Failure {
    let detail = detail.to_owned();
    Failure::Other(Problem { status, detail })
}

/// The path itself if it leads nowhere but here, else the first page: a link must not carry people away who have just
/// logged in.
pub fn local(next: &str) -> &str {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match is_path && is_plain && next.len() <= NEXT_BYTES_MAX && next != "/login" {
        true => next,
        false => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_login_people_stay_here() {
        assert_eq!(local("/instances?pool=main"), "/instances?pool=main");
        let long = format!("/{}", "x".repeat(600));
        for next in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:1",
            "/a b",
            "/a\nSet-Cookie: b",
            "/login",
            &long,
        ] {
            assert_eq!(local(next), "/", "{next}");
        }
    }
}
