//! "Your machine was lost": said once to somebody who had work there, on their next way to a page.
//!
//! Once, because the page brings the pin to the new machine. Whatever open pages ask for by themselves never sees it.

use http::{Response, StatusCode};

use super::answer;
use super::body::Body;
use super::front::Front;
use super::pages::{Page, Refresh, escape, same_origin};
use super::service::Call;

/// Time to read it.
const GO_ON_S: u32 = 20;

impl Front {
    /// The page, or a redirect for whoever cannot show one. The pin to the new machine is still to be set.
    pub(super) fn tell_of_loss(&self, call: &Call) -> Response<Body> {
        let next = &*call.path_and_query;
        let Some(words) = call.wants_html else {
            return answer::see_other(next).unwrap_or_else(answer::not_found);
        };
        self.metrics.count_page("lost");
        let soon = words.lost_soon.replace("{n}", &GO_ON_S.to_string());
        let body = format!(
            "<h1>{}</h1><p role=\"alert\">{}</p><p>{}</p>\
             <p class=\"do\"><a class=\"button\" href=\"{}\">{}</a></p><p class=\"soft\">{}</p>",
            escape(words.lost),
            escape(words.lost_say),
            escape(words.lost_more),
            escape(&same_origin(next)),
            escape(words.go_on),
            escape(&soon),
        );
        let page = Page {
            refresh: Some(Refresh {
                after_s: GO_ON_S,
                to: Some(next),
            }),
            ..Page::new(words, words.lost, body)
        };
        page.answer(StatusCode::OK)
    }
}
