//! A login that only claims a name, before a pool that sleeps.
//!
//! A password proves nothing before an instance has seen it. It wakes a machine for a name that has logged in before, and
//! waits for it in line; anybody else hears what does wake one. All of this comes before the login takes its turn with an
//! instance, so that a crowd of one source wakes up together.

use std::time::SystemTime;

use super::words::words_of_sleep;
use super::{Login, LoginError};
use crate::pool::{LoginRequest, Outlook, Progress, Protocol, Snapshot};

impl Login<'_> {
    /// Takes a seat in advance where the pool sleeps and wakes for this name; anybody else's waits for their turn.
    pub(super) async fn wake_for_known(&mut self) -> Result<(), LoginError> {
        if self.upstream.is_some() || self.seat.is_some() || !self.verified.is_empty() {
            return Ok(());
        }
        let request = self.login_request(false);
        if self.may_wake(&request) {
            self.is_expected = true;
            self.seat = Some(self.seat(&request).await?);
        }
        Ok(())
    }

    fn may_wake(&self, request: &LoginRequest) -> bool {
        let snapshot = self.gatekeeper.pool.snapshot();
        let (Some(user), Some(pool)) = (&request.user, snapshot.pool_of(request)) else {
            return false;
        };
        let is_open = Outlook::of(&snapshot, &pool, Protocol::Ssh).is_open;
        !is_open && self.gatekeeper.may_wake(&pool, user)
    }

    /// What somebody does about a pool that their login does not wake.
    pub(super) async fn tell_of_sleep(
        &mut self,
        request: &LoginRequest,
        snapshot: &Snapshot,
    ) -> Result<(), LoginError> {
        let Some(pool) = snapshot.pool_of(request) else {
            return Ok(());
        };
        let outlook = Outlook::of(snapshot, &pool, Protocol::Ssh);
        match Progress::of(snapshot, &pool, (&outlook, None), SystemTime::now()) {
            Some(progress) => {
                let has_web = self.gatekeeper.has_web(&pool);
                self.inform(&words_of_sleep(&pool, &progress, has_web))
                    .await
            }
            None => Ok(()),
        }
    }
}
