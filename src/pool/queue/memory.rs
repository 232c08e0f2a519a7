//! What of a line outlives the process: who stood where, told by the wall clock, and taken back at a start.
//!
//! Nobody can ask while there is no gate. So the time they have to come back runs from when they were last heard of, and
//! nobody behind them is seated in their stead before they had a chance to return.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::super::Now;
use super::super::instance::Protocol;
use super::super::rfc3339;
use super::{ABSENT, LIMIT, Queue, Ticket, Waiter};

/// One ticket, by its place among the others of its pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketMemory {
    pub pool: Arc<str>,
    pub waiter: Waiter,
    /// Whom limits count as one client.
    pub source: IpAddr,
    pub by: Vec<Protocol>,
    #[serde(with = "rfc3339")]
    pub since: SystemTime,
    /// When they were last heard of.
    #[serde(with = "rfc3339")]
    pub seen: SystemTime,
}

impl Queue {
    /// Changes whenever somebody comes or goes.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Who stands there, the first in front.
    pub fn memories(&self, pool: &Arc<str>, now: Now) -> impl Iterator<Item = TicketMemory> {
        let waiters = self.line.values();
        waiters.filter_map(move |waiter| self.memory(waiter, pool, now))
    }

    /// One of them; `None` if they have no ticket.
    pub fn memory(&self, waiter: &Waiter, pool: &Arc<str>, now: Now) -> Option<TicketMemory> {
        let ticket = self.tickets.get(waiter)?;
        Some(TicketMemory {
            pool: pool.clone(),
            waiter: waiter.clone(),
            source: ticket.source,
            by: ticket.ways.iter().collect(),
            since: wall(ticket.joined, now),
            seen: wall(ticket.seen, now),
        })
    }

    /// Puts somebody where they stand by when they came who stood there before a restart, or stands at another gate. Left
    /// out: who was not heard of for too long, who has come meanwhile, and whom there is no room for.
    pub fn take_back(&mut self, memory: &TicketMemory, now: Now) {
        let silent = age(memory.seen, now);
        if silent > LIMIT || self.tickets.contains_key(&memory.waiter) {
            return;
        }
        let mut ticket = Ticket {
            joined: before(age(memory.since, now), now),
            seen: before(silent, now),
            awaited_until: now.instant + ABSENT,
            ..Ticket::new(memory.source, now.instant)
        };
        memory.by.iter().for_each(|by| ticket.ways.add(*by));
        // No room: they take a ticket anew when there is.
        let _ = self.add(memory.waiter.clone(), ticket);
    }
}

/// Nothing is older than it can be, whatever the clock said when it was written down.
fn age(at: SystemTime, now: Now) -> Duration {
    now.wall.duration_since(at).unwrap_or_default()
}

fn before(age: Duration, now: Now) -> Instant {
    now.instant.checked_sub(age).unwrap_or(now.instant)
}

