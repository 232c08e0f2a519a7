//! Hands each listing of a fleet to the pool, as far as it can be believed.
//!
//! A cloud that forgets machines people are on must not make the pool forget them: what answers exists, until it is known to
//! have been removed. A list that an operator wrote is believed at once.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::pool::{Health, Instance, InstanceId};
use crate::scaling::listing::{Absences, Missing};
use crate::shared_pool::SharedPool;

/// How long until an instance that the listing lacks is looked at again.
const AGAIN: Duration = Duration::from_secs(5);

pub(super) struct Listings {
    pub pool: SharedPool,
    pub name: String,
    pub absent: Absent,
}

/// What is thought of an instance that a listing lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// A cloud may forget machines.
    MayExist,
    /// An operator took it out of a list: it goes, but not under its people.
    MayBeUsed,
    IsGone,
}

impl Listings {
    /// What is believed, told after the pool knows it: whoever probes an instance finds it there.
    pub fn follow(
        self,
        listing: watch::Receiver<Vec<Instance>>,
        tasks: &TaskTracker,
    ) -> watch::Receiver<Vec<Instance>> {
        let (believed, receiver) = watch::channel(Vec::new());
        tasks.spawn(self.pass_on(listing, believed));
        receiver
    }

    async fn pass_on(
        self,
        mut listing: watch::Receiver<Vec<Instance>>,
        believed: watch::Sender<Vec<Instance>>,
    ) {
        let mut is_first = true;
        let mut absences = Absences::default();
        let mut told = None;
        let mut is_doubtful = false;
        loop {
            tokio::select! {
                changed = listing.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(AGAIN), if is_doubtful => {}
            }
            let mut instances = listing.borrow_and_update().clone();
            let kept = match self.absent {
                Absent::MayExist => self.kept(&instances, &mut absences, &mut told),
                Absent::MayBeUsed => self.pool.keep_used(&self.name, &instances),
                Absent::IsGone => Vec::new(),
            };
            is_doubtful = !kept.is_empty();
            instances.extend(kept);
            self.pool.sync_instances(&self.name, instances.clone());
            believed.send_if_modified(|before| {
                let is_new = is_first || *before != instances;
                *before = instances;
                is_new
            });
            is_first = false;
        }
    }

    /// Empties a pool that is no longer wanted and forgets it once nobody is there, unless `until` comes first.
    pub async fn empty(self, until: CancellationToken) {
        loop {
            let used = self.pool.keep_used(&self.name, &[]);
            self.pool.sync_instances(&self.name, used.clone());
            if used.is_empty() {
                return self.pool.forget_pool(&self.name);
            }
            let again = tokio::time::sleep(AGAIN);
            if until.run_until_cancelled(again).await.is_none() {
                return;
            }
        }
    }

    /// Instances that exist in spite of the listing.
    fn kept(
        &self,
        listed: &[Instance],
        absences: &mut Absences,
        told: &mut Option<String>,
    ) -> Vec<Instance> {
        let snapshot = self.pool.snapshot();
        let is_listed = |id: &InstanceId| listed.iter().any(|one| one.id == *id);
        let lacks = snapshot.instances_of(&self.name).map(|view| Missing {
            id: InstanceId {
                pool: view.pool.clone(),
                name: view.name.clone(),
            },
            is_expected: view.is_sealed,
            answers: view.health == Health::Up,
        });
        let lacks: Vec<_> = lacks.filter(|one| !is_listed(&one.id)).collect();
        let verdict = absences.judge(&lacks);
        if *told != verdict.contradiction {
            match &verdict.contradiction {
                Some(what) => tracing::warn!(
                    pool = self.name,
                    reason = what,
                    "the listing is not believed"
                ),
                None => tracing::info!(pool = self.name, "the listing is believed again"),
            }
            told.clone_from(&verdict.contradiction);
        }
        let kept = verdict.kept.iter().filter_map(|id| self.pool.instance(id));
        kept.map(|instance| (*instance).clone()).collect()
    }
}
