//! People who wait for a seat: one ticket each, first come first served.
//!
//! Only the line itself. Whoever stands so far in front that there is a free seat for them asks the pool for it, gives the
//! ticket back once seated, and keeps it if the seat was taken meanwhile. A ticket nobody asks about any more keeps its
//! place for a minute, for whoever was cut off, and holds nobody up after some seconds.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::instance::Protocol;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// By number: the order they came in.
    line: BTreeMap<u64, Waiter>,
    sources: HashMap<IpAddr, usize>,
    last: u64,
    expired: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    number: u64,
    source: IpAddr,
    ways: Ways,
    joined: Instant,
    seen: Instant,
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
            ticket.seen = now;
            ticket.ways.add(by);
            // Whoever came and found the seat taken is called anew.
            ticket.called = None;
            return Ok(self.ahead(&waiter).unwrap_or(0));
        }
        if self.tickets.len() >= TICKETS_MAX {
            return Err(QueueFull::Everywhere);
        }
        let of_source = self.sources.entry(source).or_default();
        if *of_source >= TICKETS_PER_SOURCE_MAX {
            return Err(QueueFull::Source);
        }
        *of_source = of_source.saturating_add(1);
        self.last = self.last.saturating_add(1);
        let mut ticket = Ticket {
            number: self.last,
            source,
            ways: Ways::default(),
            joined: now,
            seen: now,
            called: None,
        };
        ticket.ways.add(by);
        self.line.insert(ticket.number, waiter.clone());
        self.tickets.insert(waiter, ticket);
        Ok(self.tickets.len().saturating_sub(1))
    }

    /// They are still there; returns how many stand in front. `None` if they have no ticket.
    pub fn touch(&mut self, waiter: &Waiter, now: Instant) -> Option<usize> {
        self.expire_now_and_then(now);
        self.tickets.get_mut(waiter)?.seen = now;
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
        let number = self.tickets.get(waiter)?.number;
        Some(self.line.range(..number).count())
    }

    /// How many who are there, and wait by a way that is open, come first: all of them for whoever has no ticket.
    pub fn in_front(
        &self,
        waiter: Option<&Waiter>,
        now: Instant,
        is_open: impl Fn(Protocol) -> bool,
    ) -> usize {
        let own = waiter.and_then(|waiter| self.tickets.get(waiter));
        let before = own.map_or(u64::MAX, |ticket| ticket.number);
        let tickets = self.line.range(..before).map(|(_, waiter)| waiter);
        let tickets = tickets.filter_map(|waiter| self.tickets.get(waiter));
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
        self.line.remove(&ticket.number);
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
    fn is_there(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) <= ABSENT
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
mod tests {
    use super::*;

    const JUPYTER: Protocol = Protocol::Jupyter;

    fn browser(number: u16) -> Waiter {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&number.to_be_bytes());
        Waiter::Browser(id)
    }

    fn source(number: u16) -> IpAddr {
        let [a, b] = number.to_be_bytes();
        IpAddr::from([10, 0, a, b])
    }

    #[test]
    fn the_first_to_come_stand_in_front_and_asking_again_changes_nothing() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for number in 0..5 {
            let ahead = queue.join(browser(number), source(number), JUPYTER, now);
            assert_eq!(ahead, Ok(usize::from(number)));
        }
        assert_eq!(queue.join(browser(3), source(3), JUPYTER, now), Ok(3));
        assert!(queue.leave(&browser(1)).is_some() && queue.leave(&browser(1)).is_none());
        assert_eq!(queue.ahead(&browser(0)), Some(0));
        assert_eq!(queue.ahead(&browser(3)), Some(2));
        assert_eq!(
            queue.join(browser(1), source(1), JUPYTER, now),
            Ok(4),
            "at the end"
        );
        assert_eq!(queue.ahead(&Waiter::Person("alice".into())), None);
    }

    #[test]
    fn a_person_has_one_ticket_in_all_their_windows() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let alice = || Waiter::Person("alice".into());
        queue.join(alice(), source(1), JUPYTER, now).unwrap();
        queue.join(browser(1), source(1), JUPYTER, now).unwrap();
        assert_eq!(queue.join(alice(), source(2), JUPYTER, now), Ok(0));
        assert_eq!(queue.len(), 2);
    }

    #[test]
    fn who_is_not_heard_of_loses_the_place() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        for number in 0..3 {
            queue
                .join(browser(number), source(1), JUPYTER, start)
                .unwrap();
        }
        assert_eq!(queue.touch(&browser(1), after(50)), Some(1));
        assert_eq!(queue.touch(&browser(1), after(61)), Some(0));
        assert_eq!((queue.len(), queue.ahead(&browser(0))), (1, None));
        queue.expire(after(122));
        assert!(queue.is_empty() && queue.sources.is_empty());
    }

    #[test]
    fn who_is_called_and_does_not_come_loses_it_sooner() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        queue.join(browser(0), source(0), JUPYTER, start).unwrap();
        queue.join(browser(1), source(1), JUPYTER, start).unwrap();
        queue.call(&browser(0), after(1));
        queue.call(&browser(0), after(10));
        assert_eq!(queue.touch(&browser(1), after(15)), Some(1));
        assert_eq!(queue.touch(&browser(1), after(17)), Some(0));
        queue.call(&browser(1), after(17));
        assert_eq!(
            queue.join(browser(1), source(1), JUPYTER, after(18)),
            Ok(0),
            "came, found it taken"
        );
        assert_eq!(queue.touch(&browser(1), after(40)), Some(0));
    }

    #[test]
    fn who_is_cut_off_holds_nobody_up_and_has_their_place_when_they_return() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let after = |s| start + Duration::from_secs(s);
        let alice = Waiter::Person("alice".into());
        queue
            .join(alice.clone(), source(1), Protocol::Ssh, start)
            .unwrap();
        queue.join(browser(1), source(2), JUPYTER, start).unwrap();
        let all = |_| true;
        assert_eq!(queue.in_front(Some(&browser(1)), after(15), all), 1);
        queue.touch(&browser(1), after(20));
        assert_eq!(queue.in_front(Some(&browser(1)), after(20), all), 0);
        assert_eq!(queue.ahead(&browser(1)), Some(1), "still behind them");
        queue.touch(&browser(1), after(55));
        let back = queue.join(alice.clone(), source(3), Protocol::Ssh, after(59));
        assert_eq!(back, Ok(0));
        assert_eq!(queue.in_front(Some(&browser(1)), after(59), all), 1);
        assert_eq!(queue.in_front(Some(&alice), after(59), all), 0);
        assert_eq!(queue.in_front(None, after(59), all), 2);
    }

    #[test]
    fn who_waits_for_a_service_that_is_down_everywhere_holds_nobody_up() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let alice = Waiter::Person("alice".into());
        queue.join(alice.clone(), source(1), JUPYTER, now).unwrap();
        let ssh_alone = |by| by == Protocol::Ssh;
        assert_eq!(queue.in_front(None, now, ssh_alone), 0);
        queue.join(alice, source(1), Protocol::Ssh, now).unwrap();
        assert_eq!(queue.in_front(None, now, ssh_alone), 1, "by both now");
        let standing: Vec<_> = queue.standing(now).collect();
        assert_eq!(standing[0].ways, [Protocol::Ssh, JUPYTER]);
        assert_eq!((standing.len(), standing[0].is_there), (1, true));
    }

    #[test]
    fn the_line_is_bounded_in_all_and_by_source() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let bound = u16::try_from(TICKETS_PER_SOURCE_MAX).unwrap();
        for number in 0..bound {
            queue
                .join(browser(number), source(0), JUPYTER, now)
                .unwrap();
        }
        let refused = queue.join(browser(bound), source(0), JUPYTER, now);
        assert_eq!(refused, Err(QueueFull::Source));
        for number in bound..u16::try_from(TICKETS_MAX).unwrap() {
            queue
                .join(browser(number), source(number), JUPYTER, now)
                .unwrap();
        }
        let refused = queue.join(browser(9999), source(9999), JUPYTER, now);
        assert_eq!(refused, Err(QueueFull::Everywhere));
        assert_eq!(
            queue.join(browser(7), source(0), JUPYTER, now),
            Ok(7),
            "has one"
        );
        queue.leave(&browser(7));
        assert!(queue.join(browser(9999), source(0), JUPYTER, now).is_ok());
    }

    proptest::proptest! {
        /// Against a plain list of who stands in the line and when they were last heard of.
        #[test]
        fn it_is_a_line_whatever_happens(steps in proptest::collection::vec((0_u8..3, 0_u16..12, 0_u64..30), 1..80)) {
            let (mut queue, mut line, mut now) = (Queue::default(), Vec::<(u16, Instant)>::new(), Instant::now());
            for (what, who, wait_s) in steps {
                now += Duration::from_secs(wait_s);
                queue.expire(now);
                line.retain(|(_, seen)| now.duration_since(*seen) <= LIMIT);
                let at = line.iter().position(|(one, _)| *one == who);
                match what {
                    0 => {
                        let at = at.unwrap_or(line.len());
                        line.resize(line.len().max(at + 1), (who, now));
                        line[at].1 = now;
                        proptest::prop_assert_eq!(queue.join(browser(who), source(who % 3), JUPYTER, now), Ok(at));
                    }
                    1 => {
                        if let Some(at) = at {
                            line[at].1 = now;
                        }
                        proptest::prop_assert_eq!(queue.touch(&browser(who), now), at);
                    }
                    _ => {
                        line.retain(|(one, _)| *one != who);
                        proptest::prop_assert_eq!(queue.leave(&browser(who)).is_some(), at.is_some());
                    }
                }
                proptest::prop_assert_eq!(queue.len(), line.len());
                proptest::prop_assert_eq!(queue.sources.values().sum::<usize>(), line.len());
            }
        }
    }
}
