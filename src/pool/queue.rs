//! People who wait for a seat: one ticket each, first come first served.
//!
//! Only the line itself. Whoever stands so far in front that there is a free seat for them asks the pool for it, gives the
//! ticket back once seated, and keeps it if the seat was taken meanwhile. A ticket nobody asks about any more keeps its
//! place for a minute, for whoever was cut off, and holds nobody up after some seconds.

mod memory;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::instance::Protocol;
pub use memory::TicketMemory;

/// Long enough to come back after a connection broke.
const LIMIT: Duration = Duration::from_secs(60);
/// Called, and not come: a page goes on at once, so nobody is there.
const CALL_LIMIT: Duration = Duration::from_secs(15);
/// A page that is open, and a login that waits, ask every few seconds: whoever asked before that is not there.
const ABSENT: Duration = Duration::from_secs(15);
const EXPIRE_INTERVAL: Duration = Duration::from_secs(1);
/// A class or two for each of many instances; more would wait longer than they want to.
const TICKETS_MAX: usize = 2000;
/// A campus behind one address.
const TICKETS_PER_SOURCE_MAX: usize = 500;

/// Who waits: a person who has proved a name, in however many windows, or a browser nobody has logged in on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Waiter {
    Person(Arc<str>),
    Browser([u8; 16]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueFull {
    #[error("{TICKETS_MAX} people wait for a seat already")]
    Everywhere,
    #[error("{TICKETS_PER_SOURCE_MAX} people of one source wait for a seat already")]
    Source,
}

/// The people who wait for a seat in one pool.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    tickets: HashMap<Waiter, Ticket>,
    /// In the order they came in.
    line: BTreeMap<Position, Waiter>,
    sources: HashMap<IpAddr, usize>,
    last: u64,
    expired: Option<Instant>,
    /// Changes whenever somebody comes or goes.
    version: u64,
}

/// When somebody came, and which of those that came at once they are: who stood at another gate before is put where they would
/// stand had they come to this one.
type Position = (Instant, u64);

#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    source: IpAddr,
    ways: Ways,
    joined: Instant,
    seen: Instant,
    /// Who is not heard of by then holds nobody up.
    awaited_until: Instant,
    called: Option<Instant>,
}

/// The protocols somebody waits by, in however many windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ways {
    ssh: bool,
    jupyter: bool,
}

/// One ticket, for who shows the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    pub waiter: &'a Waiter,
    pub source: IpAddr,
    pub ways: Vec<Protocol>,
    pub joined: Instant,
    /// They have asked within the last seconds.
    pub is_there: bool,
}

impl Queue {
    /// Gives a ticket to whoever has none; returns how many stand in front. `source` is whom limits count as one client.
    pub fn join(
        &mut self,
        waiter: Waiter,
        source: IpAddr,
        by: Protocol,
        now: Instant,
    ) -> Result<usize, QueueFull> {
        self.expire_now_and_then(now);
        if let Some(ticket) = self.tickets.get_mut(&waiter) {
            ticket.see(now);
            ticket.ways.add(by);
            // Whoever came and found the seat taken is called anew.
            ticket.called = None;
            return Ok(self.ahead(&waiter).unwrap_or(0));
        }
        let mut ticket = Ticket::new(source, now);
        ticket.ways.add(by);
        self.add(waiter.clone(), ticket)?;
        Ok(self.ahead(&waiter).unwrap_or(0))
    }

    /// They are still there; returns how many stand in front. `None` if they have no ticket.
    pub fn touch(&mut self, waiter: &Waiter, now: Instant) -> Option<usize> {
        self.expire_now_and_then(now);
        self.tickets.get_mut(waiter)?.see(now);
        self.ahead(waiter)
    }

    /// They were told that a seat is free for them.
    pub fn call(&mut self, waiter: &Waiter, now: Instant) {
        if let Some(ticket) = self.tickets.get_mut(waiter) {
            ticket.called.get_or_insert(now);
        }
    }

    /// How many stand in front; `None` if they have no ticket.
    pub fn ahead(&self, waiter: &Waiter) -> Option<usize> {
        let position = self.tickets.get(waiter)?.position();
        Some(self.line.range(..position).count())
    }

