//! Visits: a person at another person's server, by a sharing link or its address, where that is on another instance.
//!
//! A browser holds the login of one hub at a time, so a visit moves its pin, once its person has agreed on a page that
//! says so; the pin then names its guest. Without a proof there are no visits, and nobody learns who is where. A guest is
//! no session there and proves nothing: they belong where they did, and the way to a page of their own leads back. What
//! open pages ask for goes to whoever's server it is, so that tabs on both instances go on. Who may look into a server is
//! for its hub to say, as ever.

use std::sync::Arc;

use http::request::Parts;
use http::{Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::answer;
use super::body::Body;
use super::choice::is_own_form;
use super::classify::Kind;
use super::front::Front;
use super::pages::words::Words;
use super::pages::{Page, escape, same_origin, words_for};
use super::pin::Pin;
use super::route::{Ask, login};
use super::service::Call;
use super::validate::Target;
use crate::pool::{Instance, InstanceId, LoginRequest};

pub const PAGE: &str = "/.poolgate/visit";
const ACCEPT_SHARE: &str = "/hub/accept-share";
/// Pages of a hub that are about whoever looks at them; with what is below the last two.
const OWN_PAGES: [&str; 5] = ["/", "/hub", "/hub/", "/hub/home", "/hub/token"];
const OWN_PREFIXES: [&str; 2] = ["/hub/spawn", "/hub/user-redirect/"];

impl Front {
    /// Where a page's own code finds the server it asks, if that is not where its browser is.
    pub(super) fn server_elsewhere(
        &self,
        ask: &Ask,
        head: &Parts,
        path: &str,
    ) -> Option<Arc<Instance>> {
        let owner = path.strip_prefix("/user/")?.split('/').next()?;
        let pin = ask.pin.as_ref()?;
        let is_foreign = pin.person()? != owner || pin.guest.is_some();
        if !is_foreign || is_way_to_page(ask.kind, head) || ask.kind == Kind::LoginPost {
            return None;
        }
        self.instance_of(ask, owner, &pin.instance)
    }

    /// What somebody gets who goes to a page that is not on their instance: the way home, or the question whether they
    /// want to go there.
    pub(super) fn visit_page(
        &self,
        call: &Call,
        head: &Parts,
        target: &Target,
    ) -> Option<Response<Body>> {
        let pin = call.ask.pin.as_ref()?;
        let me = pin.person()?;
        if !is_way_to_page(call.ask.kind, head) {
            return None;
        }
        let query = head.uri.query().unwrap_or_default();
        let whose = owner(&target.path).or_else(|| shared_by(&target.path, query));
        let is_own = match &whose {
            Some(whose) => whose == me,
            None => is_own_page(&target.path),
        };
        if is_own {
            return pin.guest.as_ref().and_then(|_| self.go_home(call, pin, me));
        }
        let (whose, words) = (whose?, call.wants_html?);
        self.instance_of(&call.ask, &whose, &pin.instance)?;
        self.metrics.count_page("visit");
        Some(question(words, &whose, &call.path_and_query))
    }

    /// A sharing link that this hub does not know is another's, or over.
    pub(super) fn ask_whose(&self, call: &Call, status: StatusCode) -> Option<Response<Body>> {
        let path = call.path_and_query.split('?').next().unwrap_or_default();
        let is_unknown = status == StatusCode::NOT_FOUND && path == ACCEPT_SHARE;
        let words = call.wants_html.filter(|_| is_unknown)?;
        call.ask.pin.as_ref()?.person()?;
        self.metrics.count_page("visit");
        let page = whose_page(words, &call.path_and_query, false);
        Some(page.answer(StatusCode::NOT_FOUND))
    }

    /// The same page again, or the question, once they have said whose server it is.
    pub(super) fn visit_asked(&self, call: &Call, head: &Parts) -> Response<Body> {
        let (Some(pin), query) = (&call.ask.pin, head.uri.query().unwrap_or_default()) else {
            return answer::not_found();
        };
        let (Some(me), Some(next)) = (pin.person(), field(query, "next")) else {
            return answer::not_found();
        };
        let words = words_for(&head.headers);
        let whose = field(query, "person").unwrap_or_default();
        let whose = whose.trim();
        let is_elsewhere =
            whose != me && self.instance_of(&call.ask, whose, &pin.instance).is_some();
        self.metrics.count_page("visit");
        match is_elsewhere {
            true => question(words, whose, &next),
            false => whose_page(words, &next, !whose.is_empty()).answer(StatusCode::OK),
        }
    }

    /// They have agreed.
    pub(super) fn visit(&self, call: &Call, head: &Parts, target: &Target) -> Response<Body> {
        let (Some(pin), query) = (&call.ask.pin, head.uri.query().unwrap_or_default()) else {
            return answer::not_found();
        };
        let (Some(me), Some(whose), Some(next)) =
            (pin.person(), field(query, "person"), field(query, "next"))
        else {
            return answer::not_found();
        };
        if !is_own_form(head, target) {
            return answer::invalid("this form is not the gate's", call.version);
        }
        let mut response = answer::see_other(&same_origin(&next)).unwrap_or_else(answer::not_found);
        if let Some(instance) = self.instance_of(&call.ask, &whose, &pin.instance) {
            tracing::info!(instance = %instance.id, "a person visits another's server");
            self.presence.leave(pin.browser, "visits another instance");
            let guest = Pin {
                guest: Some(me.into()),
                ..Pin::new(&instance, pin.browser, None)
            };
            self.set_pin(response.headers_mut(), &guest);
        }
        response
    }

    /// The visit is over; the page is asked for again at home.
    fn go_home(&self, call: &Call, pin: &Pin, me: &str) -> Option<Response<Body>> {
        let new = match self.instance_of(&call.ask, me, &pin.instance) {
            Some(home) => Pin::new(&home, pin.browser, Some(me.into())),
            // They have nothing anywhere else any more.
            None => {
                let instance = self.pool.instance(&pin.instance)?;
                Pin::new(&instance, pin.browser, None)
            }
        };
        let mut response = answer::see_other(&call.path_and_query)?;
        self.set_pin(response.headers_mut(), &new);
        Some(response)
    }

    /// The instance this person is on, if that is another.
    pub(super) fn instance_of(
        &self,
        ask: &Ask,
        user: &str,
        at: &InstanceId,
    ) -> Option<Arc<Instance>> {
        let claim = LoginRequest {
            user: Some(user.to_owned()),
            ..login(Some(&at.pool), None, ask.peer, &[])
        };
        self.pool
            .belongs_elsewhere(&claim, at)
            .map(|(instance, _)| instance)
    }
}

fn question(words: &Words, whose: &str, next: &str) -> Response<Body> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let body = format!(
        "<h1>{}</h1><p>{}</p><p>{}</p>\
         <form method=\"post\" action=\"{PAGE}?person={}&amp;next={}\" class=\"do\"><button>{}</button></form>\
         <p class=\"soft\"><a href=\"/hub/home\">{}</a></p>",
        escape(words.visit),
        escape(&words.visit_say.replace("{name}", whose)),
        escape(words.visit_more),
        encode(whose),
        encode(next),
        escape(words.go_on),
        escape(words.visit_own),
    );
    Page::new(words, words.visit, body).answer(StatusCode::OK)
}

