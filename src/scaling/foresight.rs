//! What a plan would be later, if everything stayed as it is: for people who ask what comes next.
//!
//! The plan itself is asked, with a later clock, so that what is foretold is what will be done. Nothing is carried out, and
//! nothing is remembered.

use std::time::Duration;

use crate::pool::Now;

use super::facts::Facts;
use super::history::History;
use super::plan::Step;
use super::policy::plan;
use super::policy_config::PolicyConfig;

/// Farther than that nobody believes it.
const MINUTES: [u64; 10] = [1, 2, 3, 5, 8, 12, 20, 30, 45, 60];
/// The moment is found to so much.
const PRECISION: Duration = Duration::from_secs(10);

/// The first step that is not due yet, and in how long; to be asked when nothing is.
pub fn foresee(
    facts: &Facts,
    history: &History,
    config: &PolicyConfig,
    now: Now,
) -> Option<(Duration, Step)> {
    let step_after = |ahead: Duration| {
        let then = Now {
            instant: now.instant.checked_add(ahead)?,
            wall: now.wall.checked_add(ahead)?,
        };
        let facts = Facts {
            counted_for: facts.counted_for.saturating_add(ahead),
            ..facts.clone()
        };
        plan(&facts, history, config, then).steps.into_iter().next()
    };
    let mut early = Duration::ZERO;
    for minutes in MINUTES {
        let mut late = Duration::from_secs(60 * minutes);
        if let Some(mut step) = step_after(late) {
            while late.saturating_sub(early) > PRECISION {
                let middle = early.saturating_add(late) / 2;
                match step_after(middle) {
                    Some(found) => (late, step) = (middle, found),
                    None => early = middle,
                }
            }
            return Some((late, step));
        }
        early = late;
    }
    None
}
