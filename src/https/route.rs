//! Where a request goes: to the instance its pin names, or to a new place if there is no pin that holds.
//!
//! A pinned person stays where they are as long as the instance is not known to be down: through a hung hub, a drain and
//! a full house. If no seat can be had on a pinned instance, they are served without being counted: turning away
//! somebody whose kernels run there would be worse than a wrong number. Only reads are ever sent elsewhere, by a 303.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

use super::classify::Kind;
use super::front::Front;
use super::pin::{BrowserId, Pin};
use super::presence::{Visit, Visitor};
use crate::pool::{Health, Instance, InstanceId, LoginRequest, Protocol, Refusal, Snapshot};
use crate::shared_pool::SharedPool;

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Far more than there are instances; names of those that are gone pile up.
const MAX_REPORTED: usize = 10_000;
/// Of what a browser calls itself, in the audit log.
const CLIENT_LEN_MAX: usize = 200;

/// What decides where a request goes; all of it verified but `has_hub_login`, which can only keep a person where they are.
pub struct Ask {
    pub kind: Kind,
    /// The pool that the host name belongs to.
    pub pool: Arc<str>,
    /// Of that pool.
    pub pin: Option<Pin>,
    /// Whose place in the line it is, where nobody has logged in.
    pub ticket: Option<BrowserId>,
    /// Where a page's own code finds the server it asks, if that is not where its browser is.
    pub elsewhere: Option<Arc<Instance>>,
    /// A cookie of some hub's login came along.
    pub has_hub_login: bool,
    pub peer: SocketAddr,
    /// The browser's `User-Agent`.
    pub client: Option<HeaderValue>,
}

impl Ask {
    /// What becomes of a direction that leads away from a machine that is gone: who had work there is told, and a form that
    /// another hub gave out is not sent to this one, which would refuse it.
    fn after_loss(&self, pin: &Pin, direction: Direction) -> Direction {
        let new = match direction {
            Direction::To(route) if self.kind != Kind::Plain => route.pin,
            Direction::Move(pin) => pin,
            other => return other,
        };
        match self.kind {
            Kind::Navigation if pin.user.is_some() => Direction::Lost(new),
            _ => Direction::Move(new),
        }
    }

    /// The browser, as it names itself.
    pub(super) fn client_name(&self) -> String {
        let name = self.client.as_ref().and_then(|value| value.to_str().ok());
        name.unwrap_or_default()
            .chars()
            .take(CLIENT_LEN_MAX)
            .collect()
    }

    pub(super) fn visitor(&self, browser: BrowserId, user: Option<Arc<str>>) -> Visitor {
        Visitor {
            browser,
            peer: self.peer,
            user,
            client: self.client_name(),
        }
    }
}

pub struct Route {
    pub instance: Arc<Instance>,
    pub pin: Pin,
    /// The answer must carry the pin.
    pub is_new_pin: bool,
    /// The request came with a pin to this instance.
    pub is_pinned: bool,
    pub visit: Option<Visit>,
}

pub enum Direction {
    To(Box<Route>),
    /// Ask again there: a redirect to the same path with this pin.
    Move(Pin),
    /// The same for somebody whose machine is gone with what ran on it: they are told, once.
    Lost(Pin),
    /// A pinned instance that does not answer.
    Down,
    Refused(Refusal),
}

impl Front {
    /// Whether a pin's instance is there and still the same machine.
    pub(super) fn holds(&self, pin: &Pin) -> bool {
        let instance = self.pool.instance(&pin.instance);
        instance.is_some_and(|found| found.generation == pin.generation)
    }

