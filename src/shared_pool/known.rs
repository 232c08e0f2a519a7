//! Whose names have logged in before, beside the pool and with a lock of its own.
//!
//! Deliberately absent: what follows from it, which is the doors' business.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::SharedPool;
use crate::pool::{Acquaintance, Known};

impl SharedPool {
    pub(super) fn meet(&self, pool: &Arc<str>, user: &str) {
        self.known().meet(pool, user, SystemTime::now());
    }

    /// Whether somebody who only claims this name may wake the pool; noted as a try. `within` is how long ago the name may
    /// have been proved.
    pub fn may_wake(&self, pool: &str, user: &str, within: Duration) -> bool {
        self.known().may_wake(pool, user, within, SystemTime::now())
    }

    /// Whose names were proved, in no order, if that may have changed since the version `told`, which is set to this one's.
    pub fn acquaintances(&self, told: &mut Option<u64>) -> Option<Vec<Acquaintance>> {
        let known = self.known();
        let version = Some(known.version());
        (std::mem::replace(told, version) != version).then(|| known.told())
    }

    /// Takes back whom a gate of before knew.
    pub fn take_back_known(&self, told: Vec<Acquaintance>) {
        self.known().take_back(told);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.shared.known.lock();
        known.unwrap_or_else(PoisonError::into_inner)
    }
}
