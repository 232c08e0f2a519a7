//! How many kernels compute on each machine: hubs and servers are asked, now and then, while somebody looks.
//!
//! A machine whose hub knows nobody is not asked. What is not known is not shown as none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::Dashboard;
use crate::pool::idle::{Busy, Idle};
use crate::pool::{InstanceId, Snapshot};

/// All machines are gone through so often, at most.
const ASKED_EVERY: Duration = Duration::from_secs(30);
/// Machines asked at once: each hub asks its people's servers.
const ASKED_MAX: usize = 4;
/// One that hangs is left out this time.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Kernels that compute on one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KernelsView {
    pub pool: Arc<str>,
    pub instance: Arc<str>,
    pub kernels: u32,
}

/// How many kernels compute on each machine, as found in the last half minute.
#[utoipa::path(get, path = "/api/v1/kernels", tag = "looks", operation_id = "kernels", responses((status = 200, body = [KernelsView])))]
pub(super) async fn show(State(dashboard): State<Arc<Dashboard>>) -> Json<Vec<KernelsView>> {
    refresh(&dashboard);
    let known = dashboard.kernels.known();
    let views = known.iter().map(|(id, kernels)| KernelsView {
        pool: id.pool.clone(),
        instance: id.name.clone(),
        kernels: *kernels,
    });
    Json(views.collect())
}

#[derive(Default)]
pub(super) struct Kernels {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    counts: Arc<BTreeMap<InstanceId, u32>>,
    asked: Option<Instant>,
    is_asking: bool,
}

impl Kernels {
    pub fn known(&self) -> Arc<BTreeMap<InstanceId, u32>> {
        let known = self.known.lock();
        known.unwrap_or_else(PoisonError::into_inner).counts.clone()
    }

    fn is_due(&self) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = known.asked.is_some_and(|at| at.elapsed() < ASKED_EVERY);
        if known.is_asking || is_fresh {
            return false;
        }
        known.is_asking = true;
        true
    }

    fn learn(&self, counts: BTreeMap<InstanceId, u32>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Known {
            counts: Arc::new(counts),
            asked: Some(Instant::now()),
            is_asking: false,
        };
    }
}

/// Asks beside whatever else goes on, if it is time to.
pub(super) fn refresh(dashboard: &Arc<Dashboard>) {
    if !dashboard.kernels.is_due() {
        return;
    }
    let dashboard = dashboard.clone();
    tokio::spawn(async move {
        let snapshot = dashboard.state.pool.snapshot();
        let counting = count(&dashboard, &snapshot);
        let counts = dashboard.ending.clone().run_until_cancelled_owned(counting);
        dashboard.kernels.learn(counts.await.unwrap_or_default());
    });
}

async fn count(dashboard: &Dashboard, snapshot: &Snapshot) -> BTreeMap<InstanceId, u32> {
    let asked = snapshot.instances.iter();
    let asked = asked.filter(|view| view.hub.is_some_and(|hub| hub.people > 0 && !hub.is_stale));
    let mut asked = asked.map(|view| InstanceId {
        pool: view.pool.clone(),
        name: view.name.clone(),
    });
    let mut counts = BTreeMap::new();
    let mut asking = JoinSet::new();
    loop {
        while asking.len() < ASKED_MAX
            && let Some(id) = asked.next()
        {
            let answer = (dashboard.state.ask_idle)(id.clone());
            asking.spawn(async move { (id, tokio::time::timeout(ANSWER_WAIT, answer).await) });
        }
        match asking.join_next().await {
            Some(Ok((id, Ok(Some(idle))))) => {
                counts.extend(kernels(&idle).map(|kernels| (id, kernels)));
            }
            Some(_) => {}
            None => return counts,
        }
    }
}

/// `None` where somebody's server did not say.
fn kernels(idle: &Idle) -> Option<u32> {
    let mut sum: u32 = 0;
    for reason in &idle.reasons {
        match reason {
            Busy::KernelBusy { kernels, .. } => sum = sum.saturating_add(*kernels),
            Busy::HubUnknown { .. } | Busy::ServerUnknown { .. } => return None,
            _ => {}
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_none() {
        let idle = |reasons| Idle {
            pool: "main".into(),
            instance: "vm1".into(),
            is_idle: false,
            idle_after_s: 900,
            reasons,
        };
        let busy = |kernels| Busy::KernelBusy {
            user: "alice".into(),
            kernels,
        };
        assert_eq!(kernels(&idle(vec![busy(1), busy(2)])), Some(3));
        assert_eq!(kernels(&idle(Vec::new())), Some(0));
        let why = "it did not answer in time".to_owned();
        let unknown = Busy::ServerUnknown {
            user: "bob".into(),
            why,
        };
        assert_eq!(kernels(&idle(vec![busy(1), unknown])), None);
    }
}
