//! Whose names have logged in before, for whom a password may wake a pool that sleeps.
//!
//! A password proves nothing before an instance has seen it, and at night there is none. So that not anybody can keep
//! machines running by asking, only names that were proved of late count, and one whose wake led to no login rests for an
//! hour. Deliberately absent: who waits (`queue`) and where people belong (`affinity`).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::rfc3339;

/// Names known of one pool; some 15 MB. The longest unseen tenth goes when there are more.
pub const KNOWN_MAX: usize = 100_000;
/// After the first try that wakes, how long further ones still do: several windows, and a client that tries again.
const TRIES_TIME: Duration = Duration::from_secs(20 * 60);
/// How long after its first try a name that proved nothing wakes nobody.
const REST: Duration = Duration::from_secs(3600);
/// A name seen again within this time is not noted anew.
const NOTED_EVERY: Duration = Duration::from_secs(3600);

#[derive(Clone, Debug, Default)]
pub struct Known {
    pools: BTreeMap<Arc<str>, HashMap<Arc<str>, Entry>>,
    /// Changes with everything that outlives the process.
    version: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    proved: SystemTime,
    /// The first wake for this name since then.
    tried: Option<SystemTime>,
}

/// One name in one pool, as it outlives the process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Acquaintance {
    pub pool: Arc<str>,
    pub user: Arc<str>,
    /// When they last proved it; an hour may be missing.
    #[serde(with = "rfc3339")]
    pub proved: SystemTime,
}

impl Known {
    /// This name was proved just now.
    pub fn meet(&mut self, pool: &Arc<str>, user: &str, now: SystemTime) {
        let people = self.pools.entry(pool.clone()).or_default();
        if let Some(entry) = people.get_mut(user) {
            entry.tried = None;
            if since(entry.proved, now) < NOTED_EVERY {
                return;
            }
            entry.proved = now;
        } else {
            if people.len() >= KNOWN_MAX {
                forget_a_tenth(people);
            }
            let entry = Entry {
                proved: now,
                tried: None,
            };
            people.insert(user.into(), entry);
        }
        self.version = self.version.wrapping_add(1);
    }

    /// Whether somebody who only claims this name may wake the pool, which is noted as a try. `within` is how long ago the
    /// name may have been proved.
    pub fn may_wake(&mut self, pool: &str, user: &str, within: Duration, now: SystemTime) -> bool {
        let people = self.pools.get_mut(pool);
        let Some(entry) = people.and_then(|people| people.get_mut(user)) else {
            return false;
        };
        if since(entry.proved, now) > within {
            return false;
        }
        match entry.tried {
            Some(at) if since(at, now) < TRIES_TIME => true,
            Some(at) if since(at, now) < REST => false,
            _ => {
                entry.tried = Some(now);
                true
            }
        }
    }

    /// Changes whenever `told` may.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Everybody, in no order.
    pub fn told(&self) -> Vec<Acquaintance> {
        let pools = self.pools.iter();
        let told = pools.flat_map(|(pool, people)| {
            people.iter().map(|(user, entry)| Acquaintance {
                pool: pool.clone(),
                user: user.clone(),
                proved: entry.proved,
            })
        });
        told.collect()
    }

    /// What a gate of before told. Whoever has come meanwhile is known better.
    pub fn take_back(&mut self, told: Vec<Acquaintance>) {
        for one in told {
            let people = self.pools.entry(one.pool).or_default();
            if people.len() < KNOWN_MAX {
                people.entry(one.user).or_insert(Entry {
                    proved: one.proved,
                    tried: None,
                });
            }
        }
    }
}

/// A clock that was set back makes nothing older.
fn since(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

fn forget_a_tenth(people: &mut HashMap<Arc<str>, Entry>) {
    let mut times: Vec<SystemTime> = people.values().map(|entry| entry.proved).collect();
    let middle = times.len() / 10;
    if middle < times.len() {
        let (_, limit, _) = times.select_nth_unstable(middle);
        let limit = *limit;
        people.retain(|_, entry| entry.proved > limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: Duration = Duration::from_secs(24 * 3600);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + seconds)
    }

    fn known() -> (Known, Arc<str>) {
        let (mut known, pool) = (Known::default(), Arc::from("main"));
        known.meet(&pool, "alice", at(0));
        (known, pool)
    }

    #[test]
    fn a_name_that_was_proved_wakes_for_as_long_as_it_is_remembered() {
        let (mut known, _) = known();
        assert!(!known.may_wake("main", "mallory", DAYS, at(1)));
        assert!(!known.may_wake("gpu", "alice", DAYS, at(1)));
        assert!(!known.may_wake("main", "alice", DAYS, at(24 * 3600 + 1)));
        assert!(known.may_wake("main", "alice", DAYS, at(24 * 3600)));
    }

    #[test]
    fn a_wake_without_a_login_makes_the_name_rest() {
        let (mut known, pool) = known();
        for (seconds, may) in [
            (10, true),
            (1200, true),
            (1211, false),
            (3609, false),
            (3611, true),
        ] {
            assert_eq!(
                known.may_wake("main", "alice", DAYS, at(seconds)),
                may,
                "{seconds}"
            );
        }
        // Their login ends the rest.
        assert!(!known.may_wake("main", "alice", DAYS, at(3611 + 1300)));
        known.meet(&pool, "alice", at(3611 + 1301));
        assert!(known.may_wake("main", "alice", DAYS, at(3611 + 1302)));
    }

    #[test]
    fn what_is_known_comes_back_and_new_logins_are_noted_once_an_hour() {
        let (mut known, pool) = known();
        let version = known.version();
        known.meet(&pool, "alice", at(3599));
        assert_eq!(known.version(), version);
        known.meet(&pool, "alice", at(3600));
        assert_ne!(known.version(), version);

        let mut next = Known::default();
        next.meet(&pool, "alice", at(9000));
        let mut told = known.told();
        told.push(Acquaintance {
            pool: pool.clone(),
            user: "bob".into(),
            proved: at(5),
        });
        next.take_back(told);
        let mut all = next.told();
        all.sort_unstable();
        let times: Vec<_> = all.iter().map(|one| (&*one.user, one.proved)).collect();
        assert_eq!(times, [("alice", at(9000)), ("bob", at(5))]);
    }

    #[test]
    fn too_many_names_push_out_those_unseen_for_longest() {
        let (mut known, pool) = (Known::default(), Arc::from("main"));
        for number in 0..=KNOWN_MAX {
            known.meet(&pool, &number.to_string(), at(number as u64));
        }
        let now = at(KNOWN_MAX as u64 + 1);
        let within = DAYS * 10;
        assert!(known.told().len() <= KNOWN_MAX * 9 / 10 + 1);
        assert!(!known.may_wake("main", "0", within, now));
        assert!(known.may_wake("main", &KNOWN_MAX.to_string(), within, now));
    }
}
