//! How the gate stops: a first wish lets sessions end by themselves, a second one ends them.
//!
//! Only tokens, the count of running tasks and the end of accepting for one connection live here; who wishes (signals) is `app`'s
//! business.

use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long whoever was let in at the last moment may take to ask: longer than a slow handshake's echo, and no stop waits longer
/// for a connection that a browser opened on suspicion.
const FIRST_REQUEST: Duration = Duration::from_secs(5);

/// Comes back when a connection of HTTP/1 is to end: at `closing`, but not before something was `asked` on it. One that was accepted
/// and closed without an answer would be an error in a browser.
pub async fn parting(closing: &CancellationToken, asked: &Notify) {
    closing.cancelled().await;
    // Nobody asks.
    drop(tokio::time::timeout(FIRST_REQUEST, asked.notified()).await);
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_parts_at_the_end_and_after_its_first_request() {
        let (closing, asked) = (CancellationToken::new(), Notify::new());
        let began = tokio::time::Instant::now();
        let soon = Duration::from_secs(1);
        asked.notify_one();
        let open = tokio::time::timeout(soon, parting(&closing, &asked)).await;
        assert!(open.is_err(), "nothing closes");
        closing.cancel();
        parting(&closing, &asked).await;
        assert_eq!(began.elapsed(), soon, "something was asked before");
        let asking = async {
            tokio::time::sleep(soon).await;
            asked.notify_one();
        };
        tokio::join!(parting(&closing, &asked), asking);
        assert_eq!(began.elapsed(), soon * 2, "it was asked then");
        parting(&closing, &asked).await;
        assert_eq!(began.elapsed(), soon * 2 + FIRST_REQUEST, "nobody asks");
    }
}