    /// How many who are there, and wait by a way that is open, come first: all of them for whoever has no ticket.
    pub fn in_front(
        &self,
        waiter: Option<&Waiter>,
        now: Instant,
        is_open: impl Fn(Protocol) -> bool,
    ) -> usize {
        let own = waiter.and_then(|waiter| self.tickets.get(waiter));
        let own = own.map(Ticket::position);
        let before = self.line.range((
            Bound::Unbounded,
            own.map_or(Bound::Unbounded, Bound::Excluded),
        ));
        let tickets = before.filter_map(|(_, waiter)| self.tickets.get(waiter));
        let counts = |ticket: &&Ticket| ticket.is_there(now) && ticket.ways.iter().any(&is_open);
        tickets.filter(counts).count()
    }

    /// All tickets, the first in front.
    pub fn standing(&self, now: Instant) -> impl Iterator<Item = Standing<'_>> {
        self.line.values().filter_map(move |waiter| {
            let ticket = self.tickets.get(waiter)?;
            Some(Standing {
                waiter,
                source: ticket.source,
                ways: ticket.ways.iter().collect(),
                joined: ticket.joined,
                is_there: ticket.is_there(now),
            })
        })
    }

    /// They have a seat, or want none. Since when they stood here; `None` if they had no ticket.
    pub fn leave(&mut self, waiter: &Waiter) -> Option<Instant> {
        let ticket = self.tickets.remove(waiter)?;
        self.version = self.version.wrapping_add(1);
        self.line.remove(&ticket.position());
        if let Some(count) = self.sources.get_mut(&ticket.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.sources.remove(&ticket.source);
            }
        }
        Some(ticket.joined)
    }

    /// Forgets those who have not been heard of.
    pub fn expire(&mut self, now: Instant) {
        let is_gone = |ticket: &Ticket| {
            let is_silent = now.saturating_duration_since(ticket.seen) > LIMIT;
            let ignored = ticket
                .called
                .is_some_and(|at| now.saturating_duration_since(at) > CALL_LIMIT);
            is_silent || ignored
        };
        let gone = self.tickets.iter().filter(|(_, ticket)| is_gone(ticket));
        let gone: Vec<Waiter> = gone.map(|(waiter, _)| waiter.clone()).collect();
        for waiter in gone {
            self.leave(&waiter);
        }
    }

    /// Behind all who came before; its number is given here.
    fn add(&mut self, waiter: Waiter, mut ticket: Ticket) -> Result<(), QueueFull> {
        if self.tickets.len() >= TICKETS_MAX {
            return Err(QueueFull::Everywhere);
        }
        let of_source = self.sources.entry(ticket.source).or_default();
        if *of_source >= TICKETS_PER_SOURCE_MAX {
            return Err(QueueFull::Source);
        }
        *of_source = of_source.saturating_add(1);
        self.version = self.version.wrapping_add(1);
        self.last = self.last.saturating_add(1);
        ticket.number = self.last;
        self.line.insert(ticket.position(), waiter.clone());
        self.tickets.insert(waiter, ticket);
        Ok(())
    }

    /// Each looks through all tickets, and thousands of open pages ask.
    fn expire_now_and_then(&mut self, now: Instant) {
        let is_due = |at: Instant| now.saturating_duration_since(at) >= EXPIRE_INTERVAL;
        if self.expired.is_none_or(is_due) {
            self.expired = Some(now);
            self.expire(now);
        }
    }

    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }
}

impl Ticket {
    fn new(source: IpAddr, now: Instant) -> Self {
        Self {
            number: 0,
            source,
            ways: Ways::default(),
            joined: now,
            seen: now,
            awaited_until: now + ABSENT,
            called: None,
        }
    }

    fn position(&self) -> Position {
        (self.joined, self.number)
    }

    fn see(&mut self, now: Instant) {
        self.seen = now;
        self.awaited_until = now + ABSENT;
    }

    fn is_there(&self, now: Instant) -> bool {
        now <= self.awaited_until
    }
}

impl Ways {
    fn add(&mut self, by: Protocol) {
        match by {
            Protocol::Ssh => self.ssh = true,
            Protocol::Jupyter => self.jupyter = true,
        }
    }

    fn iter(self) -> impl Iterator<Item = Protocol> {
        let ssh = self.ssh.then_some(Protocol::Ssh);
        ssh.into_iter()
            .chain(self.jupyter.then_some(Protocol::Jupyter))
    }
}

#[cfg(test)]
mod tests;
