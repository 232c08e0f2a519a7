//! Notes the history of each pool while the gate runs, and writes it down so that a restart does not empty the charts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

use super::Dashboard;
use super::history::{History, Look};
use super::states;
use crate::pool::snapshot::PoolView;
use crate::pool::{Snapshot, WaiterView};
use crate::state::StateFile;

const FILE_NAME: &str = "history.json";
/// People who wait shorter than this are not seen to wait.
const LOOKED_EVERY: Duration = Duration::from_secs(1);
/// All machines are counted so many looks apart.
const COUNTED_EVERY: u32 = 5;
/// Charts are drawn from a copy, which is made so many looks apart.
const COPIED_EVERY: u32 = 15;

/// What a crash may lose of it.
const WRITTEN_EVERY: u32 = 300;

/// Until the gate ends.
pub(in crate::admin) async fn record(dashboard: Arc<Dashboard>) {
    let folder = dashboard.state.folder.as_ref();
    let file = folder.map(|folder| StateFile::open(folder, FILE_NAME, "the charts begin anew"));
    let (mut file, mut history): (_, History) = match file {
        Some((file, history)) => (Some(file), history),
        None => (None, History::default()),
    };
    history.settle(SystemTime::now());
    let mut line = Line::default();
    let mut ticks = tokio::time::interval(LOOKED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks: u32 = 0;
    loop {
        let tick = dashboard.ending.run_until_cancelled(ticks.tick()).await;
        let is_over = tick.is_none();
        if (is_over || looks.is_multiple_of(WRITTEN_EVERY))
            && looks > 0
            && let Some(file) = &mut file
        {
            file.write(&history).await;
        }
        if is_over {
            return;
        }
        let now = SystemTime::now();
        line.look(dashboard.state.pool.lines().views(), now);
        if looks.is_multiple_of(COUNTED_EVERY) {
            let snapshot = dashboard.state.pool.snapshot();
            note(&mut history, &mut line, &snapshot, now);
        }
        if looks.is_multiple_of(COPIED_EVERY) {
            dashboard.gathered.set_history(&history);
        }
        looks = looks.wrapping_add(1);
    }
}

fn note(history: &mut History, line: &mut Line, snapshot: &Snapshot, now: SystemTime) {
    for pool in &snapshot.pools {
        let states = states::count(pool, snapshot.instances_of(&pool.name));
        let look = Look {
            sessions: pool.sessions,
            waiting: line.most.remove(&*pool.name).unwrap_or(0),
            capacity: pool.capacity,
            billed: billed(pool),
            machines_max: pool.intent.as_ref().map(|intent| intent.machines_max),
            states,
            waits: line.waits.remove(&*pool.name).unwrap_or_default(),
        };
        history.note(&pool.name, look, now);
    }
    // Of pools that are gone.
    line.most.clear();
    line.waits.clear();
}

/// By what the cloud says; a list of machines has all of them on.
fn billed(pool: &PoolView) -> u32 {
    let Some(intent) = &pool.intent else {
        return pool.instances;
    };
    let machines = intent.machines.iter();
    let machines = machines.filter(|(phase, _)| phase.is_billed());
    machines
        .map(|(_, count)| *count)
        .fold(0, u32::saturating_add)
}

/// The people who wait, from look to look.
#[derive(Default)]
struct Line {
    there: BTreeMap<Ticket, SystemTime>,
    /// By pool, since they were last noted: the most people at once, and waits that ended.
    most: BTreeMap<String, u32>,
    waits: BTreeMap<String, Vec<Duration>>,
}

/// Whoever came later by the same address and name is somebody else.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    pool: Arc<str>,
    user: Option<Arc<str>>,
    source: IpAddr,
    since: SystemTime,
}

impl Line {
    fn look(&mut self, waiters: Vec<WaiterView>, now: SystemTime) {
        if waiters.is_empty() && self.there.is_empty() {
            return;
        }
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let mut there = BTreeMap::new();
        for waiter in waiters {
            if waiter.is_there {
                *counts.entry(waiter.pool.to_string()).or_default() += 1;
            }
            let ticket = Ticket {
                pool: waiter.pool,
                user: waiter.user,
                source: waiter.source,
                since: waiter.since,
            };
            there.insert(ticket, now);
        }
        for (pool, count) in counts {
            let most = self.most.entry(pool).or_default();
            *most = count.max(*most);
        }
        let before = std::mem::replace(&mut self.there, there);
        for ticket in before.into_keys() {
            if !self.there.contains_key(&ticket) {
                let wait = now.duration_since(ticket.since).unwrap_or_default();
                let waits = self.waits.entry(ticket.pool.to_string());
                waits.or_default().push(wait);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_somebody_is_no_longer_there() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let waiter = |user: &str| WaiterView {
            pool: "main".into(),
            place: 1,
            user: Some(user.into()),
            by: Vec::new(),
            source: "192.0.2.7".parse().unwrap(),
            since: start,
            is_there: true,
        };
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut line = Line::default();
        line.look(vec![waiter("alice"), waiter("bob")], after(1));
        line.look(vec![waiter("bob")], after(7));
        assert_eq!(line.waits["main"], [Duration::from_secs(7)]);
        line.look(Vec::new(), after(9));
        assert_eq!(line.waits["main"].len(), 2);
        assert_eq!(line.most["main"], 2);
        assert!(line.there.is_empty());
    }
}
