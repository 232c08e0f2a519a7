//! The login page, and refusals as pages, for people with browsers: plain, and without a script.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::login::local;
use crate::admin::problem::Problem;
use crate::net::html::escape;

/// Whether a page serves whoever asks better than JSON.
pub fn is_wanted(path: &str, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    !path.starts_with("/api/") && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// `next` is where they go from here.
pub fn login(status: StatusCode, fault: Option<&str>, next: &str) -> Response {
    let fault = fault.map(|fault| format!("<p role=\"alert\">{}</p>", escape(fault)));
    let body = format!(
        "<h1>Poolgate</h1>{fault}\
         <form method=\"post\" action=\"/login\">\
         <label>Token <input type=\"password\" name=\"token\" autocomplete=\"current-password\" required autofocus></label>\
         <input type=\"hidden\" name=\"next\" value=\"{next}\">\
         <button>Log in</button></form>",
        fault = fault.unwrap_or_default(),
        next = escape(local(next)),
    );
    page(status, "Log in", &body)
}

pub fn of_problem(problem: &Problem) -> Response {
    let title = problem.status.canonical_reason().unwrap_or("Refused");
    let body = format!("<h1>{title}</h1><p>{}</p>", escape(&problem.detail));
    page(problem.status, title, &body)
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} - Poolgate</title>{body}"
    );
    (status, Html(html)).into_response()
}
