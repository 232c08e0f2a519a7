//! Who is there: browsers, and the sessions they count as.
//!
//! A browser that has proved nothing holds a provisional seat for a minute, so that people who open the login page at
//! the same time spread. A person who has proved a name is one session on an instance, with however many browsers. It
//! ends when none of them was heard of for a while and no answer or tunnel is open; the instance is not asked.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::pin::BrowserId;
use crate::pool::{InstanceId, Protocol, SessionId};
use crate::shared_pool::{Meter, Seat};
use crate::telemetry::audit::{AuditEvent, AuditLog};
use crate::telemetry::metrics::Metrics;

/// How long a browser that has proved nothing counts.
const UNPROVED_LIMIT: Duration = Duration::from_secs(60);
/// Browsers at once, beyond which one that has proved nothing is served but not counted: anybody can be many of those.
const MAX_BROWSERS: usize = 20_000;

pub struct Presence {
    table: Mutex<Table>,
    /// How long a person who has proved a name counts after their last sign of life, in milliseconds.
    limit_ms: AtomicU64,
    start: Instant,
    audit: AuditLog,
    metrics: Metrics,
}

#[derive(Default)]
struct Table {
    browsers: HashMap<BrowserId, Arc<Attended>>,
    persons: HashMap<(Arc<str>, InstanceId), Arc<Attended>>,
}

/// One session: a seat, and when it was last used.
struct Attended {
    seat: Seat,
    user: OnceLock<Arc<str>>,
    peer: SocketAddr,
    since: Instant,
    /// Milliseconds after the table's start.
    seen_ms: AtomicU64,
    /// Answers and tunnels that have not ended.
    open: AtomicUsize,
    /// Browsers in the table that count as this session; changed under the table's lock.
    browsers: AtomicUsize,
    /// A proof was seen, and not only a pin that tells of one.
    is_proved: AtomicBool,
}

/// Somebody is there for as long as this lives.
pub struct Visit {
    session: Arc<Attended>,
    start: Instant,
}

/// Who came, for the audit line.
pub struct Visitor {
    pub browser: BrowserId,
    pub peer: SocketAddr,
    /// As an earlier proof has put it into the pin.
    pub user: Option<Arc<str>>,
    /// The browser, as it names itself.
    pub client: String,
}

/// A proof, for the audit line.
pub struct Proof<'a> {
    pub user: &'a str,
    pub how: &'static str,
    pub peer: SocketAddr,
    /// The browser, as it names itself.
    pub client: &'a str,
}

/// After a pause or a restart of the gate: the pin tells of a proof the gate has seen.
const PIN_PROOF: &str = "pin of an earlier jupyterhub login";

