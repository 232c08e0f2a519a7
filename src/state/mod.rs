//! What outlives the process, in files of the state folder: written whole, read back at the next start.
//!
//! Who keeps what is each part's own business; here is only how a file is replaced or put aside, and who may write.

mod file;
mod folder;
mod lock;
mod pen;

pub use file::StateFile;
pub use folder::{Folder, Trouble};
pub use lock::{Lock, LockError, holder as lock_holder};
pub use pen::{HeldPen, hold as hold_pen};
