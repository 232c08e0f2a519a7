//! The lock around the pool core, the channel that publishes its snapshots, and the seat that ends a session.
//!
//! The only file where `pool` meets tokio and the clock. The mutex is a std one because nothing is awaited while it is
//! held: choosing the least-loaded instance and taking a seat on it are one step, so simultaneous logins spread exactly.

mod asking;
mod board;
mod drains;
mod elsewhere;
mod known;
mod lines;
mod mailbox;
mod person;
mod seat;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::asking::Asking;
pub use self::asking::{Asked, Newer};
use self::board::Board;
pub use self::board::{NoticeMemory, Reader, Standing};
pub use self::elsewhere::{Elsewhere, Errand};
pub use self::lines::Lines;
pub use self::mailbox::Mailbox;
pub use self::seat::{Meter, Seat};
use crate::pool::idle::Idle;
use crate::pool::{
    Answer, Health, HubPerson, Instance, InstanceId, Intent, Keep, Known, LoginRequest, Measured,
    Now, Placement, PlacementPolicy, PlacementReason, Pool, PoolRules, Prospect, Protocol, Refusal,
    SessionId, SessionView, Snapshot, Waiter,
};

/// The least time between two snapshots: people do not see it, and a storm of logins shares one.
const PUBLISH_PAUSE: Duration = Duration::from_millis(5);
/// Taking a snapshot holds the lock; this many times as long it is then left to the logins.
const PUBLISH_SHARE: u32 = 10;

/// The pools of this gate, shared by every task.
#[derive(Clone)]
pub struct SharedPool {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Mutex<Pool>,
    /// Locked inside `pool`'s lock or alone, never around it.
    switches: DashMap<SessionId, Switch>,
    /// Locked inside `pool`'s lock or alone.
    unseated: elsewhere::Unseated,
    board: Board,
    lines: Lines,
    asking: Asking,
    known: Mutex<Known>,
    changed: Notify,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

/// How a session is reached from outside.
#[derive(Clone, Default)]
struct Switch {
    ended: CancellationToken,
    mailbox: Arc<Mailbox>,
}

/// Finds out whether an instance is idle; `None` if there is no such instance.
pub type AskIdle =
    Arc<dyn Fn(InstanceId) -> Pin<Box<dyn Future<Output = Option<Idle>> + Send>> + Send + Sync>;

/// Whose sessions a notice is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audience {
    Everybody,
    Session(SessionId),
    User(String),
    /// As POOL/NAME. A name alone is that of a notice that an older gate has written down, and is meant in every pool.
    Instance(String),
}

