//! What somebody who waits may hope for: how far the pool's instances are, read from a snapshot, and how long it took the
//! last times.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::instance::{AdminState, Health, Protocol};
use super::snapshot::{InstanceView, Snapshot};

/// Longer than this is an outage, of which the next wake tells nothing.
const WAKE_MAX: Duration = Duration::from_secs(30 * 60);
/// Characters of what stands in the way: a line that people read.
const TROUBLE_MAX: usize = 300;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Some instance takes people, whether or not it has room.
    pub is_open: bool,
    /// Seats that are free for those who come this way.
    pub free: usize,
    /// A machine runs, and its hub does not answer yet.
    pub is_hub_starting: bool,
    /// A machine is listed whose service does not answer, not yet or not any more.
    pub is_silent: bool,
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
            outlook.is_silent |= !matches!(service, None | Some(Health::Up));
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

/// How far the machine is that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WakeStage {
    /// There is none, and none was asked for yet.
    Asleep,
    /// There are some, all of them closed to new people, and none was asked for yet.
    Closed,
    /// It was asked for, or boots.
    Booting,
    /// It runs, and its services start.
    Starting,
}

/// What comes for those who wait in a pool that is resized.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub stage: WakeStage,
    /// Seconds until people are taken: 0 where it takes longer than expected, `None` where nothing is known.
    pub left_s: Option<u64>,
    /// Why none comes, or not soon; without control characters.
    pub trouble: Option<String>,
}

impl Progress {
    /// `None` where the pool is not resized: nothing is done for who waits there. `usual_s` is how long it took the last
    /// times, for want of anything better.
    pub fn of(
        snapshot: &Snapshot,
        pool: &str,
        (outlook, usual_s): (&Outlook, Option<u64>),
        now: SystemTime,
    ) -> Option<Self> {
        let view = snapshot.pool(pool)?;
        let prospect = view.prospect.as_ref()?;
        let stage = match prospect.coming {
            // A machine that fell silent long ago starts nothing.
            0 if outlook.is_likely => WakeStage::Starting,
            0 if view.instances == 0 => WakeStage::Asleep,
            0 => WakeStage::Closed,
            _ if outlook.is_silent => WakeStage::Starting,
            _ => WakeStage::Booting,
        };
        let left = prospect
            .ready_at
            .map(|at| at.duration_since(now).unwrap_or_default().as_secs());
        let trouble = prospect.trouble.as_ref().map(|trouble| {
            let clean = trouble.chars().filter(|c| !c.is_control());
            clean.take(TROUBLE_MAX).collect()
        });
        Some(Self {
            stage,
            left_s: left.or(usual_s),
            trouble,
        })
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
    use crate::pool::{InstanceId, Now, PlacementPolicy, Pool, PoolRules, Prospect};

    type Change<'a> = dyn FnOnce(&mut Pool, &dyn Fn(&str) -> InstanceId, Now) + 'a;

    fn outlook(state: impl FnOnce(&mut Pool, &dyn Fn(&str) -> InstanceId, Now)) -> Outlook {
        Outlook::of(&snapshot(Box::new(state)), "main", Protocol::Jupyter)
    }

    fn snapshot(state: Box<Change<'_>>) -> Snapshot {
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
        pool.snapshot()
    }

    /// Of somebody who comes by ssh, with 70 s as the usual time.
    fn progress(prospect: Option<Prospect>, state: Box<Change<'_>>) -> Option<Progress> {
        let snapshot = snapshot(Box::new(move |pool, id, now| {
            state(pool, id, now);
            pool.foretell("main", prospect);
        }));
        let outlook = Outlook::of(&snapshot, "main", Protocol::Ssh);
        Progress::of(
            &snapshot,
            "main",
            (&outlook, Some(70)),
            SystemTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn how_far_a_woken_machine_is_can_be_told() {
        let coming = |coming| Prospect {
            coming,
            ..Prospect::default()
        };
        let empty = || -> Box<Change<'_>> {
            Box::new(|pool, _, now| drop(pool.sync_instances("main", Vec::new(), now)))
        };
        let down = || -> Box<Change<'_>> {
            Box::new(|pool, id, now| {
                for name in ["a", "b"] {
                    pool.observe(&id(name), Protocol::Ssh, Health::Down, now);
                }
            })
        };
        assert_eq!(progress(None, empty()), None, "nobody resizes it");
        for (count, state, stage) in [
            (0, empty(), WakeStage::Asleep),
            (1, empty(), WakeStage::Booting),
            (
                1,
                Box::new(|_: &mut Pool, _: &dyn Fn(&str) -> InstanceId, _| ()),
                WakeStage::Starting,
            ),
            (
                0,
                Box::new(|_: &mut Pool, _: &dyn Fn(&str) -> InstanceId, _| ()),
                WakeStage::Starting,
            ),
            (1, down(), WakeStage::Starting),
            (0, down(), WakeStage::Closed),
        ] {
            let found = progress(Some(coming(count)), state).unwrap();
            assert_eq!((found.stage, found.left_s), (stage, Some(70)));
        }
        let far = Prospect {
            ready_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(95)),
            trouble: Some("boots\x1b[2J fail".into()),
            ..coming(1)
        };
        let found = progress(Some(far), empty()).unwrap();
        assert_eq!(found.left_s, Some(95));
        assert_eq!(found.trouble.as_deref(), Some("boots[2J fail"));
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
