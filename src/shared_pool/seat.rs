//! A session's seat, which ends the session when dropped, and the count of its bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::{Mailbox, SharedPool, Switch};
use crate::pool::{Instance, Placement, PlacementReason, SessionId};

/// A reserved seat; dropping it ends the session, so that no error path leaks a count.
pub struct Seat {
    /// Shared with whoever moves the session's bytes.
    pub meter: Arc<Meter>,
    pub(super) pool: SharedPool,
    pub(super) placement: Placement,
    pub(super) switch: Switch,
}

impl Seat {
    pub fn session(&self) -> SessionId {
        self.placement.session
    }

    pub fn instance(&self) -> &Arc<Instance> {
        &self.placement.instance
    }

    pub fn reason(&self) -> PlacementReason {
        self.placement.reason
    }

    /// The person has proved this name: affinity is learned, and a provisional seat becomes a reserved one.
    pub fn prove(&self, user: &str) {
        let session = self.session();
        self.pool
            .change(|state, now| state.prove(session, user, now));
        self.pool.meet(&self.placement.instance.id.pool, user);
    }

    /// Bytes flow; of a session that is not proven, this counts once it is.
    pub fn set_live(&self) {
        let session = self.session();
        self.pool.change(|state, _| state.set_live(session));
    }

    /// The instance does not let its proven person in, who is not sent there again for having been there.
    pub fn turn_away(&self) {
        let session = self.session();
        self.pool.change(|state, _| state.turn_away(session));
    }

    /// Fires when the session must end from outside: evicted, or its instance is gone.
    pub fn ended(&self) -> CancellationToken {
        self.switch.ended.clone()
    }

    /// What the session is told from outside.
    pub fn mailbox(&self) -> Arc<Mailbox> {
        self.switch.mailbox.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let session = self.session();
        self.pool.change(|state, now| {
            state.end_session(session, now);
            self.pool.shared.switches.remove(&session);
        });
    }
}

/// Bytes of one session, as the person sees them.
#[derive(Default)]
pub struct Meter {
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
}

impl Meter {
    /// Bytes from the person and to the person so far.
    pub fn totals(&self) -> (u64, u64) {
        (
            self.bytes_in.load(Ordering::Relaxed),
            self.bytes_out.load(Ordering::Relaxed),
        )
    }
}
