//! The login page, and refusals as pages, for people with browsers: in the dashboard's looks, and without a script.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::admin::dashboard::{icon_path, style_path};
use crate::admin::problem::Problem;

/// Whether a page serves whoever asks better than JSON.
pub fn is_wanted(path: &str, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    !path.starts_with("/api/") && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Who else lets people in.
pub struct Provider<'a> {
    pub name: &'a str,
    pub begins_at: String,
    /// Somebody is logged in there already, who is nobody here.
    pub is_known: bool,
}

/// `next` is where they go from here, a path of this side.
pub fn login(
    status: StatusCode,
    fault: Option<&str>,
    next: &str,
    provider: Option<Provider<'_>>,
    has_tokens: bool,
) -> Response {
    let page = Login {
        looks: Looks::now(),
        fault: fault.map(sentence),
        next,
        provider,
        has_tokens,
    };
    answer(status, &page)
}

/// For who has just come from elsewhere: a page of ours that leads on by itself, with the cookie that was set by it.
pub fn going_on(next: &str) -> Response {
    let page = GoingOn {
        looks: Looks::now(),
        next,
    };
    answer(StatusCode::OK, &page)
}

/// Logged out here, and still logged in at the provider, which `url` ends.
pub fn logged_out(name: &str, url: &str) -> Response {
    let page = LoggedOut {
        looks: Looks::now(),
        name,
        url,
    };
    answer(StatusCode::OK, &page)
}

/// `may_go_on`: there are other pages for whoever is refused this.
pub fn of_problem(problem: &Problem, may_go_on: bool) -> Response {
    let page = Refusal {
        looks: Looks::now(),
        title: problem.status.canonical_reason().unwrap_or("Refused"),
        detail: sentence(&problem.detail),
        may_go_on,
    };
    answer(problem.status, &page)
}

/// Details of problems begin in the middle of a line elsewhere; here they stand for themselves.
fn sentence(detail: &str) -> String {
    let mut chars = detail.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    let end = if detail.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    format!("{}{}{end}", first.unwrap_or_default(), chars.as_str())
}

struct Looks {
    style: &'static str,
    icon: &'static str,
}

impl Looks {
    fn now() -> Self {
        Self {
            style: style_path(),
            icon: icon_path(),
        }
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    looks: Looks,
    fault: Option<String>,
    next: &'a str,
    provider: Option<Provider<'a>>,
    has_tokens: bool,
}

#[derive(Template)]
#[template(path = "going_on.html")]
struct GoingOn<'a> {
    looks: Looks,
    next: &'a str,
}

#[derive(Template)]
#[template(path = "logged_out.html")]
struct LoggedOut<'a> {
    looks: Looks,
    name: &'a str,
    url: &'a str,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal<'a> {
    looks: Looks,
    title: &'a str,
    detail: String,
    may_go_on: bool,
}

/// Templates render from memory into memory, which does not fail.
fn answer(status: StatusCode, page: &impl Template) -> Response {
    (status, Html(page.render().unwrap_or_default())).into_response()
}