impl SharedPool {
    /// `seed` breaks ties between equally loaded instances.
    pub fn new(seed: u64) -> Self {
        let shared = Shared {
            pool: Mutex::new(Pool::new(seed)),
            switches: DashMap::new(),
            unseated: elsewhere::Unseated::default(),
            board: Board::default(),
            lines: Lines::default(),
            asking: Asking::default(),
            known: Mutex::default(),
            changed: Notify::new(),
            snapshots: watch::Sender::new(Arc::default()),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Adds a pool or changes its rules.
    pub fn configure(&self, pool: &str, rules: PoolRules) {
        self.change(|state, _| state.configure(pool, rules));
    }

    /// Makes the pool hold exactly these instances. One that is gone or has a new generation loses its sessions' seats
    /// (their `ended` fires) and its affinities. Entries of other pools, and pools not configured, are left out.
    pub fn sync_instances(&self, pool: &str, listing: Vec<Instance>) {
        let lost = self.change(|state, now| {
            let lost = state.sync_instances(pool, listing, now);
            self.shared.unseated.seat(state, now);
            self.forget_drains(state);
            lost
        });
        for session in lost {
            self.evict(session);
        }
    }

    /// The instances that this listing lacks and somebody is on: they are drained from here on, and those of before that are
    /// listed again take people again.
    pub fn keep_used(&self, pool: &str, listing: &[Instance]) -> Vec<Instance> {
        self.change(|state, _| state.keep_used(pool, listing))
    }

    /// Forgets a pool that holds no instance; one that does stays.
    pub fn forget_pool(&self, pool: &str) {
        self.change(|state, _| state.forget_pool(pool));
    }

    /// One probe's answer, or a login's own failed connect. Returns the instance's new overall health if it flipped.
    pub fn observe(
        &self,
        id: &InstanceId,
        service: Protocol,
        answer: impl Into<Answer>,
    ) -> Option<Health> {
        let now = Now::read();
        let (flip, is_changed) = {
            let mut state = self.lock();
            let before = state.services(id);
            let flip = state.observe(id, service, answer, now);
            (flip, before != state.services(id))
        };
        // Most probes change nothing, and with thousands of instances they come all the time.
        if is_changed {
            self.shared.changed.notify_one();
        }
        flip
    }

    /// Who has a server on an instance, as its hub says; `None` if the hub did not answer, which keeps its last word.
    pub fn hear_hub(&self, id: &InstanceId, people: Option<Vec<HubPerson>>) {
        let is_changed = {
            let mut state = self.lock();
            let before = state.hub(id);
            state.hear_hub(id, people);
            before != state.hub(id)
        };
        // Most answers are the last one again.
        if is_changed {
            self.shared.changed.notify_one();
        }
    }

    /// What an instance's machine tells of itself; `None` once that is too old.
    pub fn measure(&self, id: &InstanceId, measured: Option<Measured>) {
        let flip = self.change(|state, now| state.measure(id, measured, now));
        if let Some(to) = flip {
            tracing::info!(instance = %id, %to, "instance health changed by what its machine tells");
        }
    }

    /// Nobody gets in from here on, not even who was there: to be asked right before a machine is removed. False if it is
    /// not drained by the policy, or if somebody is there; nothing is changed then.
    pub fn seal(&self, id: &InstanceId) -> bool {
        self.change(|state, _| state.seal(id))
    }

    /// It is not removed after all.
    pub fn unseal(&self, id: &InstanceId) {
        self.change(|state, _| state.unseal(id));
    }

    /// Until when somebody wants an instance to stay. False if there is no such instance.
    pub fn keep(&self, id: &InstanceId, keep: Option<Keep>) -> bool {
        self.change(|pool, _| pool.keep(id, keep))
    }

    /// Changes until when an instance is to stay, by what stands; returns what stands then. `None` if there is no such
    /// instance.
    pub fn change_keep(
        &self,
        id: &InstanceId,
        change: impl FnOnce(Option<&Keep>) -> Option<Keep>,
    ) -> Option<Option<Keep>> {
        self.change(|pool, _| {
            let keep = change(pool.kept(id));
            pool.keep(id, keep.clone()).then_some(keep)
        })
    }

    /// Where people without an instance of theirs go from here on.
    pub fn set_placement(&self, pool: &str, placement: PlacementPolicy) {
        self.change(|state, _| state.set_placement(pool, placement));
    }

    /// What is under way for those who wait.
    pub fn foretell(&self, pool: &str, prospect: Option<Prospect>) {
        if self.lock().foretell(pool, prospect) {
            self.shared.changed.notify_one();
        }
    }

    /// What a pool's controller is about.
    pub fn intend(&self, pool: &str, intent: Intent) {
        if self.lock().intend(pool, intent) {
            self.shared.changed.notify_one();
        }
    }

    /// Has a line shown in the terminals and browsers of these sessions; to how many sessions it was given. Sessions begun
    /// in the last few milliseconds may be left out.
    pub fn notify(&self, audience: &Audience, text: &str) -> usize {
        self.announce(audience, text, None)
    }

    /// The same with a deadline, up to which browsers are shown it that come later.
    pub fn announce(&self, audience: &Audience, text: &str, deadline: Option<Duration>) -> usize {
        let text: Arc<str> = text.into();
        self.shared.board.post(audience, &text, deadline);
        let at = deadline.and_then(|after| SystemTime::now().checked_add(after));
        let line = drains::with_deadline(&text, at);
        self.post_to(&line, |session| audience.holds(session))
    }

    /// Has a line shown in these sessions' terminals; to how many it was given.
    fn post_to(&self, line: &Arc<str>, is_meant: impl Fn(&SessionView) -> bool) -> usize {
        let snapshot = self.snapshot();
        let sessions = snapshot.sessions.iter().filter(|session| is_meant(session));
        let reach = |id: SessionId| {
            let switch = self.shared.switches.get(&id)?.clone();
            switch.mailbox.post(line.clone());
            Some(())
        };
        sessions.filter_map(|session| reach(session.id)).count()
    }

    /// What stands for somebody who sees no terminal.
    pub fn notices(&self, reader: Reader<'_>) -> Vec<Standing> {
        self.shared.board.standing(reader)
    }

    /// False as long as certainly none stands for anybody.
    pub fn has_notices(&self) -> bool {
        self.shared.board.is_used()
    }

    /// Chooses an instance and reserves a seat on it, in one step.
    pub fn place(&self, request: &LoginRequest) -> Result<Seat, Refusal> {
        self.take_seat(|state, now| state.place(request, now))
    }

    /// The same for whom others stand in line before: they get no seat but where their session or server is already.
    pub fn place_behind(&self, request: &LoginRequest) -> Result<Seat, Refusal> {
        self.take_seat(|state, now| state.place_behind(request, now))
    }

    /// Who waits for a seat, in all pools and by all doors.
    pub fn lines(&self) -> &Lines {
        &self.shared.lines
    }

    /// Whether the free seats are for others than this one, who came first.
    fn is_behind(&self, request: &LoginRequest, waiter: Option<&Waiter>) -> bool {
        if self.lines().is_empty() {
            return false;
        }
        let snapshot = self.snapshot();
        let is_behind = |pool: Arc<str>| {
            self.lines()
                .is_behind(&pool, waiter, request.protocol, &snapshot)
        };
        snapshot.pool_of(request).is_some_and(is_behind)
    }

    /// A seat, unless the free ones are for others who came first.
    pub fn place_in_turn(
        &self,
        request: &LoginRequest,
        waiter: Option<&Waiter>,
    ) -> Result<Seat, Refusal> {
        match self.is_behind(request, waiter) {
            true => self.place_behind(request),
            false => self.place(request),
        }
    }

    fn take_seat(
        &self,
        place: impl FnOnce(&mut Pool, Now) -> Result<Placement, Refusal>,
    ) -> Result<Seat, Refusal> {
        let (placement, switch) = self.begin_session(place)?;
        Ok(Seat {
            meter: Arc::default(),
            pool: self.clone(),
            placement,
            switch,
        })
    }

    fn begin_session<E>(
        &self,
        place: impl FnOnce(&mut Pool, Now) -> Result<Placement, E>,
    ) -> Result<(Placement, Switch), E> {
        let switch = Switch::default();
        let now = Now::read();
        let placement = {
            let mut state = self.lock();
            let placement = place(&mut state, now)?;
            // Under the lock, so that no listing can take the instance away before the switch is known.
            self.shared
                .switches
                .insert(placement.session, switch.clone());
            placement
        };
        self.shared.changed.notify_one();
        Ok((placement, switch))
    }

    /// The instance this person belongs on, if it is another than the one they are `at` and its service is up. Takes no
    /// seat.
    pub fn belongs_elsewhere(
        &self,
        request: &LoginRequest,
        at: &InstanceId,
    ) -> Option<(Arc<Instance>, PlacementReason)> {
        self.lock().belongs_elsewhere(request, at, Now::read())
    }

    /// Ends a session from outside: its seat's `ended` fires, and the seat is free when its owner lets go of it.
    /// False if there is no such session.
    pub fn evict(&self, session: SessionId) -> bool {
        self.end_session(session, None)
    }

    /// The same, with a text that its person is shown: who ends it, and why.
    pub fn evict_because(&self, session: SessionId, reason: &str) -> bool {
        self.end_session(session, Some(reason))
    }

    /// Every session, each with this text; to how many it came.
    pub fn evict_all_because(&self, reason: &str) -> usize {
        let switches = self.shared.switches.iter();
        let all: Vec<SessionId> = switches.map(|switch| *switch.key()).collect();
        let ended = all.iter().filter(|id| self.evict_because(**id, reason));
        ended.count()
    }

    fn end_session(&self, session: SessionId, reason: Option<&str>) -> bool {
        let switch = self
            .shared
            .switches
            .get(&session)
            .map(|switch| switch.clone());
        let Some(switch) = switch else {
            return false;
        };
        if let Some(reason) = reason {
            switch.mailbox.set_farewell(reason);
        }
        // Cancelled after the map's lock is gone: whoever is woken may end the session at once.
        switch.ended.cancel();
        true
    }

    /// What the fleet last listed under this name.
    pub fn instance(&self, id: &InstanceId) -> Option<Arc<Instance>> {
        self.lock().instance(id).cloned()
    }

    /// The newest published snapshot; some milliseconds old, and empty until `publish_changes` runs.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshots.borrow().clone()
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshots.subscribe()
    }

    /// Publishes a snapshot after every change, bursts of changes as one, and forgets people whose time is over; runs
    /// until `shutdown`, and then publishes once more.
    pub async fn publish_changes(self, shutdown: CancellationToken) {
        loop {
            let cost = self.publish();
            let pause = PUBLISH_PAUSE.max(cost.saturating_mul(PUBLISH_SHARE));
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.shared.changed.notified() => {}
                () = self.expiry() => {}
            }
        }
        self.publish();
    }

