//! Until when a login must be done. A wait in line stops the clock: that time is not the person's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Shared by the login and whoever ends it.
#[derive(Clone)]
pub(in crate::ssh) struct Deadline(Arc<watch::Sender<Instant>>);

impl Deadline {
    pub fn after(time: Duration) -> Self {
        Self(Arc::new(watch::Sender::new(Instant::now() + time)))
    }

    pub fn at(&self) -> Instant {
        *self.0.borrow()
    }

    pub fn left(&self) -> Duration {
        self.at().saturating_duration_since(Instant::now())
    }

    /// From now on so much is left.
    pub fn leave(&self, left: Duration) {
        self.0.send_replace(Instant::now() + left);
    }

    /// Comes back once nothing is left.
    pub async fn passed(&self) {
        while !self.left().is_zero() {
            tokio::time::sleep_until(self.at().into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_time_can_be_given_and_taken_while_somebody_waits_for_its_end() {
        let deadline = Deadline::after(Duration::from_millis(20));
        deadline.leave(Duration::from_millis(60));
        let began = Instant::now();
        deadline.passed().await;
        assert!(began.elapsed() >= Duration::from_millis(55));
        assert!(deadline.left().is_zero());
    }
}
