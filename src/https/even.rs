//! Answers to login forms come at even times, so that how long a refusal took tells nothing of whose name was in the form.
//!
//! The form of somebody who belongs on another instance takes one more request to a hub (`relogin`), a name without an
//! account may take a hub less. Whoever is let in waits for nothing: that answer says more than its time.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::classify::Kind;

/// Far above what one more request to a hub takes, and short for somebody who mistyped. Hubs that check passwords slowly
/// on purpose (PAM: 2 s) answer after a multiple of it.
const STEP: Duration = Duration::from_millis(500);

/// Where this answers a login form that lets nobody in: returns a whole number of steps after it came.
pub async fn wait(kind: Kind, began: Instant, status: StatusCode) {
    if kind == Kind::LoginPost && !status.is_redirection() {
        tokio::time::sleep(rest_of_step(began.elapsed())).await;
    }
}

fn rest_of_step(elapsed: Duration) -> Duration {
    let (elapsed, step) = (elapsed.as_nanos(), STEP.as_nanos());
    let rest = step - elapsed % step;
    Duration::from_nanos(u64::try_from(rest).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_within_one_step_end_together() {
        for steps in 0..5 {
            let begin = STEP * steps;
            for within_ms in [0, 1, 10, 250, 499] {
                let elapsed = begin + Duration::from_millis(within_ms);
                assert_eq!(elapsed + rest_of_step(elapsed), begin + STEP);
            }
        }
    }
}
