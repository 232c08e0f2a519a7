//! The lines before the pools: one a pool, for everybody who waits for a seat there, by whichever door they came.
//!
//! Beside the pool and with a lock of its own: who waits holds no seat, and a place in line promises none. Whoever is in
//! front asks the pool, which alone gives seats.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::pool::queue::TicketMemory;
use crate::pool::{
    Now, Outlook, Protocol, Queue, QueueFull, Snapshot, Stand, Waiter, WaiterView, Wake,
};

#[derive(Default)]
pub struct Lines {
    lines: Mutex<BTreeMap<Arc<str>, Line>>,
    /// Tickets in all lines.
    count: AtomicUsize,
}

#[derive(Default)]
struct Line {
    queue: Queue,
    ssh: Wake,
    jupyter: Wake,
}

impl Lines {
    /// Nobody waits anywhere: what every request asks first.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// How many stand in front; `None` without a ticket.
    pub fn ahead(&self, pool: &str, waiter: &Waiter) -> Option<usize> {
        self.lock().get(pool)?.queue.ahead(waiter)
    }

    /// All who wait in a pool.
    pub fn len(&self, pool: &str) -> usize {
        self.lock().get(pool).map_or(0, |line| line.queue.len())
    }

    /// The free seats are for others who came first.
    pub fn is_behind(
        &self,
        pool: &str,
        waiter: Option<&Waiter>,
        by: Protocol,
        snapshot: &Snapshot,
    ) -> bool {
        if self.is_empty() {
            return false;
        }
        let lines = self.lock();
        let Some(line) = lines.get(pool) else {
            return false;
        };
        let in_front = line.in_front(pool, waiter, snapshot);
        in_front > 0 && in_front >= Outlook::of(snapshot, pool, by).free
    }

    /// Takes a ticket, or finds the one that is there. `source` is whom limits count as one client.
    ///
    /// # Errors
    /// When there is no room in the line.
    pub fn join(
        &self,
        pool: &Arc<str>,
        waiter: &Waiter,
        (by, source): (Protocol, IpAddr),
        snapshot: &Snapshot,
    ) -> Result<Stand, QueueFull> {
        let now = Instant::now();
        let mut lines = self.lock();
        let line = lines.entry(pool.clone()).or_default();
        let joined = line.queue.join(waiter.clone(), source, by, now);
        let stand = joined.map(|ahead| line.stand(pool, (waiter, ahead), by, snapshot));
        self.recount(&lines);
        stand
    }

    /// Where somebody with a ticket stands, who is there by asking; `None` without one.
    pub fn watch(
        &self,
        pool: &str,
        waiter: &Waiter,
        by: Protocol,
        snapshot: &Snapshot,
    ) -> Option<Stand> {
        let now = Instant::now();
        let mut lines = self.lock();
        let line = lines.get_mut(pool)?;
        let ahead = line.queue.touch(waiter, now)?;
        let stand = line.stand(pool, (waiter, ahead), by, snapshot);
        if stand.is_ready() {
            line.queue.call(waiter, now);
        }
        Some(stand)
    }

    /// This one has a seat; how long they stood here, if they did.
    pub fn leave(&self, pool: &str, waiter: &Waiter) -> Option<Duration> {
        if self.is_empty() {
            return None;
        }
        let mut lines = self.lock();
        let joined = lines.get_mut(pool)?.queue.leave(waiter);
        self.recount(&lines);
        joined.map(|joined| joined.elapsed())
    }

    /// Forgets those who are gone, and notes which pools are open again.
    pub fn sweep(&self, snapshot: &Snapshot) {
        let now = Instant::now();
        let mut lines = self.lock();
        for (pool, line) in lines.iter_mut() {
            line.queue.expire(now);
            for by in [Protocol::Ssh, Protocol::Jupyter] {
                if Outlook::of(snapshot, pool, by).is_open {
                    line.wake(by).note(true, now);
                }
            }
        }
        self.recount(&lines);
    }

    /// How long each line is that ever was one.
    pub fn lengths(&self) -> Vec<(Arc<str>, usize)> {
        let now = Instant::now();
        let mut lines = self.lock();
        let lengths = lines.iter_mut().map(|(pool, line)| {
            line.queue.expire(now);
            (pool.clone(), line.queue.len())
        });
        lengths.collect()
    }

    /// Everybody, in order.
    pub fn views(&self) -> Vec<WaiterView> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut views = Vec::new();
        for (pool, line) in self.lock().iter_mut() {
            line.queue.expire(now);
            let standing = line.queue.standing(now);
            views.extend((1..).zip(standing).map(|(place, one)| {
                let waited = now.saturating_duration_since(one.joined);
                WaiterView {
                    pool: pool.clone(),
                    place,
                    user: match one.waiter {
                        Waiter::Person(name) => Some(name.clone()),
                        Waiter::Browser(_) => None,
                    },
                    by: one.ways,
                    source: one.source,
                    since: wall.checked_sub(waited).unwrap_or(wall),
                    is_there: one.is_there,
                }
            }));
        }
        views
    }

    /// Everybody, by pool and in order, to be written down.
    pub fn memories(&self) -> Vec<TicketMemory> {
        let now = Now::read();
        let lines = self.lock();
        let told = lines.iter();
        told.flat_map(|(pool, line)| line.queue.memories(pool, now))
            .collect()
    }

    /// The ticket of one of them, for another gate.
    pub fn ticket(&self, pool: &Arc<str>, waiter: &Waiter) -> Option<TicketMemory> {
        let lines = self.lock();
        lines.get(pool)?.queue.memory(waiter, pool, Now::read())
    }

    /// Changes whenever somebody comes or goes.
    pub fn version(&self) -> u64 {
        let lines = self.lock();
        let versions = lines.values().map(|line| line.queue.version());
        versions.fold(0, u64::wrapping_add)
    }

    /// Puts everybody in line again who stood there before a restart and may still come back.
    pub(super) fn take_back(&self, memories: &[TicketMemory]) {
        let now = Now::read();
        let mut lines = self.lock();
        for memory in memories {
            let line = lines.entry(memory.pool.clone()).or_default();
            line.queue.take_back(memory, now);
        }
        self.recount(&lines);
    }

    fn recount(&self, lines: &BTreeMap<Arc<str>, Line>) {
        let count = lines.values().map(|line| line.queue.len()).sum();
        self.count.store(count, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn stand(
        &mut self,
        pool: &str,
        (waiter, ahead): (&Waiter, usize),
        by: Protocol,
        snapshot: &Snapshot,
    ) -> Stand {
        let (now, outlook) = (Instant::now(), Outlook::of(snapshot, pool, by));
        self.wake(by).note(outlook.is_open, now);
        Stand {
            ahead: Some(ahead),
            outlook,
            left_s: self.wake(by).left_s(now),
            in_front: self.in_front(pool, Some(waiter), snapshot),
        }
    }

    fn in_front(&self, pool: &str, waiter: Option<&Waiter>, snapshot: &Snapshot) -> usize {
        let is_open = |by| Outlook::of(snapshot, pool, by).is_open;
        let open = [Protocol::Ssh, Protocol::Jupyter].map(|by| (by, is_open(by)));
        let is_open = |by| open.contains(&(by, true));
        self.queue.in_front(waiter, Instant::now(), is_open)
    }

    fn wake(&mut self, by: Protocol) -> &mut Wake {
        match by {
            Protocol::Ssh => &mut self.ssh,
            Protocol::Jupyter => &mut self.jupyter,
        }
    }
}
