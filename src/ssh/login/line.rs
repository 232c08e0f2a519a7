//! An ssh login in the line for a seat: the same line that browsers stand in, one ticket a person.
//!
//! Only people who have proved who they are stand there. Their ticket outlives their connection for a minute, so that who
//! was cut off returns to their place. What they are told are banner lines, which every client shows as they come.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::super::leg::LegError;
use super::words::words;
use super::{Login, LoginError};
use crate::net::source::Source;
use crate::pool::{LoginRequest, Plea, Progress, Protocol, QueueFull, Refused, Snapshot, Waiter};
use crate::shared_pool::Seat;
use crate::telemetry::traces::{self, Span, works};

/// Left of a login's time when waiting stops, so that the person still hears why.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);
/// The least time between two looks: everybody in line looks when a seat comes free.
const PAUSE: Duration = Duration::from_millis(250);
/// The most, so that a ticket is kept and seconds are counted.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// The same where a newer gate is asked, whose changes are not seen here.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two lines.
const TELL_INTERVAL: Duration = Duration::from_secs(5);
/// Connections of one person that wait at once: an editor opens a few, and one ticket serves them all.
const WAITING_PER_PERSON_MAX: usize = 8;

/// Connections that wait by a name that is not proved yet: they stay among those that have yet to log in, and must leave
/// room there.
const UNPROVED_MAX: usize = 32;

/// How many connections of each person wait.
#[derive(Clone, Default)]
pub(in crate::ssh) struct Waiting(Arc<Mutex<Waiters>>);

#[derive(Default)]
struct Waiters {
    people: HashMap<Arc<str>, usize>,
    unproved: usize,
}

