//! One gate takes another's place, and nobody who connects or is connected notices: `giving` is the side of the one that runs,
//! `taking` and `stepping_in` that of the new one; by `order`, `trial` and `launch` the one that runs starts it. What they go on
//! telling each other until the old one has ended is `staying` and `reports` on its side, `older` and `link` on that of whoever has
//! the place by then.
//!
//! The new gate builds everything before it says that it is ready, and the old one accepts until the new one does. Whatever
//! fails before that leaves the old gate as it was: it holds its sockets, its lock and its state all the time.

mod estate;
mod giving;
mod launch;
mod link;
mod older;
mod order;
mod reports;
mod staying;
mod stepping_in;
mod taking;
mod trial;

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::UnixStream;

pub(super) use launch::note_program;
pub use launch::{SERVING, own_program};

use giving::Giver;
use link::Link;
use taking::{Taken, see_up};

/// Gates of one state folder at once; each older one keeps its memory for as long as it has sessions.
const GENERATIONS_MAX: usize = 3;
/// From the offer on, how long the new gate may take until it is ready.
const GET_READY: Duration = Duration::from_secs(60);
/// For one step that waits for nothing else.
const STEP: Duration = Duration::from_secs(10);

/// # Errors
/// When another account is at the other end.
fn check_account(stream: &UnixStream) -> Result<()> {
    let account = stream.peer_cred()?.uid();
    if account != nix::unistd::geteuid().as_raw() {
        bail!("the process at the other end has account {account}, not this gate's");
    }
    Ok(())
}
