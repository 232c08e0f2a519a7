//! Sessions that another process still holds, as it reports them: seated here, and reached from here.
//!
//! One on an instance that is not listed yet waits for it. What its switch is told goes out as errands; whoever reports the
//! session carries them to where it is. A process that is known and has not reported may hold anybody.
//!
//! That process asks here for the seats of those who still log in there: by this gate's instances and in this gate's line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{SharedPool, Switch};
use crate::pool::queue::TicketMemory;
use crate::pool::{
    Given, LoginRequest, Now, OlderGate, Place, Placement, Plea, Pool, Progress, Refusal, Refused,
    Reply, SessionId, SessionView, Stand, Waiter,
};

/// What is to be done where a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Errand {
    Evict {
        session: SessionId,
        reason: Option<Arc<str>>,
    },
    Tell {
        session: SessionId,
        line: Arc<str>,
    },
}

/// Errands that wait; whoever does not take them in time is about to end.
const ERRANDS_MAX: usize = 4096;

/// The sessions of one other process; dropped, neither it nor any of them is any more.
pub struct Elsewhere {
    pool: SharedPool,
    pid: u32,
    version: Option<Arc<str>>,
    is_heard: bool,
    /// Each ends its errands when it goes.
    held: BTreeMap<SessionId, DropGuard>,
    errands: mpsc::Sender<Errand>,
}

/// Those whose instance is not listed yet.
#[derive(Default)]
pub(super) struct Unseated(Mutex<BTreeMap<SessionId, (SessionView, u64)>>);

impl Unseated {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, (SessionView, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a listing.
    pub fn seat(&self, pool: &mut Pool, now: Now) {
        self.lock()
            .retain(|_, (view, generation)| !pool.seat_elsewhere(view, *generation, now));
    }
}

impl Elsewhere {
    /// With the errands for its sessions; it has yet to be heard.
    pub fn new(pool: SharedPool, pid: u32) -> (Self, mpsc::Receiver<Errand>) {
        let (errands, receiver) = mpsc::channel(ERRANDS_MAX);
        let elsewhere = Self {
            pool,
            pid,
            version: None,
            is_heard: false,
            held: BTreeMap::new(),
            errands,
        };
        elsewhere.note();
        (elsewhere, receiver)
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its program has this version, and all it holds has been told.
    pub fn hear(&mut self, version: &str) {
        self.version = Some(version.into());
        self.is_heard = true;
        self.note();
    }

    /// What it holds from here on is not known; what it held is taken to be there still.
    pub fn lose_sight(&mut self) {
        self.is_heard = false;
        self.note();
    }

    fn note(&self) {
        let gate = OlderGate {
            pid: self.pid,
            version: self.version.clone(),
            sessions: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
            is_heard: self.is_heard,
        };
        self.pool.change(|pool, _| pool.note_older(gate));
    }

    /// It has begun, or is another one now. Must be called within a tokio runtime.
    pub fn hold(&mut self, view: SessionView, generation: u64) {
        let id = view.id;
        let pool = self.pool.clone();
        let shared = &pool.shared;
        if !self.held.contains_key(&id) {
            if shared.switches.contains_key(&id) {
                tracing::warn!(session = %id, "a session of an older gate has the id of another one, and is not shown");
                return;
            }
            let switch = Switch::default();
            shared.switches.insert(id, switch.clone());
            self.attach(id, switch);
        }
        pool.change(|pool, now| {
            let mut unseated = shared.unseated.lock();
            match pool.seat_elsewhere(&view, generation, now) {
                true => unseated.remove(&id),
                false => unseated.insert(id, (view, generation)),
            }
        });
        self.note();
    }

    fn attach(&mut self, id: SessionId, switch: Switch) {
        let until = CancellationToken::new();
        self.held.insert(id, until.clone().drop_guard());
        tokio::spawn(pass_on(id, switch, self.errands.clone(), until));
    }

    /// One of its logins wants a seat, which it has from here on if it is given one: until it tells that the session has ended,
    /// or all it holds without that one. Must be called within a tokio runtime.
    pub fn answer(&mut self, plea: Plea) -> Reply {
        let Plea {
            request,
            waiter,
            ticket,
        } = plea;
        match self.pool.begin_elsewhere(&request, waiter.as_ref()) {
            Ok((placement, switch)) => {
                self.attach(placement.session, switch);
                self.note();
                let instance = (*placement.instance).clone();
                if let Some(ticket) = ticket {
                    self.pool.lines().leave(&instance.id.pool, &ticket.waiter);
                }
                Reply::Given(Given {
                    session: placement.session,
                    instance,
                    reason: placement.reason,
                })
            }
            Err(refusal) => {
                let may_pass = matches!(refusal, Refusal::Full(_) | Refusal::NoneUp(_));
                let ticket = ticket.filter(|_| may_pass);
                let place = ticket.and_then(|ticket| self.pool.stand_in(&request, ticket));
                let place = place.map(Box::new);
                Reply::Refused(Refused { refusal, place })
            }
        }
    }

    /// Its sessions are these and no others. Must be called within a tokio runtime.
    pub fn hold_only(&mut self, sessions: Vec<(SessionView, u64)>) {
        let told: BTreeSet<_> = sessions.iter().map(|(view, _)| view.id).collect();
        let gone = self.held.keys().filter(|id| !told.contains(id));
        let gone: Vec<_> = gone.copied().collect();
        for (view, generation) in sessions {
            self.hold(view, generation);
        }
        for id in gone {
            self.release(id);
        }
    }

    /// It has ended.
    pub fn release(&mut self, id: SessionId) {
        if self.held.remove(&id).is_none() {
            return;
        }
        let shared = &self.pool.shared;
        self.pool.change(|pool, now| {
            shared.unseated.lock().remove(&id);
            pool.end_session(id, now);
            shared.switches.remove(&id);
        });
        self.note();
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let all: Vec<_> = self.held.keys().copied().collect();
        for id in all {
            self.release(id);
        }
        let pid = self.pid;
        self.pool.change(|pool, _| pool.forget_older(pid));
    }
}

impl SharedPool {
    /// Gates of before that still hold sessions, or may.
    pub fn older(&self) -> Vec<OlderGate> {
        self.lock().older().cloned().collect()
    }

