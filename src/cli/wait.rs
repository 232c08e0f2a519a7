//! Waits for what an order began, and shows how far it is. The order goes on without this command, which is said when it is
//! interrupted; a gate that is restarted meanwhile is waited for.

use std::time::Duration;

use anyhow::{Context, anyhow};

use super::Failure;
use super::print::Progress;

/// People leave in minutes and machines boot in minutes; a second more is nothing to whoever waits for that.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What one look at the gate says.
pub(super) enum Look<T> {
    /// What changes seldom, and what runs on between changes.
    GoesOn {
        text: String,
        clock: String,
    },
    Done(T),
    /// It will not come to an end, and why.
    CalledOff(String),
}

/// Looks until it is over. `going_on` is said to whoever interrupts the wait.
///
/// # Errors
/// When it was called off, or the wait interrupted.
pub(super) async fn until<T>(
    going_on: &str,
    look: impl AsyncFnMut() -> Result<Look<T>, Failure>,
) -> Result<T, Failure> {
    let mut progress = Progress::new();
    let ended = tokio::select! {
        ended = watch(look, &mut progress) => ended,
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("cannot wait for ctrl-c")?;
            Err(going_on.to_owned())
        }
    };
    progress.end();
    ended.map_err(|why| anyhow!(why).into())
}

async fn watch<T>(
    mut look: impl AsyncFnMut() -> Result<Look<T>, Failure>,
    progress: &mut Progress,
) -> Result<T, String> {
    loop {
        match look().await {
            Ok(Look::Done(done)) => return Ok(done),
            Ok(Look::CalledOff(why)) => return Err(why),
            Ok(Look::GoesOn { text, clock }) => progress.tell(&text, &clock),
            Err(_) => progress.tell("the gate does not answer; waiting for it", ""),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
