//! One gate takes another's place, and nobody who connects or is connected notices: `giving` is the side of the one that runs,
//! `taking` and `stepping_in` that of the new one, `link` and `reports` what they go on telling each other until the old one has ended.
//!
//! The new gate builds everything before it says that it is ready, and the old one accepts until the new one does. Whatever
//! fails before that leaves the old gate as it was: it holds its sockets, its lock and its state all the time.

mod estate;
mod giving;
mod launch;
mod link;
mod reports;
mod stepping_in;
mod taking;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(super) use launch::note_program;

use giving::Giver;
use link::Link;
use taking::{Taken, see_up};

/// Gates of one state folder at once; each older one keeps its memory for as long as it has sessions.
const GENERATIONS_MAX: usize = 3;
/// From the offer on, how long the new gate may take until it is ready.
const GET_READY: Duration = Duration::from_secs(60);
/// For one step that waits for nothing else.
const STEP: Duration = Duration::from_secs(10);

/// How many gates of before still hold sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Generations(Arc<AtomicUsize>);

impl Generations {
    /// This gate among them.
    fn alive(&self) -> usize {
        self.0.load(Ordering::Relaxed).saturating_add(1)
    }

    fn set_before(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }
}
