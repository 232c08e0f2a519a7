//! How the gate stops: a first wish lets sessions end by themselves, a second one ends them.
//!
//! Only the two tokens and the count of running tasks live here; who wishes (signals) is `app`'s business.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Shared by every task that must know that the gate is stopping; cheap to clone.
#[derive(Clone, Default)]
pub struct Shutdown {
    /// No new connections.
    pub closing: CancellationToken,
    /// Sessions end too.
    pub ending: CancellationToken,
    /// Another process accepts at the same sockets: whoever waits in them is its to take.
    pub handed_over: CancellationToken,
    /// One entry for each connection.
    pub connections: TaskTracker,
}

impl Shutdown {
    pub fn close(&self) {
        self.closing.cancel();
        self.connections.close();
    }

    pub fn end(&self) {
        self.close();
        self.ending.cancel();
    }
}
