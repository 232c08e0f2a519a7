//! All that pages are made of at one moment, as plain values: what is gathered elsewhere is rendered here without asking
//! anybody. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::tz::TimeZone;

use super::history::History;
use super::words::{Clock, plain};
use crate::admin::ConfigState;
use crate::pool::cost::CostView;
use crate::pool::{InstanceId, Snapshot, WaiterView};
use crate::telemetry::events::Event;

/// The gate and its pools at one moment.
pub struct Scene {
    pub now: SystemTime,
    pub snapshot: Arc<Snapshot>,
    pub waiters: Vec<WaiterView>,
    /// The oldest first.
    pub events: Arc<[Event]>,
    pub history: Arc<History>,
    pub zones: Arc<BTreeMap<String, TimeZone>>,
    /// Kernels that compute, where a hub and its servers were asked.
    pub kernels: Arc<BTreeMap<InstanceId, u32>>,
    pub costs: Arc<[CostView]>,
    pub gate: GateView,
}

/// The gate itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateView {
    pub version: &'static str,
    pub started: Option<SystemTime>,
    /// Why it is not ready for people.
    pub trouble: Option<String>,
    pub audit_lines_lost: u64,
    pub is_audit_failing: bool,
    /// `None` where nothing is known of it.
    pub config: Option<Arc<ConfigState>>,
}

/// Who looks at a page, and what they may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewer {
    pub name: String,
    pub role: &'static str,
    /// Whether orders are taken from them.
    pub may_act: bool,
    /// Of every form; `None` for whoever has no session of a browser.
    pub csrf: Option<String>,
}

impl Scene {
    /// The clock of a pool's people.
    pub fn clock(&self, pool: &str) -> Clock {
        Clock {
            now: self.now,
            zone: self.zones.get(pool).cloned().unwrap_or(TimeZone::UTC),
        }
    }

    /// Where several pools share a page: that of the pool people go to who name none.
    pub fn house_clock(&self) -> Clock {
        let pools = &self.snapshot.pools;
        let first = pools.iter().find(|pool| pool.default).or(pools.first());
        self.clock(first.map_or("", |pool| &*pool.name))
    }

    pub fn has_pools(&self) -> bool {
        self.snapshot.pools.len() > 1
    }

    pub fn pool_names(&self) -> Vec<String> {
        let pools = self.snapshot.pools.iter();
        pools.map(|pool| plain(&pool.name)).collect()
    }
}
