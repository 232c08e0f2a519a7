//! What has changed of this gate's own sessions since the last report; still older gates tell of theirs themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::net::handover::{Held, Report};
use crate::pool::{SessionId, Snapshot};

#[derive(Default)]
pub(super) struct Reports {
    told: BTreeMap<SessionId, Held>,
    /// The other gate has given these seats, and has not been told what became of them.
    given: BTreeSet<SessionId>,
}

impl Reports {
    /// The other gate has seated this session: it is told of its end, however short it was.
    pub fn expect(&mut self, given: SessionId) {
        self.given.insert(given);
    }

    /// `None` if nothing has. `is_held`: whether a session has begun that the snapshot may not show yet.
    pub fn next(
        &mut self,
        snapshot: &Snapshot,
        is_held: impl Fn(SessionId) -> bool,
    ) -> Option<Report> {
        let instances = snapshot.instances.iter();
        let machines: BTreeMap<_, _> = instances
            .map(|one| ((&*one.pool, &*one.name), one.generation))
            .collect();
        let now: BTreeMap<SessionId, Held> = snapshot
            .sessions
            .iter()
            .filter(|session| !session.is_elsewhere)
            .filter_map(|session| {
                let machine = (&*session.pool, &*session.instance);
                let held = Held {
                    session: session.clone(),
                    generation: *machines.get(&machine)?,
                };
                Some((session.id, held))
            })
            .collect();
        let is_news = |held: &&Held| self.told.get(&held.session.id) != Some(*held);
        let sessions: Vec<Held> = now.values().filter(is_news).cloned().collect();
        let gone = self.told.keys().filter(|id| !now.contains_key(id));
        let mut ended: Vec<SessionId> = gone.copied().collect();
        self.given.retain(|id| match now.contains_key(id) {
            true => false,
            false if is_held(*id) => true,
            false => {
                ended.push(*id);
                false
            }
        });
        if sessions.is_empty() && ended.is_empty() {
            return None;
        }
        self.told = now;
        Some(Report { sessions, ended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::PlacementPolicy;
    use crate::pool::{Health, Instance, InstanceId, LoginRequest, Now, Pool, PoolRules, Protocol};
    use std::time::{Duration, Instant, SystemTime};

    fn pool() -> Pool {
        let mut pool = Pool::new(1);
        let rules = PoolRules {
            default: true,
            placement: PlacementPolicy::Auto,
            affinity: Duration::from_secs(60),
            rise: 1,
            fall: 1,
        };
        pool.configure("main", rules);
        let id = InstanceId {
            pool: "main".into(),
            name: "vm1".into(),
        };
        let instance = Instance {
            id: id.clone(),
            address: "192.0.2.1".into(),
            ssh_port: 22,
            jupyter_port: None,
            capacity: 5,
            generation: 3,
        };
        pool.sync_instances("main", vec![instance], now());
        pool.observe(&id, Protocol::Ssh, Health::Up, now());
        pool
    }

    fn now() -> Now {
        Now {
            instant: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    #[test]
    fn what_has_changed_is_told_once() {
        let (mut pool, mut reports) = (pool(), Reports::default());
        let request = LoginRequest {
            pool: None,
            instance: None,
            user: Some("alice".into()),
            proved: true,
            protocol: Protocol::Ssh,
            peer: [192, 0, 2, 7].into(),
            exclude: Vec::new(),
            patient: false,
        };
        let id = pool.place(&request, now()).unwrap().session;
        let first = reports.next(&pool.snapshot(), |_| false).unwrap();
        assert_eq!((first.sessions.len(), first.sessions[0].generation), (1, 3));
        assert_eq!(reports.next(&pool.snapshot(), |_| false), None);
        let mut view = first.sessions[0].session.clone();
        view.id = SessionId(1);
        assert!(pool.seat_elsewhere(&view, 3, now()), "an older gate's own");
        assert_eq!(reports.next(&pool.snapshot(), |_| false), None);
        pool.set_live(id);
        let changed = reports.next(&pool.snapshot(), |_| false).unwrap();
        assert_eq!(changed.sessions.len(), 1);
        pool.end_session(id, now());
        let ended = reports.next(&pool.snapshot(), |_| false).unwrap();
        assert_eq!((ended.sessions.len(), ended.ended), (0, vec![id]));
    }

    #[test]
    fn a_seat_that_was_given_is_told_to_be_free_however_short_it_was_taken() {
        let (pool, mut reports) = (pool(), Reports::default());
        let (given, empty) = (SessionId(7), pool.snapshot());
        reports.expect(given);
        assert_eq!(reports.next(&empty, |id| id == given), None, "it begins");
        let ended = reports.next(&empty, |_| false).unwrap();
        assert_eq!((ended.sessions.len(), ended.ended), (0, vec![given]));
        assert_eq!(reports.next(&empty, |_| false), None, "told once");
    }
}