impl Waiting {
    fn enter(&self, user: &Arc<str>, is_proved: bool) -> Option<Entered> {
        let mut waiters = self.lock();
        if !is_proved && waiters.unproved >= UNPROVED_MAX {
            return None;
        }
        let count = waiters.people.entry(user.clone()).or_default();
        if *count >= WAITING_PER_PERSON_MAX {
            return None;
        }
        *count = count.saturating_add(1);
        waiters.unproved = waiters.unproved.saturating_add(usize::from(!is_proved));
        Some(Entered {
            waiting: self.clone(),
            user: user.clone(),
            is_proved,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One waiting connection, until it is dropped.
struct Entered {
    waiting: Waiting,
    user: Arc<str>,
    is_proved: bool,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut waiters = self.waiting.lock();
        waiters.unproved = waiters
            .unproved
            .saturating_sub(usize::from(!self.is_proved));
        if let Some(count) = waiters.people.get_mut(&self.user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiters.people.remove(&self.user);
            }
        }
    }
}

/// A wait that has begun.
pub(super) struct Wait {
    pool: Arc<str>,
    waiter: Waiter,
    /// What the login had left when it began.
    left: Duration,
    is_long: bool,
    told: Option<(String, Instant)>,
    _entered: Entered,
    _span: Span,
}

impl Login<'_> {
    /// A seat, unless the free ones are for others who came first: a newer gate's, where one has this one's place.
    pub(super) async fn take_seat_in_turn(
        &mut self,
        request: &LoginRequest,
        wait: Option<&Wait>,
    ) -> Result<Result<Seat, Refused>, LoginError> {
        let pool = &self.gatekeeper.pool;
        let waiter = self.waiter(request);
        if pool.has_newer() {
            let ticket = wait.and_then(|wait| pool.lines().ticket(&wait.pool, &wait.waiter));
            let plea = Plea {
                request: request.clone(),
                waiter: waiter.clone(),
                ticket,
            };
            let told = tokio::select! {
                told = pool.plead(&plea) => told,
                () = self.client.closed() => return Err(LoginError::Client(LegError::Closed)),
            };
            if let Some(told) = told {
                return Ok(told);
            }
        }
        let placed = pool.place_in_turn(request, waiter.as_ref());
        Ok(placed.map_err(|refusal| Refused {
            refusal,
            place: None,
        }))
    }

    /// The seat is theirs: the ticket goes back, and the login goes on with the time it had.
    pub(super) fn leave_line(&self, wait: Option<Wait>) {
        if let Some(wait) = wait {
            let waited = self.gatekeeper.pool.lines().leave(&wait.pool, &wait.waiter);
            if let Some(waited) = waited {
                let metrics = &self.gatekeeper.metrics;
                metrics.time_wait(&wait.pool, Protocol::Ssh, waited);
            }
            self.deadline.leave(wait.left);
        }
    }

    /// Stands in line until something may have changed; an error once there is no use in it.
    pub(super) async fn stand_in_line(
        &mut self,
        wait: &mut Option<Wait>,
        request: &LoginRequest,
        Refused { refusal, place }: Refused,
        changes: &mut watch::Receiver<Arc<Snapshot>>,
    ) -> Result<(), LoginError> {
        let snapshot = changes.borrow_and_update().clone();
        let is_new = wait.is_none();
        if is_new {
            *wait = self.begin_wait(request, &snapshot);
        }
        let Some(wait) = wait else {
            return Err(refusal.into());
        };
        let source = Source::of(self.peer.ip()).address();
        let by = (Protocol::Ssh, source);
        let lines = self.gatekeeper.pool.lines();
        // Also where a newer gate has the line: it may end.
        let joined = lines.join(&wait.pool, &wait.waiter, by, &snapshot);
        let has_newer = self.gatekeeper.pool.has_newer();
        if is_new && has_newer && joined.is_ok() {
            // It is asked again at once, with a ticket.
            return Ok(());
        }
        let stand = match (joined, &place) {
            (Ok(_), Some(place)) if place.stand.ahead.is_some() => place.stand,
            (Ok(stand), None) => stand,
            (full, _) => {
                let reason = full.err().unwrap_or(QueueFull::Everywhere);
                tracing::debug!(peer = %self.peer, %reason, "a login finds no room in the line");
                self.gatekeeper.metrics.count_limit("ssh.queue");
                return Err(refusal.into());
            }
        };
        let seen = (&stand.outlook, stand.left_s);
        let progress = match place {
            Some(place) => place.progress,
            None => Progress::of(&snapshot, &wait.pool, seen, SystemTime::now()),
        };
        // Where nothing is up, nothing starts and nobody resizes the pool, there is no line to speak of: the login waits
        // for as long as it may.
        let is_hopeful = stand.outlook.is_open || stand.outlook.is_likely || progress.is_some();
        if !wait.is_long && is_hopeful {
            wait.is_long = true;
            self.deadline.leave(self.gatekeeper.queue_time + LAST_WORDS);
        }
        let left = self.deadline.left();
        if left <= LAST_WORDS {
            return Err(refusal.into());
        }
        let words = words(&wait.pool, &stand, progress.as_ref());
        self.tell_stand(wait, words).await?;
        let interval = match has_newer {
            true => ASK_INTERVAL,
            false => LOOK_INTERVAL,
        };
        self.look_again(changes, interval.min(left.saturating_sub(LAST_WORDS)))
            .await
    }

    /// Waits for a change of the pool, at most so long; an error if the client goes away.
    pub(super) async fn look_again(
        &mut self,
        changes: &mut watch::Receiver<Arc<Snapshot>>,
        at_most: Duration,
    ) -> Result<(), LoginError> {
        let looking = async {
            tokio::time::sleep(PAUSE.min(at_most)).await;
            // Changed or not: time has passed.
            drop(tokio::time::timeout(at_most, changes.changed()).await);
        };
        tokio::select! {
            () = looking => Ok(()),
            // Nobody may be seated who has given up waiting.
            () = self.client.closed() => Err(LoginError::Client(LegError::Closed)),
        }
    }

    /// Nobody stands in line by a name that is only claimed, unless it woke the pool. One factor of several proves it, too:
    /// without this nobody could wake a pool where the instance judges the second.
    pub(super) fn may_wait(&self, request: &LoginRequest) -> bool {
        request.proved || !self.verified.is_empty() || self.is_expected
    }

    fn waiter(&self, request: &LoginRequest) -> Option<Waiter> {
        let may_wait = self.may_wait(request);
        let user = request.user.as_deref().filter(|_| may_wait)?;
        Some(Waiter::Person(user.into()))
    }

    fn begin_wait(&mut self, request: &LoginRequest, snapshot: &Snapshot) -> Option<Wait> {
        let waiter = self.waiter(request)?;
        let Waiter::Person(user) = &waiter else {
            return None;
        };
        let is_proved = request.proved || !self.verified.is_empty();
        let Some(entered) = self.gatekeeper.waiting.enter(user, is_proved) else {
            self.gatekeeper.metrics.count_limit("ssh.queue");
            return None;
        };
        let pool = snapshot.pool_of(request)?;
        // Who has proved who they are keeps nobody else from logging in.
        if is_proved {
            self.permit.admitted();
        }
        let span = traces::child(&works::WAIT_IN_LINE);
        span.tell(works::POOL, &pool);
        Some(Wait {
            pool,
            waiter,
            left: self.deadline.left(),
            is_long: false,
            told: None,
            _entered: entered,
            _span: span,
        })
    }

    async fn tell_stand(&mut self, wait: &mut Wait, words: String) -> Result<(), LoginError> {
        let is_new = wait
            .told
            .as_ref()
            .is_none_or(|(before, at)| *before != words && at.elapsed() >= TELL_INTERVAL);
        if is_new {
            self.inform(&words).await?;
            wait.told = Some((words, Instant::now()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_person_waits_by_a_few_connections_at_most() {
        let (waiting, alice) = (Waiting::default(), Arc::from("alice"));
        let held: Vec<_> = (0..WAITING_PER_PERSON_MAX)
            .map(|_| waiting.enter(&alice, true).unwrap())
            .collect();
        assert!(waiting.enter(&alice, true).is_none());
        assert!(waiting.enter(&Arc::from("bob"), true).is_some());
        drop(held);
        assert!(waiting.enter(&alice, true).is_some());
        assert!(waiting.lock().people.is_empty());
    }

    #[test]
    fn few_wait_by_a_name_that_is_only_claimed() {
        let waiting = Waiting::default();
        let name = |number: usize| Arc::from(number.to_string());
        let held: Vec<_> = (0..UNPROVED_MAX)
            .map(|number| waiting.enter(&name(number), false).unwrap())
            .collect();
        assert!(waiting.enter(&name(UNPROVED_MAX), false).is_none());
        assert!(waiting.enter(&name(UNPROVED_MAX), true).is_some());
        drop(held);
        assert_eq!(waiting.lock().unproved, 0);
    }
}