    /// `exclude`: instances this very request could not reach.
    pub(super) fn route(&self, ask: &Ask, exclude: &[InstanceId]) -> Direction {
        let Some(pin) = &ask.pin else {
            return self.place_newcomer(ask, None, exclude);
        };
        if let Some(instance) = &ask.elsewhere {
            return self.route_code(pin, instance, exclude);
        }
        let instance = self.pool.instance(&pin.instance);
        let Some(instance) = instance.filter(|found| found.generation == pin.generation) else {
            // Void: the machine is gone. Pages that are still open poll for ever, so only people are placed anew.
            return match ask.kind {
                _ if pin.guest.is_some() => self.end_visit(ask, pin),
                kind if kind.is_visit() => {
                    ask.after_loss(pin, self.place_newcomer(ask, Some(pin), exclude))
                }
                _ => Direction::Down,
            };
        };
        if exclude.contains(&instance.id) || self.down.contains(&self.pool, &instance.id) {
            return match pin.guest {
                Some(_) => self.end_visit(ask, pin),
                None => ask.after_loss(pin, self.move_elsewhere(ask, pin, &instance.id)),
            };
        }
        if self.is_sent_away(ask, pin) {
            self.presence
                .leave(pin.browser, "an operator sends them elsewhere");
            return self.move_elsewhere(ask, pin, &instance.id);
        }
        let visit = self.presence.visit(pin.browser, &instance.id);
        let is_guest = pin.guest.is_some();
        let is_absent = visit.is_none() && ask.kind.is_visit() && !is_guest;
        let visit = if is_absent {
            self.attend(ask, pin)
        } else {
            visit
        };
        let is_newcomer = pin.user.is_none() && !ask.has_hub_login;
        if visit.is_none() && is_newcomer && !is_guest && ask.kind.may_move() {
            // Nothing is lost: they have not logged in there, and could not.
            let moved = self.move_elsewhere(ask, pin, &instance.id);
            if matches!(moved, Direction::Move(_)) {
                return moved;
            }
        }
        let is_new_pin = pin.is_stale();
        let pin = if is_new_pin {
            Pin {
                guest: pin.guest.clone(),
                ..Pin::new(&instance, pin.browser, pin.user.clone())
            }
        } else {
            pin.clone()
        };
        let route = Route {
            instance,
            pin,
            is_new_pin,
            is_pinned: true,
            visit,
        };
        Direction::To(Box::new(route))
    }

    /// An operator sends this pin's person to another instance, and they go to a page.
    fn is_sent_away(&self, ask: &Ask, pin: &Pin) -> bool {
        let Some(user) = pin.user.as_deref().filter(|_| ask.kind == Kind::Navigation) else {
            return false;
        };
        let at = &pin.instance;
        let request = login(Some(&at.pool), Some(user), ask.peer, &[]);
        pin.guest.is_none() && self.pool.is_sent_elsewhere(&request, at)
    }

    /// To the server that a page's code asks, and the pin stays where it is.
    fn route_code(&self, pin: &Pin, instance: &Arc<Instance>, exclude: &[InstanceId]) -> Direction {
        if exclude.contains(&instance.id) || self.down.contains(&self.pool, &instance.id) {
            return Direction::Down;
        }
        let route = Route {
            instance: instance.clone(),
            pin: pin.clone(),
            is_new_pin: false,
            is_pinned: true,
            visit: None,
        };
        Direction::To(Box::new(route))
    }

    /// The instance somebody visited is gone: they go where they belong.
    fn end_visit(&self, ask: &Ask, pin: &Pin) -> Direction {
        let own = Pin {
            user: pin.guest.clone(),
            ..pin.clone()
        };
        self.move_elsewhere(ask, &own, &pin.instance)
    }

    /// Takes a seat again for a browser whose pin holds: after a pause, or after a restart of the gate.
    pub(super) fn attend(&self, ask: &Ask, pin: &Pin) -> Option<Visit> {
        let request = LoginRequest {
            instance: Some(pin.instance.name.to_string()),
            ..login(Some(&pin.instance.pool), pin.user.as_deref(), ask.peer, &[])
        };
        let seat = self.pool.place(&request).ok()?;
        let visitor = ask.visitor(pin.browser, pin.user.clone());
        self.presence.admit(&visitor, seat)
    }

