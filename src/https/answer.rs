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

    fn title(self) -> &'static str {
        match self {
            Self::Full => "Every machine is in use",
            Self::NoneUp => "No machine is available yet",
            Self::NoAnswer => "Your machine does not answer",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Full => {
                "You will be let in as soon as a seat is free. This page asks again by itself."
            }
            Self::NoneUp => {
                "The pool is starting or is being repaired. This page asks again by itself."
            }
            Self::NoAnswer => {
                "It may be back in a moment; if not, you will be taken to another one. This page asks again by itself."
            }
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

/// 503 with a page or JSON.
pub fn unavailable(trouble: Trouble, wants_html: bool) -> Response<Body> {
    let (title, advice) = (trouble.title(), trouble.advice());
    let retry = trouble.retry_after_s();
    let mut response = if wants_html {
        let page = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta http-equiv=\"refresh\" content=\"{retry}\"><title>{title}</title>\
             <style>:root{{color-scheme:light dark}}body{{font:1.1rem/1.6 system-ui,sans-serif;\
             max-width:34rem;margin:18vh auto;padding:0 1.5rem}}h1{{font-size:1.5rem}}</style></head>\
             <body><main><h1>{title}</h1><p>{advice}</p></main></body></html>\n"
        );
        own(
            StatusCode::SERVICE_UNAVAILABLE,
            "text/html; charset=utf-8",
            page,
        )
    } else {
        let text = format!("{{\"status\": 503, \"message\": \"{title}\"}}\n");
        own(StatusCode::SERVICE_UNAVAILABLE, "application/json", text)
    };
    response.headers_mut().insert(RETRY_AFTER, retry.into());
    response
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
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
