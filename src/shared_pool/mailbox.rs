//! What one session is told from outside: lines for its terminals, and why it is ended.
//!
//! Bounded, and never waits: a session that does not look keeps only the newest few. How a line reaches a terminal is the
//! front door's business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Lines that wait for a session; beyond them the oldest goes.
const LINES_MAX: usize = 8;

#[derive(Debug, Default)]
pub struct Mailbox {
    letters: Mutex<Letters>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Letters {
    lines: VecDeque<Arc<str>>,
    farewell: Option<Arc<str>>,
}

impl Mailbox {
    pub fn post(&self, line: Arc<str>) {
        {
            let mut letters = self.lock();
            if letters.lines.len() == LINES_MAX {
                letters.lines.pop_front();
            }
            letters.lines.push_back(line);
        }
        self.arrived.notify_one();
    }

    /// Comes back once a line has come; for one reader.
    pub fn arrived(&self) -> Notified<'_> {
        self.arrived.notified()
    }

    pub fn take_lines(&self) -> VecDeque<Arc<str>> {
        std::mem::take(&mut self.lock().lines)
    }

    /// Why the session is ended from outside, if somebody said so.
    pub fn farewell(&self) -> Option<Arc<str>> {
        self.lock().farewell.clone()
    }

    /// The first reason stands.
    pub(super) fn set_farewell(&self, reason: &str) {
        self.lock().farewell.get_or_insert_with(|| reason.into());
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
