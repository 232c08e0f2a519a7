//! When not to act: what is known may be old, untrue, or too bad to be believed.
//!
//! When blind, nothing is changed; when only the time or the counts are in doubt, nobody's machine is taken away.

use std::time::Duration;

use super::situation::Situation;
use super::supply::Role;

/// Above this share of machines that should serve and do not, the fault is not in the machines.
const UNREADY_PERCENT_MAX: u32 = 45;
/// One or two machines of a small pool may well be ill.
const UNREADY_MIN: u32 = 4;
/// How long this process must have counted sessions before a count of none is believed; less where machines go sooner.
pub(super) const WARM_UP: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Freeze {
    /// Nothing is done.
    All(String),
    /// Nothing is drained or removed.
    Less(String),
}

impl Freeze {
    pub fn into_reason(self) -> String {
        match self {
            Self::All(reason) | Self::Less(reason) => reason,
        }
    }
}

pub(super) fn judge(situation: &Situation<'_>) -> Option<Freeze> {
    let facts = situation.facts;
    if facts.listing_age > situation.config.stale_after {
        let age_s = facts.listing_age.as_secs();
        let what = format!("nothing is changed: the cloud's listing is {age_s} s old");
        return Some(Freeze::All(what));
    }
    if let Some(contradiction) = &facts.contradiction {
        return Some(Freeze::All(format!("nothing is changed: {contradiction}")));
    }
    let unready = situation.supply.count(Role::Sick) + situation.supply.count(Role::Failed);
    let should_serve = unready + situation.supply.in_service();
    if unready >= UNREADY_MIN && unready * 100 > should_serve * UNREADY_PERCENT_MAX {
        let what = format!(
            "nothing is changed: {unready} of {should_serve} machines that should take logins do not"
        );
        return Some(Freeze::All(what));
    }
    if let Some(jump) = situation.history.doubts_clock(situation.now) {
        let what = format!(
            "nothing is drained: the clock jumped by {} s",
            jump.as_secs()
        );
        return Some(Freeze::Less(what));
    }
    if let Some(pid) = facts.unheard.first() {
        let what = format!(
            "nothing is drained: an older gate (pid {pid}) has not told yet whose sessions it holds"
        );
        return Some(Freeze::Less(what));
    }
    let warm_up = WARM_UP.min(situation.config.idle);
    if facts.counted_for < warm_up {
        let seconds = warm_up.as_secs();
        let what =
            format!("nothing is drained: sessions have been counted for less than {seconds} s");
        return Some(Freeze::Less(what));
    }
    None
}
