//! The gate's own pages: one shell and one look for all, in the person's language, whole without JavaScript.
//!
//! Nothing is loaded from anywhere, and the policy that goes out with a page allows its own style and script by their
//! hashes alone. Whatever comes from outside is escaped here, where it is put in.

pub mod words;

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::Body;
pub use crate::net::html::escape;
use words::Words;

const SHELL: &str = include_str!("pages/page.html");
const STYLE: &str = include_str!("pages/page.css");

/// A page's own script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    None,
    /// Follows the stages of the wait.
    Wait,
    /// Shows times as the browser's clock has them.
    LocalTime,
}

impl Script {
    const fn text(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Wait => include_str!("pages/wait.js"),
            Self::LocalTime => include_str!("pages/local_time.js"),
        }
    }

    fn policy(self) -> &'static HeaderValue {
        static PLAIN: LazyLock<HeaderValue> = LazyLock::new(|| policy(Script::None));
        static WAIT: LazyLock<HeaderValue> = LazyLock::new(|| policy(Script::Wait));
        static TIME: LazyLock<HeaderValue> = LazyLock::new(|| policy(Script::LocalTime));
        match self {
            Self::None => &PLAIN,
            Self::Wait => &WAIT,
            Self::LocalTime => &TIME,
        }
    }
}

/// Asks for an address by itself, if the browser runs no script (or the page has none).
pub struct Refresh<'a> {
    pub after_s: u32,
    /// Path and query, as the client wrote them; `None` for the page's own address. By GET in either case.
    pub to: Option<&'a str>,
}

pub struct Page<'a> {
    pub words: &'a Words,
    pub title: &'a str,
    /// Finished markup.
    pub body: String,
    pub refresh: Option<Refresh<'a>>,
    pub script: Script,
    /// For the script: where to go on, and whether this page was asked for with GET and is simply loaded again.
    pub next: Option<(&'a str, bool)>,
    pub is_wide: bool,
}

impl<'a> Page<'a> {
    pub fn new(words: &'a Words, title: &'a str, body: String) -> Self {
        Self {
            words,
            title,
            body,
            refresh: None,
            script: Script::None,
            next: None,
            is_wide: false,
        }
    }

    fn render(&self) -> String {
        let refresh = self.refresh.as_ref().map_or(String::new(), |refresh| {
            let to = refresh.to.map_or(String::new(), |to| {
                format!("; url={}", escape(&same_origin(to)))
            });
            let tag = format!(
                "<meta http-equiv=\"refresh\" content=\"{}{to}\">",
                refresh.after_s
            );
            match self.script {
                Script::Wait => format!("<noscript>{tag}</noscript>\n"),
                Script::None | Script::LocalTime => format!("{tag}\n"),
            }
        });
        let mut data = String::new();
        if self.is_wide {
            data.push_str(" class=\"wide\"");
        }
        if let Some((next, is_get)) = self.next {
            let way = if is_get { "reload" } else { "replace" };
            // Writing to a String does not fail.
            let _ = write!(
                data,
                " data-next=\"{}\" data-way=\"{way}\"",
                escape(&same_origin(next))
            );
        }
        let script = match self.script {
            Script::None => String::new(),
            script => format!("<script>{}</script>\n", script.text()),
        };
        // What is put in last cannot be filled in again: escaped text holds no braces.
        SHELL
            .replace("{{style}}", STYLE)
            .replace("{{script}}", &script)
            .replace("{{lang}}", self.words.lang)
            .replace("{{title}}", &escape(self.title))
            .replace("{{refresh}}", &refresh)
            .replace("{{data}}", &data)
            .replace("{{body}}", &self.body)
    }

    pub fn answer(&self, status: StatusCode) -> Response<Body> {
        let mut response = Response::new(Body::Own(Some(Bytes::from(self.render()))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(CONTENT_TYPE, html);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_SECURITY_POLICY, self.script.policy().clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert("referrer-policy", HeaderValue::from_static("same-origin"));
        response
    }

    /// 503 and when to ask again.
    pub fn unavailable(&self, retry_after_s: u32) -> Response<Body> {
        let mut response = self.answer(StatusCode::SERVICE_UNAVAILABLE);
        let headers = response.headers_mut();
        headers.insert(RETRY_AFTER, retry_after_s.into());
        response
    }
}

/// The language of the browser that sent these.
pub fn words_for(headers: &HeaderMap) -> &'static Words {
    let wanted = headers
        .get(ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    words::wanted(wanted.unwrap_or_default())
}

/// A path that a browser cannot take for another host: to it `/\x` is `//x`.
pub fn same_origin(path_and_query: &str) -> String {
    let path = path_and_query.trim_start_matches(['/', '\\']);
    format!("/{}", path.replace('\\', "%5C"))
}

fn policy(script: Script) -> HeaderValue {
    let allow = |text: &str| match text {
        "" => "'none'".to_owned(),
        text => {
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            format!("'sha256-{}'", STANDARD.encode(hash))
        }
    };
    let text = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
        allow(STYLE),
        allow(script.text())
    );
    // Digits, letters and base64: always a header's value.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(next: &str) -> String {
        let words = words::wanted("de");
        let page = Page {
            refresh: Some(Refresh {
                after_s: 5,
                to: Some(next),
            }),
            next: Some((next, true)),
            script: Script::Wait,
            ..Page::new(words, "a < b", "<p>body</p>".to_owned())
        };
        page.render()
    }

    #[test]
    fn what_comes_from_outside_is_escaped_and_stays_on_this_host() {
        let text = page("/hub/\"><script>alert(1)</script>{{body}}?a='b'&c");
        assert!(text.contains("<html lang=\"de\">"));
        assert!(text.contains("<title>a &lt; b</title>"));
        assert!(!text.contains("alert(1)</script>"), "{text}");
        assert_eq!(text.matches("<p>body</p>").count(), 1);
        assert!(text.contains("?a=&#39;b&#39;&amp;c"));
        for away in [
            "//evil.example/x",
            "/\\evil.example/x",
            "\\\\evil.example/x",
        ] {
            assert!(
                page(away).contains("data-next=\"/evil.example/x\""),
                "{away}"
            );
        }
        assert_eq!(same_origin("/a\\b"), "/a%5Cb");
    }

    #[test]
    fn the_policy_allows_what_the_page_holds_and_nothing_else() {
        let words = words::wanted("");
        let answer = Page::new(words, "x", String::new()).unavailable(7);
        let policy = answer.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.contains("script-src 'none'"), "{policy}");
        let script = Script::Wait.policy().to_str().unwrap();
        assert!(script.contains("script-src 'sha256-"), "{script}");
        for never in ["unsafe", "http", "*"] {
            assert!(!script.contains(never), "{script}");
        }
        assert_eq!(answer.headers()["retry-after"], "7");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        // Exactly the hashed text stands between the tags.
        let text = page("/");
        assert!(text.contains(&format!("<style>{STYLE}</style>")));
        assert!(text.contains(&format!("<script>{}</script>", Script::Wait.text())));
        for loaded in ["src=", "http://", "https://", "url(", "@import"] {
            assert!(!text.contains(loaded), "{loaded}");
        }
    }
}