    fn begin_elsewhere(
        &self,
        request: &LoginRequest,
        waiter: Option<&Waiter>,
    ) -> Result<(Placement, Switch), Refusal> {
        let is_behind = self.is_behind(request, waiter);
        self.begin_session(|state, now| {
            let placement = match is_behind {
                true => state.place_behind(request, now),
                false => state.place(request, now),
            }?;
            state.entrust(placement.session);
            Ok(placement)
        })
    }

    /// Somebody who waits at an older gate stands in the line here, where they would have stood from the first.
    fn stand_in(&self, request: &LoginRequest, mut ticket: TicketMemory) -> Option<Place> {
        let snapshot = self.snapshot();
        let pool = snapshot.pool_of(request)?;
        ticket.pool = pool.clone();
        let (by, now) = (request.protocol, SystemTime::now());
        let lines = self.lines();
        lines.take_back(std::slice::from_ref(&ticket));
        let joined = lines.join(&pool, &ticket.waiter, (by, ticket.source), &snapshot);
        let stand = joined.unwrap_or(Stand::CROWDED);
        let seen = (&stand.outlook, stand.left_s);
        let progress = Progress::of(&snapshot, &pool, seen, now);
        Some(Place { stand, progress })
    }

    /// Whether a session is known, be it on an instance or not.
    pub fn holds(&self, session: SessionId) -> bool {
        self.shared.switches.contains_key(&session)
    }

    /// A line for one session's terminal. False if there is no such session.
    pub fn tell(&self, session: SessionId, line: Arc<str>) -> bool {
        let switch = self.shared.switches.get(&session);
        switch
            .map(|switch| switch.mailbox.post(line.clone()))
            .is_some()
    }
}

async fn pass_on(
    session: SessionId,
    switch: Switch,
    errands: mpsc::Sender<Errand>,
    until: CancellationToken,
) {
    let mut is_ended = false;
    loop {
        let errand = tokio::select! {
            () = until.cancelled() => return,
            () = switch.mailbox.arrived() => None,
            () = switch.ended.cancelled(), if !is_ended => {
                is_ended = true;
                let reason = switch.mailbox.farewell();
                Some(Errand::Evict { session, reason })
            }
        };
        // What was said before the end is heard before it.
        let lines = switch.mailbox.take_lines().into_iter();
        let lines = lines.map(|line| Errand::Tell { session, line });
        for errand in lines.chain(errand) {
            if errands.send(errand).await.is_err() {
                return;
            }
        }
    }
}