fn whose_page<'a>(words: &'a Words, next: &str, is_unknown: bool) -> Page<'a> {
    let told = match is_unknown {
        true => format!("<p role=\"alert\">{}</p>", escape(words.share_none)),
        false => String::new(),
    };
    let body = format!(
        "<h1>{}</h1><p>{}</p>{told}\
         <form method=\"get\" action=\"{PAGE}\" class=\"do\"><input type=\"hidden\" name=\"next\" value=\"{}\">\
         <input name=\"person\" aria-label=\"{}\" required maxlength=\"255\" autocomplete=\"off\" autofocus> \
         <button>{}</button></form><p class=\"soft\"><a href=\"/hub/home\">{}</a></p>",
        escape(words.share),
        escape(words.share_say),
        escape(next),
        escape(words.share),
        escape(words.go_on),
        escape(words.visit_own),
    );
    Page::new(words, words.share, body)
}

/// A whole page, and nothing that is shown inside of one.
fn is_way_to_page(kind: Kind, head: &Parts) -> bool {
    let destination = head.headers.get("sec-fetch-dest");
    kind.may_move() && destination.is_none_or(|destination| destination == "document")
}

fn is_own_page(path: &str) -> bool {
    OWN_PAGES.contains(&path) || OWN_PREFIXES.iter().any(|prefix| path.starts_with(prefix))
}

/// Whose server a decoded path is about.
fn owner(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/hub").unwrap_or(path);
    let name = rest.strip_prefix("/user/")?.split('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whose server a sharing link is about, if it says where it leads.
fn shared_by(path: &str, query: &str) -> Option<String> {
    let next = field(query, "next").filter(|_| path == ACCEPT_SHARE)?;
    let path = next.split('?').next().unwrap_or_default();
    owner(&percent_decode_str(path).decode_utf8().ok()?)
}

fn field(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let value = value.replace('+', " ");
    let value = percent_decode_str(&value).decode_utf8().ok()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_links_tell_whose_server_they_lead_to() {
        for (path, query, whose) in [
            ("/user/alice/lab/tree/a.ipynb", "", Some("alice")),
            ("/user/alice", "", Some("alice")),
            ("/hub/user/alice/lab", "", Some("alice")),
            (
                "/hub/accept-share",
                "code=x&next=%2Fuser%2Falice%2Flab%3Fa",
                Some("alice"),
            ),
            ("/hub/accept-share", "next=/user/a%2540b.c/", Some("a@b.c")),
            ("/hub/accept-share", "code=x", None),
            ("/hub/login", "next=%2Fuser%2Falice%2F", None),
            ("/hub/users/alice", "", None),
            ("/user/", "", None),
        ] {
            let told = owner(path).or_else(|| shared_by(path, query));
            assert_eq!(told.as_deref(), whose, "{path}?{query}");
        }
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let words = words_for(&http::HeaderMap::new());
        let next = "/hub/accept-share?code=\"><script>x</script>";
        let response = whose_page(words, next, true).answer(StatusCode::OK);
        let Body::Own(Some(text)) = response.into_body() else {
            panic!("no page");
        };
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains("<script>x"), "{text}");
        assert!(text.contains("code=&quot;&gt;&lt;script&gt;x"), "{text}");
    }
}
