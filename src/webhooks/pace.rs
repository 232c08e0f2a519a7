//! How often a webhook may be told something: a few at once, then so many a minute. Pure: time comes in.

use std::time::{Duration, Instant};

/// Messages that may follow each other at once after a quiet time.
const BURST: u32 = 3;

pub struct Pace {
    every: Duration,
    /// When all of the burst is there again.
    full_at: Option<Instant>,
}

impl Pace {
    pub fn new(per_minute: u32) -> Self {
        Self {
            every: Duration::from_secs(60) / per_minute.max(1),
            full_at: None,
        }
    }

    /// How long the next message has to wait.
    pub fn wait(&self, now: Instant) -> Duration {
        let owed = self
            .full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        owed.saturating_sub(self.every * (BURST - 1))
    }

    /// A message goes out.
    pub fn spend(&mut self, now: Instant) {
        let from = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(from + self.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_at_once_and_then_one_at_a_time() {
        let mut pace = Pace::new(6);
        let start = Instant::now();
        for _ in 0..BURST {
            assert_eq!(pace.wait(start), Duration::ZERO);
            pace.spend(start);
        }
        assert_eq!(pace.wait(start), Duration::from_secs(10));
        let later = start + Duration::from_secs(10);
        assert_eq!(pace.wait(later), Duration::ZERO);
        pace.spend(later);
        assert_eq!(pace.wait(later), Duration::from_secs(10));
        assert_eq!(pace.wait(later + Duration::from_secs(600)), Duration::ZERO);
    }
}
