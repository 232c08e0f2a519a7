//! Who may write state files: this process, until it hands the state folder over to another one.
//!
//! One for the process, as the lock of the folder is: no file can be forgotten. While a hand-over goes on writers wait; after
//! it they write no more, and what they wanted to write is the other process's to know.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// False once it is given away.
static PEN: RwLock<bool> = RwLock::const_new(true);

/// Nobody writes while this lives.
pub struct HeldPen(RwLockWriteGuard<'static, bool>);

/// Waits until nothing is being written.
pub async fn hold() -> HeldPen {
    HeldPen(PEN.write().await)
}

impl HeldPen {
    /// This process writes nothing more.
    pub fn give_away(mut self) {
        *self.0 = false;
    }
}

/// The right to write one file; `None` if another process has it.
pub(super) async fn take() -> Option<RwLockReadGuard<'static, bool>> {
    let pen = PEN.read().await;
    pen.then_some(pen)
}
