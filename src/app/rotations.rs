//! Files of lines are opened anew, after somebody has put them aside: by this gate, and by older ones that keep sessions yet and
//! write to the same files.
//!
//! Whoever rotates them knows one process only, the one that has the place. Several wishes at once are one. Deliberately absent:
//! which files these are.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Rotations {
    begun: watch::Sender<()>,
    asked: Arc<Notify>,
}

impl Rotations {
    /// This gate opens its files anew; older ones are to do so too.
    pub fn begin(&self) {
        self.begun.send_replace(());
    }

    /// Changes at each `begin` from here on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.begun.subscribe()
    }

    /// This gate is to open its files anew.
    pub fn ask(&self) {
        self.asked.notify_one();
    }

    /// Comes back when it is asked, or has been since the last time.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }
}
