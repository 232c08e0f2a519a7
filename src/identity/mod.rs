//! Who is it? From an offer, over proof, to a grant.
//!
//! `Offered` is a claim and has no effect anywhere; `Verified` is one proven factor; only a [`Grant`], built from verified
//! factors, may place, wake, dial or sign. Deliberately absent: sockets, the pool, and any decision about instances.

pub mod authorized_keys;
pub mod grant;

pub mod key_files;
pub mod keys_command;
pub mod options;
pub mod principals;
pub mod restrictions;
pub mod revocation;
pub mod unix_groups;

mod certificates;
pub(crate) mod glob;
mod operator_file;
mod percent;
mod person_files;
mod strict_modes;
#[cfg(test)]
mod test_certificates;

pub use authorized_keys::AuthorizedLine;
pub use grant::{Grant, GrantError, Offered, Proof, ProofError, Verified};
pub use key_files::{KeyFinder, KeySources};
pub use keys_command::KeysCommand;
pub use restrictions::Restrictions;
