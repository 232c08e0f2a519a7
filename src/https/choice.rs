//! `/.poolgate/admin`: an administrator chooses the instance whose hub they want to see, for `/hub/admin` acts on one hub.
//!
//! Choosing is only a pin: the hub still asks who it is. But it goes past placement, so it is for names that the
//! configuration lists and a hub has proved. The proof belongs to the instance that gave it; a voucher of the gate's own,
//! good for a quarter of an hour, carries the name over to the next choice. To everybody else these paths do not exist.

use http::header::{COOKIE, ORIGIN, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::answer;
use super::body::Body;
use super::cookies;
use super::front::Front;
use super::pages::{Page, escape, words_for};
use super::pin::{BrowserId, Pin, unix_seconds};
use super::service::Call;
use super::validate::Target;
use crate::pool::{AdminState, Health, InstanceId, InstanceView};

pub const PAGE: &str = "/.poolgate/admin";
pub const GO: &str = "/.poolgate/go";
const VOUCHER: &str = "__Host-poolgate-admin";
/// The first byte of what is signed; a pin's is another.
const VOUCHER_VERSION: u8 = 0x81;
const VOUCHER_AGE_S: u64 = 900;
/// Where a choice leads.
const ADMIN: &str = "/hub/admin";

impl Front {
    /// The instances of this pool, each with a button.
    pub(super) fn choice_page(&self, call: &Call, head: &Parts) -> Response<Body> {
        let Some(admin) = self.admin(call, head) else {
            return answer::not_found();
        };
        self.metrics.count_page("admin");
        let snapshot = self.pool.snapshot();
        let rows: String = snapshot.instances_of(&call.ask.pool).map(row).collect();
        let body = format!(
            "<h1>Instances of pool {}</h1>\
             <p>Each instance has a hub of its own. Choose one to see its admin page; you log in there again, and your own \
             server goes on running where it is.</p>\
             <div class=\"table\"><table><thead><tr><th>Instance</th><th>State</th><th>Sessions</th><th>Hub</th></tr></thead>\
             <tbody>{rows}</tbody></table></div>",
            escape(&call.ask.pool)
        );
        let page = Page {
            is_wide: true,
            ..Page::new(words_for(&HeaderMap::new()), "Instances", body)
        };
        let mut response = page.answer(StatusCode::OK);
        if let Some(pin) = &call.ask.pin {
            self.vouch(&admin, pin.browser, &mut response);
        }
        response
    }

    /// Pins the browser to the instance that its form names.
    pub(super) fn choose(&self, call: &Call, head: &Parts, target: &Target) -> Response<Body> {
        let Some(admin) = self.admin(call, head) else {
            return answer::not_found();
        };
        if !is_own_form(head, target) {
            return answer::invalid("this form is not the gate's", call.version);
        }
        let chosen = head.uri.query().and_then(|query| {
            let name = query.strip_prefix("instance=")?;
            percent_decode_str(name).decode_utf8().ok()
        });
        let id = chosen.map(|name| InstanceId {
            pool: call.ask.pool.clone(),
            name: name.into(),
        });
        let (Some(instance), Some(pin)) = (
            id.and_then(|id| self.pool.instance(&id)),
            call.ask.pin.as_ref(),
        ) else {
            return answer::not_found();
        };
        self.presence
            .leave(pin.browser, "chose another instance as an administrator");
        tracing::info!(%admin, instance = %instance.id, peer = %call.ask.peer, "an administrator chose an instance");
        let mut response = answer::see_other(ADMIN).unwrap_or_else(answer::not_found);
        // Who works elsewhere looks in as a guest: their login form stays, and the way to their own pages leads back.
        let works_elsewhere = self.instance_of(&call.ask, &admin, &instance.id).is_some();
        let chosen = Pin {
            guest: works_elsewhere.then(|| (&*admin).into()),
            ..Pin::new(&instance, pin.browser, None)
        };
        self.set_pin(response.headers_mut(), &chosen);
        self.vouch(&admin, pin.browser, &mut response);
        response
    }

    /// The listed name that this browser has proved.
    fn admin(&self, call: &Call, head: &Parts) -> Option<String> {
        if self.config.admins.is_empty() || !head.headers.contains_key(COOKIE) {
            return None;
        }
        let pin = call.ask.pin.as_ref()?;
        let vouched = || {
            let mut values = cookies::values(&head.headers, VOUCHER).take(4);
            values.find_map(|value| self.vouched(std::str::from_utf8(value).ok()?, pin.browser))
        };
        // Whoever has proved a name here since is that person and no other.
        let name = pin.person().map(str::to_owned).or_else(vouched)?;
        self.config.admins.contains(&name).then_some(name)
    }

    /// Lets the name outlive this pin, in this browser.
    fn vouch(&self, admin: &str, browser: BrowserId, response: &mut Response<Body>) {
        let mut bytes = vec![VOUCHER_VERSION];
        bytes.extend_from_slice(&unix_seconds().to_be_bytes());
        bytes.extend_from_slice(&browser.0);
        bytes.extend_from_slice(admin.as_bytes());
        let line = format!(
            "{VOUCHER}={}; Path=/; Max-Age={VOUCHER_AGE_S}; Secure; HttpOnly; SameSite=Strict",
            self.pin_key.sign(bytes)
        );
        if let Ok(line) = HeaderValue::try_from(line) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }

    /// Whoever uses this browser next is somebody else.
    pub(super) fn forget_voucher(&self, headers: &mut HeaderMap) {
        if !self.config.admins.is_empty() {
            let line =
                "__Host-poolgate-admin=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict";
            headers.append(SET_COOKIE, HeaderValue::from_static(line));
        }
    }

    fn vouched(&self, text: &str, browser: BrowserId) -> Option<String> {
        let bytes = self.pin_key.verify(text)?;
        let rest = bytes.strip_prefix(&[VOUCHER_VERSION])?;
        let (issued, rest) = rest.split_first_chunk::<8>()?;
        let (id, name) = rest.split_first_chunk::<16>()?;
        let age = unix_seconds().checked_sub(u64::from_be_bytes(*issued))?;
        let is_good = age <= VOUCHER_AGE_S && *id == browser.0;
        String::from_utf8(name.to_vec()).ok().filter(|_| is_good)
    }
}

fn row(view: &InstanceView) -> String {
    let is_full = view.sessions >= view.capacity;
    let is_open = view.admin_state == AdminState::Ready
        && view.services.jupyter == Some(Health::Up)
        && !is_full;
    let health = view.services.jupyter.map_or("no hub", Health::name);
    // Why it cannot be chosen, where it cannot.
    let mut state = match view.admin_state {
        AdminState::Ready => health.to_owned(),
        other => format!("{}, {health}", other.name()),
    };
    if is_full {
        state.push_str(", full");
    }
    let name = utf8_percent_encode(&view.name, NON_ALPHANUMERIC);
    let disabled = if is_open { "" } else { " disabled" };
    format!(
        "<tr><td>{}</td><td>{state}</td><td>{} / {}</td><td><form method=\"post\" action=\"{GO}?instance={name}\">\
         <button{disabled} aria-label=\"Choose {}\">Choose</button></form></td></tr>",
        escape(&view.name),
        view.sessions,
        view.capacity,
        escape(&view.name),
    )
}

/// Sent by a page of this host, as browsers say it; one that says nothing at all is not believed.
pub(super) fn is_own_form(head: &Parts, target: &Target) -> bool {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => text(ORIGIN.as_str()).is_some_and(|origin| {
            let host = origin.strip_prefix("https://").unwrap_or_default();
            !host.is_empty() && target.host.as_bytes().eq_ignore_ascii_case(host.as_bytes())
        }),
    }
}
