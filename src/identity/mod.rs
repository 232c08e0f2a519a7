//! Who is it? From an offer, over proof, to a grant.
//!
//! `Offered` is a claim and has no effect anywhere; `Verified` is one proven factor; only a [`Grant`], built from verified
//! factors, may place, wake, dial or sign. Deliberately absent: sockets, the pool, and any decision about instances.

pub mod authorized_keys;
pub mod grant;

pub mod key_files;
pub mod options;
pub mod restrictions;

pub(crate) mod glob;
mod strict_modes;

pub use authorized_keys::AuthorizedLine;
pub use grant::{Grant, GrantError, Offered, Proof, ProofError, Verified};
pub use key_files::KeyFinder;
pub use restrictions::Restrictions;
