//! What outlives the process, in files of the state folder: written whole, read back at the next start.
//!
//! Who keeps what is each part's own business; here is only how a file is replaced, and who may write.

mod file;
mod lock;

pub use file::StateFile;
pub use lock::{Lock, LockError};
