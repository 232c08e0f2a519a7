//! Logins that have begun: people who are at the provider by now. Each is bound to the browser that began it, and taken once.
//!
//! Anybody can begin one, so each source has room for some, all together for more, and nobody's stands for long.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openidconnect::{Nonce, PkceCodeVerifier};

use super::super::tokens::{Hash, hash};
use crate::net::source::Source;

/// As long as a person may look for the second factor.
pub const LIFE: Duration = Duration::from_secs(600);
/// Beyond these the oldest has to begin anew.
const PER_SOURCE_MAX: usize = 50;
const MAX: usize = 1000;

/// What is to come back, and where the person wanted to go.
pub struct Pending {
    pub nonce: Nonce,
    pub verifier: PkceCodeVerifier,
    pub next: String,
    /// Sessions of this browser, which the new one takes the place of.
    pub replaces: Vec<String>,
}

#[derive(Default)]
pub struct Pendings(Mutex<HashMap<Hash, Kept>>);

struct Kept {
    pending: Pending,
    /// Of what the browser's cookie holds.
    browser: Hash,
    source: Source,
    began: Instant,
}

impl Pendings {
    pub fn put(&self, state: &str, browser: &str, source: Source, pending: Pending, now: Instant) {
        let mut kept = self.kept();
        kept.retain(|_, one| !one.is_over(now));
        let of_source = kept.values().filter(|one| one.source == source).count();
        if of_source >= PER_SOURCE_MAX {
            forget_oldest(&mut kept, |one| one.source == source);
        } else if kept.len() >= MAX {
            forget_oldest(&mut kept, |_| true);
        }
        let one = Kept {
            pending,
            browser: hash(browser),
            source,
            began: now,
        };
        kept.insert(hash(state), one);
    }

    /// What was begun with this state by one of these browsers; a second time there is nothing.
    pub fn take<'a>(
        &self,
        state: &str,
        mut browsers: impl Iterator<Item = &'a str>,
        now: Instant,
    ) -> Option<Pending> {
        let mut kept = self.kept();
        let key = hash(state);
        let one = kept.get(&key).filter(|one| !one.is_over(now))?;
        let is_theirs = browsers.any(|browser| hash(browser) == one.browser);
        let taken = kept.remove(&key).filter(|_| is_theirs);
        taken.map(|one| one.pending)
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Hash, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= LIFE
    }
}

fn forget_oldest(kept: &mut HashMap<Hash, Kept>, of: impl Fn(&Kept) -> bool) {
    let oldest = kept.iter().filter(|(_, one)| of(one));
    let oldest = oldest.min_by_key(|(_, one)| one.began);
    if let Some(key) = oldest.map(|(key, _)| *key) {
        kept.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(next: &str) -> Pending {
        Pending {
            nonce: Nonce::new("n".to_owned()),
            verifier: PkceCodeVerifier::new("v".to_owned()),
            next: next.to_owned(),
            replaces: Vec::new(),
        }
    }

    fn source(last: u8) -> Source {
        Source::of([192, 0, 2, last].into())
    }

    #[test]
    fn each_is_taken_once_by_its_own_browser_and_in_time() {
        let (pendings, now) = (Pendings::default(), Instant::now());
        let put = |state: &str| pendings.put(state, "mine", source(1), pending("/x"), now);
        let take = |state: &str, browser: &str, now| {
            let taken = pendings.take(state, [browser].into_iter(), now);
            taken.map(|pending| pending.next)
        };
        put("a");
        assert_eq!(take("b", "mine", now), None);
        assert_eq!(take("a", "mine", now).as_deref(), Some("/x"));
        assert_eq!(take("a", "mine", now), None, "it was replayed");
        put("c");
        assert_eq!(take("c", "another", now), None);
        assert_eq!(take("c", "mine", now), None, "it was shown elsewhere");
        put("d");
        assert_eq!(take("d", "mine", now + LIFE), None);
    }

    #[test]
    fn a_flood_of_one_source_disturbs_no_other_and_the_table_is_bounded() {
        let (pendings, start) = (Pendings::default(), Instant::now());
        let put = |at: usize, source| {
            let later = start + Duration::from_millis(at as u64);
            pendings.put(&format!("{at}"), "b", source, pending("/"), later);
        };
        put(0, source(1));
        (1..=PER_SOURCE_MAX * 2).for_each(|at| put(at, source(2)));
        assert_eq!(pendings.kept().len(), PER_SOURCE_MAX + 1);
        assert!(pendings.kept().contains_key(&hash("0")));
        (1000..3000).for_each(|at| put(at, source((at % 200) as u8)));
        assert_eq!(pendings.kept().len(), MAX);
    }
}
