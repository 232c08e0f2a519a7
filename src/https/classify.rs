//! What kind of request this is: who may be moved, counted or sent a page depends on it, never where it goes.
//!
//! Browsers say it themselves (`Sec-Fetch-*`, Fetch Metadata); older ones and scripts are judged by `Accept` and path.

use http::header::{ACCEPT, AUTHORIZATION};
use http::request::Parts;
use http::{HeaderMap, Method};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person goes to a page.
    Navigation,
    /// A GET that says nothing of itself: a script, or a very old browser.
    Plain,
    /// A login form is sent.
    LoginPost,
    /// A page's own code asks: stale tabs do this for ever.
    Xhr,
    WebSocket,
    EventStream,
    /// Scripts, styles, images, fonts.
    Asset,
}

impl Kind {
    /// Somebody is there: a seat may be taken for it before the instance has answered.
    pub fn is_visit(self) -> bool {
        matches!(self, Self::Navigation | Self::Plain | Self::LoginPost)
    }

    /// A person looks at what is answered, and can be shown a page while they wait. Nothing else wakes or counts.
    pub fn may_wait(self) -> bool {
        matches!(self, Self::Navigation | Self::LoginPost)
    }

    /// It may be sent to another instance by a redirect: nothing is lost by asking there once more.
    pub fn may_move(self) -> bool {
        matches!(self, Self::Navigation | Self::Plain)
    }
}

/// `path` is the decoded one.
pub fn classify(head: &Parts, path: &str, is_websocket: bool) -> Kind {
    if is_websocket {
        return Kind::WebSocket;
    }
    let is_read = head.method == Method::GET || head.method == Method::HEAD;
    if head.method == Method::POST && path.starts_with("/hub/") && path.ends_with("login") {
        return Kind::LoginPost;
    }
    if !is_read {
        return Kind::Xhr;
    }
    let accept = text(&head.headers, ACCEPT.as_str());
    if accept.starts_with("text/event-stream") {
        return Kind::EventStream;
    }
    match text(&head.headers, "sec-fetch-mode") {
        "navigate" => return Kind::Navigation,
        "" => {}
        _ => return by_destination(text(&head.headers, "sec-fetch-dest")),
    }
    let is_api =
        path.starts_with("/hub/api/") || (path.starts_with("/user/") && path.contains("/api/"));
    let is_code = is_api
        || ["x-requested-with", "x-xsrftoken"]
            .iter()
            .any(|name| head.headers.contains_key(*name));
    match () {
        () if is_code && !head.headers.contains_key(AUTHORIZATION) => Kind::Xhr,
        () if accept.contains("text/html") => Kind::Navigation,
        () if path.contains("/static/") => Kind::Asset,
        () => Kind::Plain,
    }
}

/// Whether the client can show a page.
pub fn wants_html(headers: &HeaderMap) -> bool {
    text(headers, ACCEPT.as_str()).contains("text/html")
}

fn by_destination(destination: &str) -> Kind {
    match destination {
        "" | "empty" => Kind::Xhr,
        _ => Kind::Asset,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn kind(method: &str, path: &str, headers: &[(&str, &str)]) -> Kind {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        classify(&request.body(()).unwrap().into_parts().0, path, false)
    }

    #[test]
    fn browsers_are_believed() {
        let html = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert_eq!(
            kind("GET", "/", &[("sec-fetch-mode", "navigate"), html]),
            Kind::Navigation
        );
        assert_eq!(kind("GET", "/hub/home", &[html]), Kind::Navigation);
        let cors = ("sec-fetch-mode", "cors");
        assert_eq!(
            kind("GET", "/x", &[cors, ("sec-fetch-dest", "empty")]),
            Kind::Xhr
        );
        let script = [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")];
        assert_eq!(kind("GET", "/hub/static/x.js", &script), Kind::Asset);
        assert_eq!(
            kind("GET", "/p", &[("accept", "text/event-stream")]),
            Kind::EventStream
        );
    }

    #[test]
    fn scripts_and_forms_are_told_apart() {
        assert_eq!(kind("GET", "/hub/login", &[("accept", "*/*")]), Kind::Plain);
        assert_eq!(kind("GET", "/hub/login", &[]), Kind::Plain);
        assert_eq!(
            kind("GET", "/hub/api/users", &[("authorization", "token x")]),
            Kind::Plain
        );
        assert_eq!(
            kind("GET", "/user/a/api/kernels", &[("accept", "*/*")]),
            Kind::Xhr
        );
        assert_eq!(
            kind("GET", "/user/a/lab", &[("x-xsrftoken", "x")]),
            Kind::Xhr
        );
        assert_eq!(kind("POST", "/hub/login", &[]), Kind::LoginPost);
        assert_eq!(kind("POST", "/hub/pam/login", &[]), Kind::LoginPost);
        assert_eq!(kind("POST", "/user/a/api/kernels", &[]), Kind::Xhr);
        assert_eq!(kind("DELETE", "/hub/api/users/a/server", &[]), Kind::Xhr);
    }
}