    /// A read whose instance cannot be reached goes to another one.
    pub(super) fn move_elsewhere(&self, ask: &Ask, pin: &Pin, from: &InstanceId) -> Direction {
        if !ask.kind.may_move() {
            return Direction::Down;
        }
        let exclude = [from.clone()];
        let request = login(
            Some(&pin.instance.pool),
            pin.user.as_deref(),
            ask.peer,
            &exclude,
        );
        match self.pool.place(&request) {
            Ok(seat) => {
                self.metrics
                    .count_placement(Protocol::Jupyter, seat.reason());
                let pin = Pin::new(seat.instance(), pin.browser, pin.user.clone());
                let visitor = ask.visitor(pin.browser, pin.user.clone());
                // Kept for the request that follows the redirect.
                drop(self.presence.admit(&visitor, seat));
                Direction::Move(pin)
            }
            Err(refusal) => Direction::Refused(refusal),
        }
    }

    fn place_newcomer(&self, ask: &Ask, void: Option<&Pin>, exclude: &[InstanceId]) -> Direction {
        let user = void.and_then(|pin| pin.user.clone());
        let pool = Some(&*ask.pool);
        let seat = match self
            .pool
            .place(&login(pool, user.as_deref(), ask.peer, exclude))
        {
            Err(Refusal::NoSuchPool(_)) if pool.is_some() => {
                self.pool
                    .place(&login(None, user.as_deref(), ask.peer, exclude))
            }
            placed => placed,
        };
        let seat = match seat {
            Ok(seat) => seat,
            Err(refusal) => return Direction::Refused(refusal),
        };
        let Some(browser) = void.map(|pin| pin.browser).or_else(BrowserId::random) else {
            return Direction::Down;
        };
        let instance = seat.instance().clone();
        let pin = Pin::new(&instance, browser, user);
        if !ask.kind.is_visit() {
            // A page's own request without a cookie: a stale tab, or one that sends none. It must neither move the
            // browser nor count.
            let route = Route {
                instance,
                pin,
                is_new_pin: false,
                is_pinned: false,
                visit: None,
            };
            return Direction::To(Box::new(route));
        }
        self.metrics
            .count_placement(Protocol::Jupyter, seat.reason());
        let visitor = ask.visitor(browser, pin.user.clone());
        let visit = self.presence.admit(&visitor, seat);
        let route = Route {
            instance,
            pin,
            is_new_pin: true,
            is_pinned: false,
            visit,
        };
        Direction::To(Box::new(route))
    }
}

pub(super) fn login(
    pool: Option<&str>,
    user: Option<&str>,
    peer: SocketAddr,
    exclude: &[InstanceId],
) -> LoginRequest {
    LoginRequest {
        pool: pool.map(str::to_owned),
        instance: None,
        user: user.map(str::to_owned),
        // Only a pin that this gate has signed carries a name, and it does so only after a proof.
        proved: user.is_some(),
        protocol: Protocol::Jupyter,
        peer: peer.ip().to_canonical(),
        exclude: exclude.to_vec(),
        patient: false,
    }
}

/// Instances whose hub is known to be down, taken from the newest snapshot once each time there is a new one.
#[derive(Default)]
pub struct DownList {
    seen: Mutex<(Arc<Snapshot>, HashSet<InstanceId>)>,
    reported: Mutex<HashMap<InstanceId, Instant>>,
}

impl DownList {
    /// Whether one more failed connect shall count as a failed probe. A page open on an instance that is restarting asks
    /// many times a second, and must not make it down before the probes could.
    pub fn may_report(&self, id: &InstanceId) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if reported.len() > MAX_REPORTED {
            reported.clear();
        }
        let last = reported.get(id);
        let is_due = last.is_none_or(|last| now.duration_since(*last) >= REPORT_INTERVAL);
        if is_due {
            reported.insert(id.clone(), now);
        }
        is_due
    }

    fn contains(&self, pool: &SharedPool, id: &InstanceId) -> bool {
        let snapshot = pool.snapshot();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, down) = &mut *seen;
        if !Arc::ptr_eq(known, &snapshot) {
            let is_down = snapshot
                .instances
                .iter()
                .filter(|view| view.services.jupyter == Some(Health::Down));
            *down = is_down
                .map(|view| InstanceId {
                    pool: view.pool.clone(),
                    name: view.name.clone(),
                })
                .collect();
            *known = snapshot;
        }
        down.contains(id)
    }
}
