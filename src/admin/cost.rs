//! `GET /api/v1/cost`: what the machines of each pool that is resized have cost, and whose they were.
//!
//! The ledger is kept elsewhere; it is asked when somebody wants to know.

use std::pin::Pin;
use std::sync::Arc;

pub use crate::pool::cost::CostView;

/// The ledgers of all pools that are resized, by name.
pub type AskCost =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<CostView>> + Send>> + Send + Sync>;

/// Where no pool is resized.
pub(super) fn none_asked() -> AskCost {
    Arc::new(|| Box::pin(std::future::ready(Vec::new())))
}