/// What has ended, and why: dropped after the table's lock is gone.
type Swept = Vec<(Arc<Attended>, &'static str)>;

impl Presence {
    pub fn new(limit: Duration, audit: AuditLog, metrics: Metrics) -> Self {
        Self {
            table: Mutex::default(),
            limit_ms: AtomicU64::new(ms(limit)),
            start: Instant::now(),
            audit,
            metrics,
        }
    }

    pub fn set_limit(&self, limit: Duration) {
        self.limit_ms.store(ms(limit), Ordering::Relaxed);
    }

    /// The session this browser has on this instance.
    pub fn visit(&self, browser: BrowserId, instance: &InstanceId) -> Option<Visit> {
        let session = self.table().browsers.get(&browser)?.clone();
        let is_here =
            session.seat.instance().id == *instance && !session.seat.ended().is_cancelled();
        is_here.then(|| Visit::begin(session, self.start))
    }

    /// False if the browser has a session, but on another instance: an answer from this one comes too late.
    pub fn is_current(&self, browser: BrowserId, instance: &InstanceId) -> bool {
        let table = self.table();
        table
            .browsers
            .get(&browser)
            .is_none_or(|session| session.seat.instance().id == *instance)
    }

    /// Takes a seat into the table. A person who is there already, with another browser, keeps the seat they have.
    /// `None` if the table is full; the seat is then free again.
    pub fn admit(&self, visitor: &Visitor, seat: Seat) -> Option<Visit> {
        let mut dropped = Swept::new();
        let (visit, login) = {
            let mut table = self.table();
            let is_full = table.browsers.len() >= MAX_BROWSERS;
            if is_full && visitor.user.is_none() && !table.browsers.contains_key(&visitor.browser) {
                self.metrics.count_limit("https.presence");
                return None;
            }
            let known = visitor.user.as_ref();
            let known = known.and_then(|user| table.person(user, &seat.instance().id));
            let is_new = known.is_none();
            let session =
                known.unwrap_or_else(|| Arc::new(Attended::new(seat, visitor, self.now_ms())));
            if let Some(user) = &visitor.user {
                session.seat.set_live();
                let key = (user.clone(), session.seat.instance().id.clone());
                table.persons.insert(key, session.clone());
            }
            table.seat_browser(visitor.browser, &session, "moved", &mut dropped);
            let login =
                is_new.then(|| session.login_event(PIN_PROOF, visitor.peer, &visitor.client));
            (Visit::begin(session, self.start), login.flatten())
        };
        self.end(dropped);
        if let Some(login) = login {
            self.audit.write(&login);
        }
        Some(visit)
    }

    /// The browser's person has proved this name on this instance. The browser must have been admitted there.
    pub fn prove(&self, browser: BrowserId, instance: &InstanceId, proof: &Proof<'_>) {
        let mut dropped = Swept::new();
        let session = {
            let mut table = self.table();
            let current = table.browsers.get(&browser).cloned();
            let Some(current) = current.filter(|one| one.seat.instance().id == *instance) else {
                return;
            };
            let user: Arc<str> = proof.user.into();
            let session = table
                .person(&user, instance)
                .unwrap_or_else(|| current.clone());
            if *session.user.get_or_init(|| user.clone()) != user {
                return;
            }
            table
                .persons
                .insert((user, instance.clone()), session.clone());
            table.seat_browser(browser, &session, "joined another browser", &mut dropped);
            let was_proved = session.is_proved.swap(true, Ordering::Relaxed);
            // A second server of the same person proves the same again.
            (!was_proved || !Arc::ptr_eq(&current, &session)).then_some(session)
        };
        self.end(dropped);
        let Some(session) = session else { return };
        session.seat.prove(proof.user);
        session.seat.set_live();
        self.metrics.count_login(Protocol::Jupyter, "admitted");
        if let Some(login) = session.login_event(proof.how, proof.peer, proof.client) {
            self.audit.write(&login);
        }
    }

    /// Somebody else has logged in with this browser before: it no longer counts as them.
    pub fn leave_unless(&self, browser: BrowserId, user: &str) {
        let is_other = {
            let table = self.table();
            let current = table
                .browsers
                .get(&browser)
                .and_then(|session| session.user.get());
            current.is_some_and(|known| **known != *user)
        };
        if is_other {
            self.leave(browser, "another person has logged in");
        }
    }

    /// The browser no longer counts, because of `cause`.
    pub fn leave(&self, browser: BrowserId, cause: &'static str) {
        let mut dropped = Swept::new();
        {
            let mut table = self.table();
            if let Some(session) = table.browsers.remove(&browser) {
                table.release(session, cause, &mut dropped);
            }
        }
        self.end(dropped);
    }

    /// Ends the sessions whose time is over at `now`.
    pub fn sweep(&self, now: Instant) {
        let now_ms = ms(now.saturating_duration_since(self.start));
        let mut dropped = Swept::new();
        {
            let mut table = self.table();
            let mut over = Vec::new();
            table
                .browsers
                .retain(|_, session| match self.end_cause(session, now_ms) {
                    Some(cause) => {
                        over.push((session.clone(), cause));
                        false
                    }
                    None => true,
                });
            for (session, cause) in over {
                table.release(session, cause, &mut dropped);
            }
        }
        self.end(dropped);
    }

    /// Sessions that are not over: browsers of one person count once.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        let table = self.table();
        let seats = table
            .browsers
            .values()
            .map(|session| session.seat.session());
        seats.collect::<std::collections::HashSet<_>>().len()
    }

    fn end_cause(&self, session: &Attended, now_ms: u64) -> Option<&'static str> {
        if session.seat.ended().is_cancelled() {
            return Some("ended from outside, or its instance is gone");
        }
        let limit_ms = if session.user.get().is_some() {
            self.limit_ms.load(Ordering::Relaxed)
        } else {
            ms(UNPROVED_LIMIT)
        };
        let quiet = now_ms.saturating_sub(session.seen_ms.load(Ordering::Relaxed));
        let is_over = session.open.load(Ordering::Relaxed) == 0 && quiet > limit_ms;
        is_over.then_some("not heard of for a while")
    }

    fn end(&self, dropped: Swept) {
        for (session, cause) in dropped {
            if let Some(event) = session.end_event(cause) {
                self.audit.write(&event);
            }
        }
    }

    fn now_ms(&self) -> u64 {
        ms(self.start.elapsed())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The session this person has on this instance.
    fn person(&self, user: &Arc<str>, instance: &InstanceId) -> Option<Arc<Attended>> {
        let session = self.persons.get(&(user.clone(), instance.clone()))?;
        (!session.seat.ended().is_cancelled()).then(|| session.clone())
    }

    /// Makes a browser count as this session, and no other.
    fn seat_browser(
        &mut self,
        browser: BrowserId,
        session: &Arc<Attended>,
        cause: &'static str,
        dropped: &mut Swept,
    ) {
        session.browsers.fetch_add(1, Ordering::Relaxed);
        if let Some(old) = self.browsers.insert(browser, session.clone()) {
            self.release(old, cause, dropped);
        }
    }

    /// One browser less; the session is over with its last one.
    fn release(&mut self, session: Arc<Attended>, cause: &'static str, dropped: &mut Swept) {
        if session.browsers.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        if let Some(user) = session.user.get() {
            let key = (user.clone(), session.seat.instance().id.clone());
            if self
                .persons
                .get(&key)
                .is_some_and(|known| Arc::ptr_eq(known, &session))
            {
                self.persons.remove(&key);
            }
        }
        dropped.push((session, cause));
    }
}