fn wall(at: Instant, now: Now) -> SystemTime {
    let age = now.instant.saturating_duration_since(at);
    now.wall.checked_sub(age).unwrap_or(now.wall)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Waiter {
        Waiter::Person(name.into())
    }

    fn later(now: Now, seconds: u64) -> Now {
        let step = Duration::from_secs(seconds);
        Now {
            instant: now.instant + step,
            wall: now.wall + step,
        }
    }

    /// What the next process reads, whose monotonic clock is another.
    fn written(queue: &Queue, now: Now) -> Vec<TicketMemory> {
        let told: Vec<_> = queue.memories(&"main".into(), now).collect();
        serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap()
    }

    fn restarted(told: &[TicketMemory], now: Now) -> Queue {
        let mut queue = Queue::default();
        told.iter().for_each(|one| queue.take_back(one, now));
        queue
    }

    fn start() -> Now {
        Now {
            instant: Instant::now(),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        }
    }

    /// Alice, a browser, and bob, each a second after the other.
    fn line(now: Now) -> Queue {
        let mut queue = Queue::default();
        let source = IpAddr::from([10, 0, 0, 1]);
        for (who, by, after) in [
            (person("alice"), Protocol::Ssh, 0),
            (Waiter::Browser([7; 16]), Protocol::Jupyter, 1),
            (person("bob"), Protocol::Ssh, 2),
        ] {
            let at = later(now, after).instant;
            queue.join(who, source, by, at).unwrap();
        }
        queue
    }

    #[test]
    fn who_stood_there_stands_there_after_a_restart() {
        let begun = start();
        let told = written(&line(begun), later(begun, 10));
        assert_eq!(told[0].since, begun.wall);
        let now = later(begun, 40);
        let mut queue = restarted(&told, now);
        assert_eq!(written(&queue, now), told);
        let all = |_| true;
        // Bob is back first, and alice may still come.
        let source = IpAddr::from([10, 0, 0, 9]);
        let back = queue.join(person("bob"), source, Protocol::Ssh, now.instant);
        assert_eq!(back, Ok(2));
        assert_eq!(queue.in_front(Some(&person("bob")), now.instant, all), 2);
        let carol = queue.join(person("carol"), source, Protocol::Ssh, now.instant);
        assert_eq!(carol, Ok(3), "who is new stands behind them");
        assert_eq!(queue.touch(&person("alice"), now.instant), Some(0));
        // The browser does not come: it holds nobody up for long, and loses its place a minute after it was last heard of.
        let soon = later(now, 16).instant;
        queue.touch(&person("alice"), soon);
        assert_eq!(queue.in_front(Some(&person("bob")), soon, all), 1);
        queue.expire(later(begun, 62).instant);
        assert_eq!(queue.ahead(&Waiter::Browser([7; 16])), None);
        assert_eq!(queue.ahead(&person("bob")), Some(1));
    }

    #[test]
    fn who_was_not_heard_of_for_a_minute_is_left_out() {
        let begun = start();
        let told = written(&line(begun), later(begun, 10));
        let queue = restarted(&told, later(begun, 62));
        assert_eq!(queue.len(), 1, "bob alone came late enough");
        assert!(restarted(&told, later(begun, 63)).is_empty());
    }

    #[test]
    fn who_waited_at_another_gate_stands_by_when_they_came_there() {
        let begun = start();
        let told = written(&line(begun), later(begun, 9));
        let (mut queue, source) = (Queue::default(), IpAddr::from([10, 0, 0, 9]));
        let mut join = |name, after| {
            let at = later(begun, after).instant;
            queue.join(person(name), source, Protocol::Ssh, at)
        };
        assert_eq!(join("carol", 1), Ok(0));
        assert_eq!(join("dave", 9), Ok(1));
        for one in told.iter().rev() {
            queue.take_back(one, later(begun, 9));
        }
        let order = ["alice", "carol", "bob", "dave"].map(|name| queue.ahead(&person(name)));
        // The browser came at the same moment as carol, and was told of later.
        assert_eq!(order, [Some(0), Some(1), Some(3), Some(4)]);
    }

    #[test]
    fn a_clock_that_was_set_back_and_a_file_that_is_too_long_do_no_harm() {
        let begun = start();
        let mut told = written(&line(begun), begun);
        let early = Now {
            wall: begun.wall - Duration::from_secs(9000),
            ..begun
        };
        let mut queue = restarted(&told, early);
        assert_eq!(queue.len(), 3);
        queue.expire(later(early, 61).instant);
        assert!(queue.is_empty(), "a minute from when they were taken back");
        let template = told[0].clone();
        told.extend((0..5000_u32).map(|number| TicketMemory {
            waiter: person(&number.to_string()),
            ..template.clone()
        }));
        let queue = restarted(&told, begun);
        assert!(queue.len() <= super::super::TICKETS_PER_SOURCE_MAX);
    }
}
