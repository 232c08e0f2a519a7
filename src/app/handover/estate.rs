//! What of the gate's inside goes to another process, and what ends here when it has gone.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use tokio::sync::oneshot;

use crate::app::reload::Inside;
use crate::net::handover::{LOCK, Passed};
use crate::net::inherited::SocketName;
use crate::net::shutdown::Shutdown;

impl Inside {
    /// Handles of every socket, and of the state folder's lock.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub(super) fn sockets(&self) -> Result<Vec<(Passed, OwnedFd)>> {
        let passed = |name: &str| Passed {
            name: name.to_owned(),
            file: None,
        };
        let mut sockets: Vec<(Passed, OwnedFd)> = Vec::new();
        for (role, socket) in self.doors.listeners.share()? {
            sockets.push((passed(role.name()), socket.into()));
        }
        if let Some(open) = &self.socket {
            let admin = Passed {
                file: open.file.path(),
                ..passed(SocketName::Admin.name())
            };
            sockets.push((admin, open.handle.try_clone()?));
        }
        let lock = self.lock.as_ref().context("the lock is another gate's")?;
        sockets.push((passed(LOCK), lock.as_fd().try_clone_to_owned()?));
        Ok(sockets)
    }

    /// Returns once what is known now is written down.
    pub(super) async fn flush(&self) {
        let (asked, written) = oneshot::channel();
        if self.flush.send(asked).await.is_ok() {
            // An end without an answer is that of the gate.
            drop(written.await);
        }
    }

    /// Ends what only one gate of a place does.
    pub(super) fn retire(&mut self, shutdown: &Shutdown) {
        self.lock = None;
        if let Some(open) = self.socket.take() {
            open.file.leave();
        }
        self.doors.retire();
        self.pools.retire(shutdown);
    }
}
