//! What systemd is told of the gate: that it is open, reads its configuration, ends, whose process it is, and that it lives.
//!
//! Without `NOTIFY_SOCKET` nobody is told anything. A sign of life comes from a task of the runtime that has taken the pool's
//! lock and has been shown a fresh snapshot: a gate that hangs on either is silent, and is started anew.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::pool::Snapshot;
use crate::shared_pool::SharedPool;

/// How often the status line is looked at where no watchdog asks for more.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// Reading the configuration again, until it is dropped.
pub(super) struct Reloading(());

/// Whether somebody starts another gate where the one it knows of ends.
pub(super) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

pub fn ready() {
    tell(&[NotifyState::Ready]);
}

pub(super) fn reloading() -> Reloading {
    // systemd 253 and newer want both in one message.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
    Reloading(())
}

impl Drop for Reloading {
    fn drop(&mut self) {
        ready();
    }
}

/// The gate is that process from here on.
pub(super) fn main_process(pid: i32) {
    if let Ok(pid) = u32::try_from(pid) {
        tell(&[NotifyState::MainPid(pid)]);
    }
}

pub(super) fn stopping(sessions: usize) {
    let status = format!("stopping: no new logins, {sessions} connections are left");
    tell(&[NotifyState::Stopping, NotifyState::Status(&status)]);
}

/// Signs of life at half the time systemd waits for them, and the status line as it changes, until `until`.
pub(super) async fn live(pool: SharedPool, until: CancellationToken) {
    if !is_there() {
        return;
    }
    let watchdog = sd_notify::watchdog_enabled();
    let pause = watchdog.map_or(STATUS_EVERY, |patience| STATUS_EVERY.min(patience / 2));
    let mut told = String::new();
    loop {
        if watchdog.is_some() && pool.is_alive().await {
            tell(&[NotifyState::Watchdog]);
        }
        let status = status(&pool.snapshot());
        if status != told {
            tell(&[NotifyState::Status(&status)]);
            told = status;
        }
        let waiting = tokio::time::sleep(pause);
        if until.run_until_cancelled(waiting).await.is_none() {
            return;
        }
    }
}

fn status(snapshot: &Arc<Snapshot>) -> String {
    let routable: u32 = snapshot
        .pools
        .iter()
        .map(|pool| pool.instances_routable)
        .sum();
    format!(
        "open: {} sessions on {} instances, {routable} of which take logins",
        snapshot.sessions.len(),
        snapshot.instances.len(),
    )
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, ?states, "systemd cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_one_line() {
        let line = status(&Arc::new(Snapshot::default()));
        assert_eq!(
            line,
            "open: 0 sessions on 0 instances, 0 of which take logins"
        );
    }
}
