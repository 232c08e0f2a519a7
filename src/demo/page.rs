//! The web page of a demo instance, in the shape of a JupyterHub: its paths, redirects and cookies, and behind them one
//! page that says where the browser has landed.
//!
//! Any name logs in, because nothing is behind the login: the page runs no code and shows only the visitor's own request.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod tokens;

use super::accept::accept_each;
use crate::net::html::escape;
use tokens::Tokens;

const MAX_FORM_BYTES: usize = 4096;
const SHELL: &str = include_str!("page.html");

type Answer = Response<Full<Bytes>>;

/// The page of one instance.
pub(super) struct Page {
    instance: String,
    /// Who holds which cookie.
    logins: Tokens,
    /// One-time codes between the hub's half and the notebook's half, as OAuth has them.
    codes: Tokens,
}

impl Page {
    pub(super) fn new(instance: &str) -> Self {
        Self {
            instance: instance.into(),
            logins: Tokens::default(),
            codes: Tokens::default(),
        }
    }

    /// Serves `listener` until `shutdown`.
    pub(super) async fn run(
        self,
        listener: TcpListener,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) {
        let page = Arc::new(self);
        let ends = shutdown.clone();
        accept_each(listener, tasks, shutdown, |stream| {
            let (page, shutdown) = (Arc::clone(&page), ends.clone());
            async move {
                let service = hyper::service::service_fn(move |request| {
                    let page = Arc::clone(&page);
                    async move { Ok::<_, Infallible>(page.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::select! {
                    _ = connection => {}
                    () = shutdown.cancelled() => {}
                }
            }
        })
        .await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
        match (request.method(), words.as_slice()) {
            (&Method::GET, ["hub", "health"]) => text(StatusCode::OK, ""),
            (&Method::GET, [] | ["hub"] | ["hub", "home" | "spawn"]) => {
                self.enter(request.headers())
            }
            (&Method::GET, ["hub", "user", ..]) => self.enter(request.headers()),
            (&Method::GET, ["hub", "login"]) => self.login_form(request.headers(), ""),
            (&Method::POST, ["hub", "login"]) => self.login(request).await,
            (&Method::GET, ["hub", "logout"]) => self.logout(request.headers()),
            (&Method::GET, ["user", name, "oauth_callback"]) => self.callback(&request, name),
            (&Method::GET, ["user", name, "lab"]) => self.lab(request.headers(), name),
            (&Method::GET, ["user", name]) => redirect(&format!("/user/{name}/lab")),
            _ => text(StatusCode::NOT_FOUND, "The demo page has nothing here."),
        }
    }

    /// Sends a browser on: with a hub login to its notebook's door, without one to the form.
    fn enter(&self, headers: &HeaderMap) -> Answer {
        let token = cookie(headers, "jupyterhub-hub-login");
        match token.and_then(|token| self.logins.holder(&token)) {
            Some(name) => redirect(&self.door(&name)),
            None => redirect("/hub/login"),
        }
    }

    fn door(&self, name: &str) -> String {
        format!(
            "/user/{name}/oauth_callback?code={}",
            self.codes.issue(name)
        )
    }

    fn login_form(&self, headers: &HeaderMap, complaint: &str) -> Answer {
        let known = cookie(headers, "_xsrf").filter(|token| is_plain(token));
        let token = known.unwrap_or_else(tokens::random);
        let body = format!(
            "<h1>Log in to the demo pool</h1>\
             <p class=soft>Any name works, and no password: nothing is behind this page.</p><p role=alert>{complaint}</p>\
             <form method=post action=/hub/login><input type=hidden name=_xsrf value=\"{token}\">\
             <label for=username>Your name</label><input id=username name=username required autofocus \
             maxlength=32 pattern=\"[A-Za-z0-9._\\-]+\" autocomplete=username><button>Log in</button></form>"
        );
        let mut answer = self.render("Log in", &body);
        set_cookie(&mut answer, headers, "_xsrf", &token, "/hub/");
        answer
    }

    async fn login(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let Ok(body) = Limited::new(body, MAX_FORM_BYTES).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "That form is too long.");
        };
        let form = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        let token = cookie(&head.headers, "_xsrf");
        if token.is_none() || field(&form, "_xsrf") != token {
            return text(
                StatusCode::FORBIDDEN,
                "The form is out of date: reload the login page.",
            );
        }
        let name = field(&form, "username").unwrap_or_default();
        if !is_plain(&name) || name.len() > 32 {
            let complaint = "A name is 1 to 32 letters, digits, dots, dashes or underscores.";
            return self.login_form(&head.headers, complaint);
        }
        let mut answer = redirect(&self.door(&name));
        let login = self.logins.issue(&name);
        set_cookie(
            &mut answer,
            &head.headers,
            "jupyterhub-hub-login",
            &login,
            "/hub/",
        );
        set_cookie(
            &mut answer,
            &head.headers,
            "jupyterhub-session-id",
            &tokens::random(),
            "/",
        );
        tracing::info!(user = name, "logged in by browser");
        answer
    }

    fn callback(&self, request: &Request<Incoming>, name: &str) -> Answer {
        let code = request.uri().query().and_then(|query| field(query, "code"));
        let holder = code.and_then(|code| self.codes.redeem(&code));
        if holder.as_deref() != Some(name) {
            return redirect("/hub/login");
        }
        let mut answer = redirect(&format!("/user/{name}/lab"));
        let (cookie, path) = (format!("jupyterhub-user-{name}"), format!("/user/{name}/"));
        let token = self.logins.issue(name);
        set_cookie(&mut answer, request.headers(), &cookie, &token, &path);
        answer
    }

    fn lab(&self, headers: &HeaderMap, name: &str) -> Answer {
        let token = cookie(headers, &format!("jupyterhub-user-{name}"));
        let holder = token.and_then(|token| self.logins.holder(&token));
        if holder.as_deref() != Some(name) {
            return redirect(&format!("/hub/user/{name}"));
        }
        let instance = escape(&self.instance);
        let seen = |header: &str| {
            let value = headers
                .get(header)
                .map(|v| String::from_utf8_lossy(v.as_bytes()));
            escape(&value.unwrap_or("(not sent)".into()))
        };
        let body = format!(
            "<h1>You are on <em>{instance}</em></h1><p>and this instance knows you as <strong>{name}</strong>.</p>\
             <dl><dt>Host</dt><dd><code>{}</code></dd><dt>Your address</dt><dd><code>{}</code></dd>\
             <dt>Scheme</dt><dd><code>{}</code></dd></dl><h2>To try</h2><ol>\
             <li>Reload: you stay on <code>{instance}</code>.</li>\
             <li>Run the ssh line that the demo printed with <code>{name}@</code> in front of the address, and there \
             <code>echo $POOLGATE_INSTANCE</code>: the same instance.</li>\
             <li>Open the address in a private window under another name: the least-loaded instance.</li>\
             <li><code>poolgate status</code> with the socket that the demo printed: who is where.</li></ol>\
             <form action=/hub/logout><button class=plain>Log out</button></form>",
            seen("host"),
            seen("x-forwarded-for"),
            seen("x-scheme"),
        );
        self.render(&format!("{name} on {}", self.instance), &body)
    }

    fn logout(&self, headers: &HeaderMap) -> Answer {
        let login = cookie(headers, "jupyterhub-hub-login");
        if let Some(name) = login.and_then(|token| self.logins.holder(&token)) {
            self.logins.forget(&name);
        }
        let mut answer = redirect("/hub/login");
        for (name, path) in [
            ("jupyterhub-hub-login", "/hub/"),
            ("jupyterhub-session-id", "/"),
        ] {
            let gone = format!("{name}=; Path={path}; Max-Age=0");
            append(&mut answer, header::SET_COOKIE, &gone);
        }
        answer
    }

    fn render(&self, title: &str, body: &str) -> Answer {
        let title = escape(&format!("{title} · Poolgate demo"));
        let page = SHELL.replace("{{title}}", &title).replace("{{body}}", body);
        let mut answer = text(StatusCode::OK, &page);
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, html);
        let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";
        append(&mut answer, header::CONTENT_SECURITY_POLICY, policy);
        append(&mut answer, header::CACHE_CONTROL, "no-store");
        answer
    }
}

fn text(status: StatusCode, body: &str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

fn redirect(to: &str) -> Answer {
    let mut answer = text(StatusCode::FOUND, "");
    append(&mut answer, header::LOCATION, to);
    answer
}

/// Every value is made of checked names and random tokens; one that is no header value after all is left out.
fn append(answer: &mut Answer, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().append(name, value);
    }
}

fn set_cookie(answer: &mut Answer, headers: &HeaderMap, name: &str, value: &str, path: &str) {
    let over_tls = headers
        .get("x-scheme")
        .is_some_and(|scheme| scheme == "https");
    let secure = if over_tls { "; Secure" } else { "" };
    let cookie = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}");
    append(answer, header::SET_COOKIE, &cookie);
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value.to_owned())
}

/// A field of an `application/x-www-form-urlencoded` text.
fn field(form: &str, name: &str) -> Option<String> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(n, _)| *n == name)?;
    let value = value.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&value).decode_utf8();
    decoded.ok().map(|text| text.into_owned())
}

/// Letters, digits, dots, dashes and underscores: fit for a path, a cookie and a page as it is.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !word.is_empty() && word.len() <= 64 && word.chars().all(plain) && !word.starts_with('.')
}

#[cfg(test)]
mod tests;
