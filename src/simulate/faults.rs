//! What goes wrong, and how often: drawn from the seed, so that a run with faults can be repeated.

use std::time::Duration;

use super::dice::Dice;

/// Nothing goes wrong by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The mean time between two faults; `None`: none.
    pub gap: Option<Duration>,
    /// Of a hundred boots, those that end in failure.
    pub boots_fail_percent: u64,
    /// Of a hundred boots, those after which nothing answers.
    pub boots_sick_percent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// The cloud takes a machine in 30 seconds.
    Evict,
    /// A machine stops answering.
    FallSick,
    /// A listing without a machine in it.
    ListNothing,
    /// A listing that lacks half of the machines.
    ListHalf,
    /// Listings stop for a while.
    GoStale,
    /// The cloud takes no orders for a while.
    Throttle,
    /// The wall clock jumps by a day, one way or the other, and back after an hour.
    JumpClock,
    /// The controller starts anew, knowing what is written down and no more.
    Restart,
    /// A hub stops telling who is there.
    SilenceHub,
    /// An operator cordons or drains an instance, or gives one back.
    Administer,
    /// A person asks for an instance to stay.
    Keep,
    /// No more machines are granted for a while: the quota is used up, or the cloud has none.
    ExhaustQuota,
    /// The next order comes amid another operation and is refused.
    Conflict,
    /// The next order is answered late; it may have failed.
    Hang,
    /// The next machines that are asked for are granted and never made.
    Renege,
    /// The next deletion is accepted and fails.
    FailDeletion,
    /// The set's capacity is listed too high for a while.
    Overstate,
    /// A machine is switched off from within.
    PowerOff,
    /// An operator switches off a machine that nobody is on, in the cloud.
    Deallocate,
}

const ALL: [Fault; 19] = [
    Fault::Evict,
    Fault::FallSick,
    Fault::ListNothing,
    Fault::ListHalf,
    Fault::GoStale,
    Fault::Throttle,
    Fault::JumpClock,
    Fault::Restart,
    Fault::SilenceHub,
    Fault::Administer,
    Fault::Keep,
    Fault::ExhaustQuota,
    Fault::Conflict,
    Fault::Hang,
    Fault::Renege,
    Fault::FailDeletion,
    Fault::Overstate,
    Fault::PowerOff,
    Fault::Deallocate,
];

/// What becomes of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Well,
    /// The cloud says that it failed.
    Fails,
    /// It runs, and nothing answers.
    Sick,
    /// It is granted, listed, and gone again.
    Vanishes,
}

impl Faults {
    /// Plenty of everything.
    pub fn plenty() -> Self {
        Self {
            gap: Some(Duration::from_secs(1800)),
            boots_fail_percent: 8,
            boots_sick_percent: 6,
        }
    }

    /// How long until the next, and what it is.
    pub(super) fn next(&self, dice: &mut Dice) -> Option<(Duration, Fault)> {
        let after = dice.exponential(self.gap?.as_secs_f64());
        let which = usize::try_from(dice.below(ALL.len() as u64)).unwrap_or(0);
        let fault = ALL.get(which).copied()?;
        Some((Duration::from_secs_f64(after), fault))
    }

    pub(super) fn fate(&self, dice: &mut Dice) -> Fate {
        let drawn = dice.below(100);
        if drawn < self.boots_fail_percent {
            Fate::Fails
        } else if drawn < self.boots_fail_percent + self.boots_sick_percent {
            Fate::Sick
        } else {
            Fate::Well
        }
    }
}
