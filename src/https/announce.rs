//! Operators' notices for people in browsers: a page of its own, once a notice, on their next way to a page.
//!
//! Bodies on their way are never changed, so a notice cannot be put into a page of the hub. Shown is one only where a whole
//! page is asked for, by a browser that keeps cookies; what open pages ask for and the steps of a login pass untouched.

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::body::Body;
use super::classify::Kind;
use super::cookies;
use super::front::Front;
use super::pages::{Page, Script, escape, same_origin};
use super::service::Call;
use crate::shared_pool::{Reader, Standing};

/// Ids of the notices this browser has shown, in hex.
const SEEN: &str = "__Host-poolgate-seen";
const SEEN_AGE_S: u32 = 31 * 24 * 3600;
const SEEN_MAX: usize = 32;
/// A page of a person's own server, by what follows its name.
const OWN_PAGES: [&str; 3] = ["", "lab", "tree"];

impl Front {
    /// The page with what this browser has not shown yet, if it is on its way to a page. `path` is the decoded one.
    pub(super) fn announcement(
        &self,
        call: &Call,
        head: &Parts,
        path: &str,
    ) -> Option<Response<Body>> {
        if !self.pool.has_notices() || !is_way_to_page(call, head, path) {
            return None;
        }
        let (words, pin) = (call.wants_html?, call.ask.pin.as_ref()?);
        let visit = self.presence.visit(pin.browser, &pin.instance);
        let seen: Vec<u64> = cookies::values(&head.headers, SEEN)
            .filter_map(|value| std::str::from_utf8(value).ok())
            .flat_map(|value| value.split('.'))
            .take(SEEN_MAX)
            .filter_map(|id| u64::from_str_radix(id, 16).ok())
            .collect();
        let standing = self.pool.notices(Reader {
            session: visit.map(|visit| visit.session()),
            user: pin.user.as_deref(),
            instance: &pin.instance,
        });
        if standing.iter().all(|notice| seen.contains(&notice.id)) {
            return None;
        }
        self.metrics.count_page("notice");
        let new = standing.iter().filter(|notice| !seen.contains(&notice.id));
        let notices: String = new.map(|notice| markup(notice, words.deadline)).collect();
        let body = format!(
            "<h1>{}</h1>{notices}<p class=\"do\"><a class=\"button\" href=\"{}\">{}</a></p>",
            escape(words.notice),
            escape(&same_origin(&call.path_and_query)),
            escape(words.go_on),
        );
        let page = Page {
            script: Script::LocalTime,
            ..Page::new(words, words.notice, body)
        };
        let mut response = page.answer(StatusCode::OK);
        let ids: Vec<String> = standing
            .iter()
            .map(|notice| format!("{:x}", notice.id))
            .collect();
        let line = format!(
            "{SEEN}={}; Path=/; Max-Age={SEEN_AGE_S}; Secure; HttpOnly; SameSite=Lax",
            ids.join(".")
        );
        // Without the cookie the page would come again and again.
        let line = HeaderValue::try_from(line).ok()?;
        response.headers_mut().append(SET_COOKIE, line);
        Some(response)
    }
}

fn markup(notice: &Standing, deadline: &str) -> String {
    let mut text = format!("<p class=\"quote\">{}</p>", escape(&notice.text));
    let at = notice.deadline.map(Timestamp::try_from);
    if let Some(Ok(at)) = at {
        text.push_str(&format!(
            "<p>{}: <time datetime=\"{at:.0}\">{}</time></p>",
            escape(deadline),
            at.strftime("%Y-%m-%d %H:%M UTC"),
        ));
    }
    text
}

/// A whole page of the hub or of a person's own server, asked for by itself and by no step of a login.
fn is_way_to_page(call: &Call, head: &Parts, path: &str) -> bool {
    let destination = head.headers.get("sec-fetch-dest");
    let is_whole = destination.is_none_or(|destination| destination == "document");
    let is_read = head.method == Method::GET && call.ask.kind == Kind::Navigation;
    is_whole && is_read && is_page(path) && !is_login_step(head.uri.query().unwrap_or_default())
}

fn is_page(path: &str) -> bool {
    if let Some(own) = path.strip_prefix("/user/") {
        let page = own.split_once('/').map_or("", |(_, page)| page);
        let first = page.split('/').next().unwrap_or_default();
        return OWN_PAGES.contains(&first);
    }
    let Some(hub) = path.strip_prefix("/hub") else {
        return path == "/";
    };
    let is_hub = hub.is_empty() || hub.starts_with('/');
    let is_other = ["/api/", "/static/", "/logo", "/logout", "/oauth"]
        .iter()
        .any(|other| hub.starts_with(other));
    is_hub && !is_other && !hub.ends_with("callback")
}

fn is_login_step(query: &str) -> bool {
    let mut names = query
        .split('&')
        .map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| {
        let name = percent_decode_str(name).decode_utf8_lossy();
        matches!(&*name, "code" | "state" | "token" | "ticket")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_pages_are_told_from_all_else() {
        for page in [
            "/",
            "/hub",
            "/hub/home",
            "/hub/spawn/alice",
            "/hub/login",
            "/user/alice",
            "/user/alice/",
            "/user/alice/lab/tree/a.ipynb",
            "/user/alice/tree",
        ] {
            assert!(is_page(page), "{page}");
        }
        for other in [
            "/hubble",
            "/hub/api/users",
            "/hub/oauth_callback",
            "/hub/oauth_login",
            "/hub/saml/callback",
            "/hub/logout",
            "/hub/static/a.css",
            "/user/alice/oauth_callback",
            "/user/alice/files/report.html",
            "/user/alice/api/kernels",
            "/services/x",
            "/favicon.ico",
        ] {
            assert!(!is_page(other), "{other}");
        }
        assert!(is_login_step("next=1&c%6fde=x") && !is_login_step("next=%2Fhub%2F"));
    }
}