impl Attended {
    fn new(seat: Seat, visitor: &Visitor, seen_ms: u64) -> Self {
        let user = OnceLock::new();
        if let Some(name) = &visitor.user {
            let _ = user.set(name.clone());
        }
        Self {
            seat,
            user,
            peer: visitor.peer,
            since: Instant::now(),
            seen_ms: AtomicU64::new(seen_ms),
            open: AtomicUsize::new(0),
            browsers: AtomicUsize::new(0),
            is_proved: AtomicBool::new(false),
        }
    }

    /// Only of a session that has a name: the others are no logins.
    fn login_event(&self, proof: &str, peer: SocketAddr, client: &str) -> Option<AuditEvent> {
        let user = self.user.get()?;
        let id = &self.seat.instance().id;
        Some(AuditEvent::Login {
            session: self.seat.session().to_string(),
            user: Some(user.to_string()),
            protocol: "jupyter",
            peer,
            proof: proof.to_owned(),
            pool: id.pool.to_string(),
            instance: id.name.to_string(),
            reason: self.seat.reason().name().to_owned(),
            client: client.to_owned(),
        })
    }

    fn end_event(&self, cause: &str) -> Option<AuditEvent> {
        let user = self.user.get()?;
        let id = &self.seat.instance().id;
        Some(AuditEvent::End {
            refusals: BTreeMap::new(),
            session: self.seat.session().to_string(),
            user: Some(user.to_string()),
            protocol: "jupyter",
            peer: self.peer,
            pool: id.pool.to_string(),
            instance: id.name.to_string(),
            duration_s: self.since.elapsed().as_secs_f64(),
            bytes_in: self.seat.meter.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.seat.meter.bytes_out.load(Ordering::Relaxed),
            cause: cause.to_owned(),
            recordings: None,
        })
    }
}

impl Visit {
    fn begin(session: Arc<Attended>, start: Instant) -> Self {
        session.open.fetch_add(1, Ordering::Relaxed);
        session
            .seen_ms
            .store(ms(start.elapsed()), Ordering::Relaxed);
        Self { session, start }
    }

    pub fn session(&self) -> SessionId {
        self.session.seat.session()
    }

    pub fn meter(&self) -> Arc<Meter> {
        self.session.seat.meter.clone()
    }

    /// Fires when the session is ended from outside.
    pub fn ended(&self) -> CancellationToken {
        self.session.seat.ended()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.session
            .seen_ms
            .store(ms(self.start.elapsed()), Ordering::Relaxed);
        self.session.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
