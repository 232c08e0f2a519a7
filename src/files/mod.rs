//! Files that operators change while the gate works: each is read again once it stands still. One that is of no use leaves in
//! force what was read before, and is told for as long as that is so.
//!
//! It looks instead of being told: a look every second costs nothing, and sees what editors, mounts, links and renewals do.
//! What a file means is its reader's business.

mod faults;
mod followed;
mod stamp;

pub use faults::{FileFault, FileFaults};
pub use followed::{Followed, Look, follow};
pub use stamp::{Settling, Stamp};
