//! The gate's own answers: a page for people, JSON for code, and nothing from outside this file in either.
//!
//! Where an instance fails the status is always 503: JupyterLab takes any other for a dead kernel. Never cached, because
//! the next answer may be a good one.

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, RETRY_AFTER,
};
use http::{HeaderValue, Response, StatusCode, Version};

use super::body::Body;
use super::pages::words::Words;
use super::pages::{Page, Refresh, escape};
use crate::pool::Refusal;

/// Why there is no answer from an instance; said to people, so without names of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    Full,
    NoneUp,
    /// The pinned instance, or the one just placed on.
    NoAnswer,
}

impl Trouble {
    pub fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Full(_) | Refusal::InLine(_) => Self::Full,
            Refusal::NoSuchPool(_)
            | Refusal::NoSuchInstance { .. }
            | Refusal::NotRoutable(..)
            | Refusal::NoneUp(_) => Self::NoneUp,
        }
    }

    fn title(self, words: &Words) -> &'static str {
        match self {
            Self::Full => words.full,
            Self::NoneUp => words.starting,
            Self::NoAnswer => words.silent,
        }
    }

    fn say(self, words: &Words) -> &'static str {
        match self {
            Self::Full => words.crowd_say,
            Self::NoneUp => words.starting_say,
            Self::NoAnswer => words.silent_say,
        }
    }

    /// For code, which knows no languages.
    fn message(self) -> &'static str {
        match self {
            Self::Full => "every machine is in use",
            Self::NoneUp => "no machine is ready yet",
            Self::NoAnswer => "the machine does not answer",
        }
    }

    /// Seconds until it is worth asking again.
    fn retry_after_s(self) -> u32 {
        match self {
            Self::Full => 15,
            Self::NoneUp => 5,
            Self::NoAnswer => 3,
        }
    }
}

/// 503: a page that asks again by itself in this language, or a few bytes for code.
pub fn unavailable(trouble: Trouble, page: Option<&Words>) -> Response<Body> {
    let retry = trouble.retry_after_s();
    let Some(words) = page else {
        let text = format!(
            "{{\"status\": 503, \"message\": \"{}\"}}\n",
            trouble.message()
        );
        let mut response = own(StatusCode::SERVICE_UNAVAILABLE, "application/json", text);
        response.headers_mut().insert(RETRY_AFTER, retry.into());
        return response;
    };
    let title = trouble.title(words);
    let body = format!(
        "<h1>{}</h1><div class=\"track\" aria-hidden=\"true\"><i></i></div><p class=\"say\" role=\"status\">{}</p><p class=\"soft\">{}</p>",
        escape(title),
        escape(trouble.say(words)),
        escape(words.by_itself)
    );
    let page = Page {
        refresh: Some(Refresh {
            after_s: retry,
            to: None,
        }),
        ..Page::new(words, title, body)
    };
    page.unavailable(retry)
}

/// 400: the request could be read in two ways. The connection is closed, because so could what follows.
pub fn invalid(cause: &str, version: Version) -> Response<Body> {
    let mut response = own(StatusCode::BAD_REQUEST, "text/plain", format!("{cause}\n"));
    if version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

pub fn not_found() -> Response<Body> {
    own(
        StatusCode::NOT_FOUND,
        "text/plain",
        "not found\n".to_owned(),
    )
}

/// 303: whatever the method was, ask again with GET (RFC 9110 15.4.4). `None` if the path cannot be a header.
pub fn see_other(path_and_query: &str) -> Option<Response<Body>> {
    let mut response = own(StatusCode::SEE_OTHER, "text/plain", String::new());
    response
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_str(path_and_query).ok()?);
    Some(response)
}

fn own(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::Own(
        Some(Bytes::from(text)).filter(|text| !text.is_empty()),
    ));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = "default-src 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
