//! Gathers a scene: what was published, and what is kept between two scenes because it is long and seldom changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::Dashboard;
use super::history::History;
use super::scene::{GateView, Scene};
use crate::pool::cost::CostView;
use crate::telemetry::events::{Event, Events};

/// The controllers answer at once, or not at all.
const COSTS_WAIT: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Gathered {
    events: Mutex<(u64, Arc<[Event]>)>,
    history: Mutex<Arc<History>>,
    costs: Mutex<Arc<[CostView]>>,
}

impl Gathered {
    fn events(&self, events: &Events) -> Arc<[Event]> {
        let newest = *events.newest().borrow();
        let mut kept = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != newest {
            *kept = (newest, events.after(0).into());
        }
        kept.1.clone()
    }

    pub fn history(&self) -> Arc<History> {
        let history = self.history.lock();
        history.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_history(&self, history: &History) {
        let history = Arc::new(history.clone());
        *self.history.lock().unwrap_or_else(PoisonError::into_inner) = history;
    }
}

impl Dashboard {
    pub fn scene(&self) -> Scene {
        let state = &self.state;
        let snapshot = state.pool.snapshot();
        let costs = self.gathered.costs.lock();
        let costs = costs.unwrap_or_else(PoisonError::into_inner).clone();
        Scene {
            now: SystemTime::now(),
            waiters: state.pool.lines().views(),
            events: self.gathered.events(&state.events),
            history: self.gathered.history(),
            zones: state.zones.get(),
            kernels: self.kernels.known(),
            costs,
            gate: GateView {
                version: env!("CARGO_PKG_VERSION"),
                started: Some(self.started),
                trouble: state.readiness.judge(&snapshot).reason,
                audit_lines_lost: state.audit.lost(),
                is_audit_failing: state.audit.is_failing(),
                config: Some(Arc::new(state.config_state())),
            },
            snapshot,
        }
    }

    /// Asks the ledgers, for the scenes from here on.
    pub async fn ask_costs(&self) {
        let asked = tokio::time::timeout(COSTS_WAIT, (self.state.ask_cost)()).await;
        if let Ok(costs) = asked {
            *self
                .gathered
                .costs
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = costs.into();
        }
    }
}
