//! The gate's own paths, below `/.poolgate/`: never an instance's, and none of them says anything to strangers.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response};

use super::answer;
use super::body::Body;
use super::choice;
use super::front::Front;
use super::pages;
use super::service::Call;
use super::validate::Target;
use super::visit;

const ROOT: &str = "/.poolgate";
const WAIT: &str = "/.poolgate/wait";

/// `path` is the decoded one.
pub fn is_own(path: &str) -> bool {
    path.strip_prefix(ROOT)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Front {
    pub(super) fn own_page(
        self: &Arc<Self>,
        call: Call,
        head: &Parts,
        target: &Target,
    ) -> Response<Body> {
        match (&head.method, &*target.path) {
            (&Method::GET, WAIT) if !target.is_websocket => {
                let words = pages::words_for(&head.headers);
                self.watch_line(&call.ask, words, call.open)
            }
            (&Method::GET, choice::PAGE) => self.choice_page(&call, head),
            (&Method::GET, visit::PAGE) => self.visit_asked(&call, head),
            (&Method::POST, visit::PAGE) => self.visit(&call, head, target),
            (&Method::POST, choice::GO) => self.choose(&call, head, target),
            _ => answer::not_found(),
        }
    }
}
