//! "Your machine was lost": said once to somebody who had work there, on their next way to a page.
//!
//! Once, because the page brings the pin to the new machine. Whatever open pages ask for by themselves never sees it. It does not
//! go on by itself: whoever reads slowly, or was away, would never learn where their work went.

use http::{Response, StatusCode};

use super::answer;
use super::body::Body;
use super::front::Front;
use super::pages::{Page, escape, same_origin};
use super::service::Call;

impl Front {
    /// The page, or a redirect for whoever cannot show one. The pin to the new machine is still to be set.
    pub(super) fn tell_of_loss(&self, call: &Call) -> Response<Body> {
        let next = &*call.path_and_query;
        let Some(words) = call.wants_html else {
            return answer::see_other(next).unwrap_or_else(answer::not_found);
        };
        self.metrics.count_page("lost");
        let body = format!(
            "<h1>{}</h1><p role=\"alert\">{}</p><p>{}</p>\
             <p class=\"do\"><a class=\"button\" href=\"{}\">{}</a></p>",
            escape(words.lost),
            escape(words.lost_say),
            escape(words.lost_more),
            escape(&same_origin(next)),
            escape(words.go_on),
        );
        Page::new(words, words.lost, body).answer(StatusCode::OK)
    }
}
