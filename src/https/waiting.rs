//! People for whom there is no seat: a moment's patience, then a page that shows how far things are and goes on by itself.
//!
//! Only people who look at what is answered wait: navigations and login forms. Whatever open pages ask for by themselves
//! gets a few bytes at once, takes no ticket and wakes nothing. A form is never sent again: its page leads back to it.

mod events;
mod line;

pub use events::Events;
pub use line::{TICKET, Waiting};

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, Response};

use self::line::Told;
use super::answer::{self, Trouble};
use super::body::Body;
use super::classify::Kind;
use super::cookies;
use super::front::Front;
use super::pages::words::Words;
use super::pages::{Page, Refresh, Script, escape};
use super::pin::BrowserId;
use super::route::{Ask, Direction};
use super::service::Call;
use crate::pool::{InstanceId, Protocol, Refusal, Stand, Waiter};
use crate::telemetry::audit::AuditEvent;

/// How long somebody is held before they see a page, where the next probe may bring a seat.
const HOLD: Duration = Duration::from_secs(2);
/// Seats come and go faster than it helps to ask for one.
const HOLD_PAUSE: Duration = Duration::from_millis(50);
/// How often a page without JavaScript asks.
const ASK_AGAIN_S: u32 = 5;

impl Front {
    /// As `route`; but nobody new passes those who came first, and who sees what is answered is held for a moment where
    /// a seat is likely at once.
    pub(super) async fn seek(&self, ask: &Ask, exclude: &[InstanceId]) -> Direction {
        let began = Instant::now();
        let mut held = None;
        loop {
            let direction = match self.is_behind_others(ask) {
                true => Direction::Refused(Refusal::Full(ask.pool.to_string())),
                false => self.route(ask, exclude),
            };
            match &direction {
                Direction::Refused(refusal) if ask.kind.may_wait() && may_pass(refusal) => {}
                Direction::Refused(_) | Direction::Down => return direction,
                Direction::To(_) | Direction::Move(_) | Direction::Lost(_) => {
                    self.waiting.leave(ask);
                    return direction;
                }
            }
            if held.is_none() {
                let is_likely = self
                    .waiting
                    .outlook(&self.pool.snapshot(), &ask.pool)
                    .is_likely;
                // Whoever has seen the page goes on seeing it.
                let is_first = self.waiting.ahead(ask).is_none();
                held = (is_likely && is_first)
                    .then(|| self.waiting.hold())
                    .flatten();
            }
            let left = HOLD.saturating_sub(began.elapsed());
            if held.is_none() || left.is_zero() {
                return direction;
            }
            let mut changes = self.pool.subscribe();
            changes.mark_unchanged();
            tokio::time::sleep(HOLD_PAUSE.min(left)).await;
            // Over or not, the pool is asked once more.
            drop(tokio::time::timeout(left, changes.changed()).await);
        }
    }

    /// Somebody needs a seat, and the free ones are for others who came first.
    fn is_behind_others(&self, ask: &Ask) -> bool {
        if self.waiting.is_empty() || !ask.kind.is_visit() {
            return false;
        }
        let needs_seat = match &ask.pin {
            None => true,
            // People whose machine is lost had a seat already.
            Some(pin) => pin.user.is_none() && !self.holds(pin),
        };
        needs_seat && self.waiting.is_behind(ask)
    }

    /// What somebody is answered for whom there is no seat.
    pub(super) fn refused(&self, call: &Call, refusal: &Refusal) -> Response<Body> {
        let ask = &call.ask;
        let page = call
            .wants_html
            .filter(|_| ask.kind.may_wait() && may_pass(refusal));
        let Some(words) = page else {
            self.note_refusal(call, refusal);
            return answer::unavailable(Trouble::of(refusal), call.wants_html);
        };
        if self.waiting.ahead(ask).is_none() {
            self.note_refusal(call, refusal);
        }
        self.metrics.count_page("waiting");
        let ticket = ask.ticket.or_else(BrowserId::random);
        let waiter = ticket.and_then(|ticket| waiter(ask, Some(ticket)));
        let snapshot = self.pool.snapshot();
        let stand = match waiter {
            Some(waiter) => self.waiting.join(&ask.pool, &waiter, ask.peer, &snapshot),
            None => Stand::CROWDED,
        };
        let is_get = ask.kind.may_move();
        let told = self.waiting.tell(&ask.pool, &stand, &snapshot, words);
        let mut response = page_of(words, &told, &call.path_and_query, is_get);
        if let Some(id) = ticket.filter(|_| ask.ticket.is_none()) {
            let value = URL_SAFE_NO_PAD.encode(id.0);
            let line = format!("{TICKET}={value}; Path=/; Secure; HttpOnly; SameSite=Lax");
            if let Ok(line) = HeaderValue::try_from(line) {
                response.headers_mut().append(SET_COOKIE, line);
            }
        }
        response
    }

