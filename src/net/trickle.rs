//! Of something that anybody may cause, at most so much: of each source, and of all together.
//!
//! Pure: the time comes as an argument. For lines of the log about people who have proved nothing; what is held back is counted, so
//! that whoever reads the next line knows of it. Deliberately absent: what logins cost (`penalties`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::source::Source;

/// Sources that are remembered; beyond these, the bound of all holds alone.
const SOURCES_MAX: usize = 1024;

/// So many at once, and one more each time this has passed.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// Who tries again and again is told a few times.
const OF_SOURCE: Rate = Rate {
    burst: 5,
    every: Duration::from_secs(30),
};
/// A flood from everywhere is some 15 MB of lines a day, and a class that cannot log in is told whole.
const OF_ALL: Rate = Rate {
    burst: 60,
    every: Duration::from_secs(2),
};

#[derive(Debug)]
struct Bucket {
    left: u32,
    /// When the last one was added.
    since: Instant,
}

#[derive(Debug)]
pub struct Trickle {
    all: Bucket,
    sources: HashMap<Source, Bucket>,
    held_back: u64,
}

impl Trickle {
    pub fn new(now: Instant) -> Self {
        Self {
            all: Bucket::full(OF_ALL, now),
            sources: HashMap::new(),
            held_back: 0,
        }
    }

    /// Whether one more may come, and if so, how many were held back before it.
    pub fn pass(&mut self, peer: IpAddr, now: Instant) -> Option<u64> {
        let source = Source::of(peer);
        if self.sources.len() >= SOURCES_MAX {
            self.sources.retain(|_, bucket| {
                bucket.fill(OF_SOURCE, now);
                bucket.left < OF_SOURCE.burst
            });
        }
        let has_room = self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source);
        let own = has_room.then(|| {
            let bucket = self.sources.entry(source);
            bucket.or_insert_with(|| Bucket::full(OF_SOURCE, now))
        });
        let may_source = own.is_none_or(|own| own.take(OF_SOURCE, now));
        if may_source && self.all.take(OF_ALL, now) {
            return Some(std::mem::take(&mut self.held_back));
        }
        self.held_back = self.held_back.saturating_add(1);
        None
    }
}

impl Bucket {
    fn full(rate: Rate, now: Instant) -> Self {
        Self {
            left: rate.burst,
            since: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let added = passed.as_nanos() / rate.every.as_nanos().max(1);
        let missing = rate.burst.saturating_sub(self.left);
        match u32::try_from(added) {
            Ok(added) if added < missing => {
                self.left = self.left.saturating_add(added);
                self.since += rate.every.saturating_mul(added);
            }
            _ => *self = Self::full(rate, now),
        }
    }

    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        let has_some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn one_source_is_told_a_few_times_and_leaves_room_for_others() {
        let begun = Instant::now();
        let mut trickle = Trickle::new(begun);
        let passed = (0..1000).filter(|_| trickle.pass(peer(1), begun).is_some());
        assert_eq!(passed.count(), 5);
        assert_eq!(trickle.pass(peer(2), begun), Some(995));
        assert_eq!(trickle.pass(peer(1), begun + Duration::from_secs(29)), None);
        let later = begun + Duration::from_secs(30);
        assert_eq!(trickle.pass(peer(1), later), Some(1));
        assert_eq!(trickle.pass(peer(1), later), None);
        let much_later = begun + Duration::from_secs(3600);
        let passed = (0..1000).filter(|_| trickle.pass(peer(1), much_later).is_some());
        assert_eq!(passed.count(), 5);
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_so_is_its_memory() {
        let begun = Instant::now();
        let mut trickle = Trickle::new(begun);
        let mut passed = 0;
        // A hundred seconds of a thousand sources each.
        for number in 0..100_000 {
            let now = begun + Duration::from_millis(u64::from(number));
            passed += usize::from(trickle.pass(peer(number), now).is_some());
        }
        assert!((60..=111).contains(&passed), "{passed}");
        assert!(trickle.sources.len() <= SOURCES_MAX);
    }
}
