//! What somebody who waits may hope for: how far the pool's instances are, read from a snapshot, and how long it took the
//! last times.

use std::time::{Duration, Instant};

use super::instance::{AdminState, Health, Protocol};
use super::snapshot::{InstanceView, Snapshot};

/// Longer than this is an outage, of which the next wake tells nothing.
const WAKE_MAX: Duration = Duration::from_secs(30 * 60);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Some instance takes people, whether or not it has room.
    pub is_open: bool,
    /// Seats that are free for those who come this way.
    pub free: usize,
    /// A machine runs, and its hub does not answer yet.
    pub is_hub_starting: bool,
    /// The next probe may open an instance.
    pub is_likely: bool,
}

impl Outlook {
    /// For those who come by this protocol.
    pub fn of(snapshot: &Snapshot, pool: &str, by: Protocol) -> Self {
        let mut outlook = Self::default();
        let is_ready = |view: &&InstanceView| view.admin_state == AdminState::Ready;
        for view in snapshot.instances_of(pool).filter(is_ready) {
            let service = match by {
                Protocol::Ssh => Some(view.services.ssh),
                Protocol::Jupyter => view.services.jupyter,
            };
            // Whose sshd answers runs, whatever its hub does.
            let has_booted = by == Protocol::Jupyter && view.services.ssh == Health::Up;
            match service {
                Some(Health::Up) => {
                    outlook.is_open = true;
                    let free = view.capacity.saturating_sub(view.sessions);
                    let free = usize::try_from(free).unwrap_or(usize::MAX);
                    outlook.free = outlook.free.saturating_add(free);
                }
                Some(Health::NoLogins) => {
                    outlook.is_hub_starting |= by == Protocol::Jupyter;
                    outlook.is_likely = true;
                }
                Some(Health::Unknown) => {
                    outlook.is_hub_starting |= has_booted;
                    outlook.is_likely = true;
                }
                Some(Health::Down) => outlook.is_hub_starting |= has_booted,
                None => {}
            }
        }
        outlook
    }
}

/// How long it takes from the first person who finds no instance open until one is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wake {
    since: Option<Instant>,
    usual: Option<Duration>,
}

impl Wake {
    /// What is seen at `now`.
    pub fn note(&mut self, is_open: bool, now: Instant) {
        match (self.since, is_open) {
            (None, false) => self.since = Some(now),
            (Some(since), true) => {
                self.since = None;
                let took = now.saturating_duration_since(since);
                if took <= WAKE_MAX {
                    // The newest counts half: machines and images change.
                    self.usual = Some(self.usual.map_or(took, |usual| (usual + took) / 2));
                }
            }
            (None, true) | (Some(_), false) => {}
        }
    }

    /// Seconds left if it goes as usual: 0 when it takes longer, `None` where nothing is known.
    pub fn left_s(&self, now: Instant) -> Option<u64> {
        let (since, usual) = (self.since?, self.usual?);
        let left = usual.saturating_sub(now.saturating_duration_since(since));
        Some(left.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{InstanceId, Now, PlacementPolicy, Pool, PoolRules};
    use std::time::SystemTime;

    fn outlook(state: impl FnOnce(&mut Pool, &dyn Fn(&str) -> InstanceId, Now)) -> Outlook {
        let now = Now {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        let mut pool = Pool::new(1);
        let rules = PoolRules {
            default: true,
            placement: PlacementPolicy::Spread,
            affinity: Duration::ZERO,
            rise: 1,
            fall: 1,
        };
        pool.configure("main", rules);
        let id = |name: &str| InstanceId {
            pool: "main".into(),
            name: name.into(),
        };
        let instance = |name: &str| crate::pool::Instance {
            id: id(name),
            address: "a".into(),
            ssh_port: 22,
            jupyter_port: Some(8000),
            capacity: 3,
            generation: 1,
        };
        pool.sync_instances("main", vec![instance("a"), instance("b")], now);
        state(&mut pool, &id, now);
        Outlook::of(&pool.snapshot(), "main", Protocol::Jupyter)
    }

    #[test]
    fn the_stages_of_an_instance_are_told_apart() {
        let new = outlook(|_, _, _| {});
        assert!(new.is_likely && !new.is_hub_starting && !new.is_open);
        let booted = outlook(|pool, id, now| {
            pool.observe(&id("a"), Protocol::Ssh, Health::Up, now);
            pool.observe(&id("a"), Protocol::Jupyter, Health::NoLogins, now);
        });
        assert!(booted.is_hub_starting && booted.is_likely);
        let open = outlook(|pool, id, now| {
            pool.observe(&id("a"), Protocol::Jupyter, Health::Up, now);
        });
        assert!(open.is_open && open.free == 3);
        let cordoned = outlook(|pool, id, now| {
            pool.observe(&id("a"), Protocol::Jupyter, Health::Up, now);
            let cordoned = crate::pool::Decision::by_admin(AdminState::Cordoned, "a test");
            pool.decide(&id("a"), cordoned);
        });
        assert!(!cordoned.is_open && cordoned.free == 0);
    }

    #[test]
    fn what_is_expected_is_learned_from_past_wakes() {
        let start = Instant::now();
        let after = |s| start + Duration::from_secs(s);
        let mut wake = Wake::default();
        wake.note(false, start);
        assert_eq!(wake.left_s(after(5)), None, "nothing is known");
        wake.note(true, after(60));
        wake.note(false, after(100));
        assert_eq!(wake.left_s(after(120)), Some(40));
        assert_eq!(wake.left_s(after(300)), Some(0), "longer than usual");
        wake.note(true, after(120));
        wake.note(true, after(121));
        wake.note(false, after(200));
        assert_eq!(wake.left_s(after(200)), Some(40), "half of both");
        wake.note(true, after(200 + 3 * 3600));
        wake.note(false, after(20_000));
        assert_eq!(wake.left_s(after(20_000)), Some(40), "an outage is no wake");
    }
}
