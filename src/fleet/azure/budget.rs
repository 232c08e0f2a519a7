//! How many writes a scale set is given in a minute. Pure: the time comes in.
//!
//! Azure takes 4 changes and 4 deletions a minute of one set, refilling slowly; whoever spends them all waits minutes. So we
//! hold ourselves to 4 together, and to none while Azure asks to wait.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const WRITES_MAX: usize = 4;
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Budget {
    writes: VecDeque<Instant>,
    paused_until: Option<Instant>,
}

impl Budget {
    /// Spends one write.
    ///
    /// # Errors
    /// There is none; how long until there is.
    pub fn spend(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Err(until - now);
        }
        while self
            .writes
            .front()
            .is_some_and(|at| now.duration_since(*at) >= WINDOW)
        {
            self.writes.pop_front();
        }
        match self.writes.front() {
            Some(first) if self.writes.len() >= WRITES_MAX => {
                Err(WINDOW - now.duration_since(*first))
            }
            _ => {
                self.writes.push_back(now);
                Ok(())
            }
        }
    }

    /// Azure asked to wait.
    pub fn pause(&mut self, now: Instant, wait: Duration) {
        let until = now + wait;
        self.paused_until = Some(self.paused_until.map_or(until, |old| old.max(until)));
    }

    /// What Azure says is left of the set's own allowances: `Microsoft.Compute/NAME;COUNT,...`.
    pub fn heed(&mut self, now: Instant, remaining: &str) {
        let counts = remaining
            .split(',')
            .filter_map(|part| part.rsplit_once(';'));
        let least = counts
            .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
            .min();
        if least == Some(0) {
            self.pause(now, WINDOW / 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn four_writes_a_minute_and_the_wait_is_told() {
        let start = Instant::now();
        let mut budget = Budget::default();
        for second in 0..4 {
            budget.spend(start + S * second).unwrap();
        }
        assert_eq!(budget.spend(start + S * 10), Err(S * 50));
        assert_eq!(budget.spend(start + S * 60), Ok(()));
        assert_eq!(budget.spend(start + S * 60), Err(S));
    }

    #[test]
    fn a_pause_holds_everything_back() {
        let start = Instant::now();
        let mut budget = Budget::default();
        budget.pause(start, S * 7);
        budget.pause(start, S * 3);
        assert_eq!(budget.spend(start + S * 2), Err(S * 5));
        assert_eq!(budget.spend(start + S * 7), Ok(()));
    }

    #[test]
    fn an_allowance_that_is_used_up_is_heeded() {
        let start = Instant::now();
        let mut budget = Budget::default();
        budget.heed(
            start,
            "Microsoft.Compute/DeleteVMScaleSet;11,Microsoft.Compute/Other;3",
        );
        budget.heed(start, "no such form");
        assert_eq!(budget.spend(start), Ok(()));
        budget.heed(
            start,
            "Microsoft.Compute/DeleteVMScaleSet;0,Microsoft.Compute/Other;3",
        );
        assert_eq!(budget.spend(start), Err(S * 15));
    }

    proptest! {
        #[test]
        fn no_minute_holds_more(gaps in proptest::collection::vec(0_u64..40_000, 1..200)) {
            let mut now = Instant::now();
            let mut budget = Budget::default();
            let mut spent = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if budget.spend(now).is_ok() {
                    spent.push(now);
                }
            }
            for window in spent.windows(WRITES_MAX + 1) {
                prop_assert!(window[WRITES_MAX] - window[0] >= WINDOW);
            }
        }
    }
}