    fn note_refusal(&self, call: &Call, refusal: &Refusal) {
        if !call.ask.kind.is_visit() {
            return;
        }
        self.metrics.count_login(Protocol::Jupyter, "refused");
        if !self.refusals.may_tell(Instant::now()) {
            return;
        }
        self.audit.write(&AuditEvent::Refused {
            user: call
                .ask
                .pin
                .as_ref()
                .and_then(|pin| pin.user.as_deref())
                .map(str::to_owned),
            protocol: "jupyter",
            peer: call.ask.peer,
            cause: refusal.to_string(),
            client: call.ask.client_name(),
        });
    }
}

/// The ticket that a cookie of somebody holds who may wait, or watches; without one the browser gets one with its page.
pub fn ticket(kind: Kind, headers: &HeaderMap) -> Option<BrowserId> {
    if !kind.may_wait() && kind != Kind::EventStream {
        return None;
    }
    let mut values = cookies::values(headers, TICKET).take(4);
    values.find_map(|value| {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        Some(BrowserId(bytes.try_into().ok()?))
    })
}

/// Who stands in the line: a person in all their windows once, anybody else by browser.
fn waiter(ask: &Ask, ticket: Option<BrowserId>) -> Option<Waiter> {
    let user = ask.pin.as_ref().and_then(|pin| pin.user.clone());
    match (user, ticket) {
        (Some(user), _) => Some(Waiter::Person(user)),
        (None, Some(ticket)) => Some(Waiter::Browser(ticket.0)),
        (None, None) => None,
    }
}

/// It may be over in a while; all others are somebody's mistake.
fn may_pass(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Full(_) | Refusal::InLine(_) | Refusal::NoneUp(_)
    )
}

fn page_of(words: &Words, told: &Told, next: &str, is_get: bool) -> Response<Body> {
    let mut steps = String::new();
    for (at, step) in (0_i8..).zip(words.steps) {
        let mark = match at.cmp(&told.step) {
            std::cmp::Ordering::Less => " class=\"done\"",
            std::cmp::Ordering::Equal => " aria-current=\"step\"",
            std::cmp::Ordering::Greater => "",
        };
        steps.push_str(&format!("<li{mark}>{}</li>", escape(step)));
    }
    let hidden = if told.step < 0 { " hidden" } else { "" };
    let form = match is_get {
        true => String::new(),
        false => format!("<p>{}</p>", escape(words.form_not_sent)),
    };
    let body = format!(
        "<h1 id=\"title\">{title}</h1>{form}\
         <div class=\"track\" aria-hidden=\"true\"><i></i></div>\
         <div role=\"status\" aria-live=\"polite\"><p class=\"say\" id=\"say\">{say}</p></div>\
         <p class=\"more\" id=\"more\">{more}</p>\
         <ol class=\"steps\" id=\"steps\"{hidden}>{steps}</ol>\
         <p class=\"soft\">{by_itself}</p>\
         <p class=\"do\"><a class=\"button quiet\" href=\"{next}\">{ask_now}</a></p>",
        title = escape(told.title),
        say = escape(&told.say),
        more = escape(&told.more),
        by_itself = escape(words.by_itself),
        next = escape(&super::pages::same_origin(next)),
        ask_now = escape(words.ask_now),
    );
    let page = Page {
        refresh: Some(Refresh {
            after_s: ASK_AGAIN_S,
            to: Some(next),
        }),
        script: Script::Wait,
        next: Some((next, is_get)),
        ..Page::new(words, told.title, body)
    };
    page.unavailable(ASK_AGAIN_S)
}