    #[cfg(test)]
    pub fn publish_now(&self) {
        self.publish();
    }

    /// Returns how long the lock was held.
    fn publish(&self) -> Duration {
        let now = Now::read();
        let (snapshot, cost) = {
            let mut state = self.lock();
            let locked = Instant::now();
            state.expire(now);
            (Arc::new(state.snapshot()), locked.elapsed())
        };
        self.shared.snapshots.send_replace(snapshot);
        cost
    }

    async fn expiry(&self) {
        let deadline = self.lock().next_deadline();
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Whether a change still becomes a snapshot: takes the lock, and waits for who publishes. Does not come back while either
    /// hangs.
    pub async fn is_alive(&self) -> bool {
        let mut snapshots = self.subscribe();
        snapshots.mark_unchanged();
        self.change(|_, _| ());
        snapshots.changed().await.is_ok()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Pool, Now) -> T) -> T {
        let now = Now::read();
        let answer = change(&mut self.lock(), now);
        self.shared.changed.notify_one();
        answer
    }

    /// A panic while the lock was held would be a bug in `pool`; one such login must not end all others.
    fn lock(&self) -> MutexGuard<'_, Pool> {
        let locked = self.shared.pool.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn read() -> Self {
        Self {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

#[cfg(test)]
mod tests;
