//! Who is logged in by browser: a bounded table here, and a cookie of random bytes there that says nothing by itself.
//!
//! Kept in memory only: a gate that starts anew asks everybody to log in again. A token's session goes with its token, which
//! is looked up each time. Of somebody a provider vouched for the role is remembered: nobody tells when it changes there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::oidc::Person;
use super::tokens::{Hash, hash};

/// A working day, and a long lunch.
pub const LIFE: Duration = Duration::from_secs(8 * 3600);
const IDLE: Duration = Duration::from_secs(3600);
/// Operators are few; beyond it the one that was silent longest logs in again.
const SESSIONS_MAX: usize = 1000;
/// What is random in a cookie, and in what forms carry.
const RANDOM_BYTES: usize = 32;

/// Whose a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Of whoever holds the token of this hash, with the role its line has now.
    Token(Hash),
    /// Of somebody a provider vouched for, with the role they had then.
    Person(Arc<Person>),
}

#[derive(Clone)]
pub struct Found {
    pub whose: Whose,
    /// What a form must carry to be believed.
    pub csrf: Arc<str>,
}

#[derive(Default)]
pub struct Sessions {
    /// By the hash of what the cookie holds, so that a search takes as long for any guess.
    kept: Mutex<HashMap<Hash, Session>>,
}

struct Session {
    found: Found,
    began: Instant,
    seen: Instant,
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= LIFE
            || now.saturating_duration_since(self.seen) >= IDLE
    }
}

impl Sessions {
    /// What the cookie is to hold; `None` where the system has no randomness.
    pub fn begin(&self, whose: Whose, now: Instant) -> Option<String> {
        let (cookie, csrf) = (random()?, random()?.into());
        let mut kept = self.kept();
        if kept.len() >= SESSIONS_MAX {
            kept.retain(|_, session| !session.is_over(now));
        }
        if kept.len() >= SESSIONS_MAX {
            let quietest = kept.iter().min_by_key(|(_, session)| session.seen);
            if let Some(key) = quietest.map(|(key, _)| *key) {
                kept.remove(&key);
            }
        }
        let session = Session {
            found: Found { whose, csrf },
            began: now,
            seen: now,
        };
        kept.insert(hash(&cookie), session);
        Some(cookie)
    }

    /// The session of a cookie, which is seen by this.
    pub fn find(&self, cookie: &str, now: Instant) -> Option<Found> {
        let key = hash(cookie);
        let mut kept = self.kept();
        if kept.get(&key)?.is_over(now) {
            kept.remove(&key);
            return None;
        }
        let session = kept.get_mut(&key)?;
        session.seen = now;
        Some(session.found.clone())
    }

    /// Whose it was, if there was one.
    pub fn end(&self, cookie: &str) -> Option<Whose> {
        let ended = self.kept().remove(&hash(cookie));
        ended.map(|session| session.found.whose)
    }

    /// Those of people whom a provider vouched for end: they log in again.
    pub fn end_vouched(&self) {
        let is_of_token = |session: &Session| matches!(session.found.whose, Whose::Token(_));
        self.kept().retain(|_, session| is_of_token(session));
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text of 256 random bits.
pub fn random() -> Option<String> {
    let mut bytes = [0; RANDOM_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether it has the looks of one of these.
pub fn is_random(text: &str) -> bool {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text);
    bytes.is_ok_and(|bytes| bytes.len() == RANDOM_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u8) -> Whose {
        Whose::Token([number; 32])
    }

    #[test]
    fn a_session_ends_by_its_age_by_silence_and_by_wish() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let cookie = sessions.begin(token(1), start).unwrap();
        assert_eq!(cookie.len(), 43);
        let found = sessions.find(&cookie, start).unwrap();
        assert_eq!((found.whose, found.csrf.len()), (token(1), 43));
        assert_ne!(&*found.csrf, cookie);
        assert!(sessions.find("", start).is_none());
        assert!(sessions.find(&found.csrf, start).is_none());
        // Busy all day, and over all the same after eight hours.
        for minutes in (50..480).step_by(50) {
            let now = start + Duration::from_secs(60) * minutes;
            assert!(sessions.find(&cookie, now).is_some(), "{minutes}");
        }
        assert!(sessions.find(&cookie, start + LIFE).is_none());
        let idle = sessions.begin(token(2), start).unwrap();
        assert!(sessions.find(&idle, start + IDLE).is_none());
        let ended = sessions.begin(token(3), start).unwrap();
        sessions.end(&ended);
        assert!(sessions.find(&ended, start).is_none());
        assert!(sessions.kept().is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_the_quietest_goes() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let later = |number: u64| start + Duration::from_millis(number);
        let begin = |number: u64| sessions.begin(token(0), later(number)).unwrap();
        let cookies: Vec<_> = (0..SESSIONS_MAX as u64).map(begin).collect();
        // The first is heard of again, so the second is the quietest.
        assert!(sessions.find(&cookies[0], later(5000)).is_some());
        sessions.begin(token(1), later(5001)).unwrap();
        assert_eq!(sessions.kept().len(), SESSIONS_MAX);
        assert!(sessions.find(&cookies[0], later(5002)).is_some());
        assert!(sessions.find(&cookies[1], later(5002)).is_none());
        // Those that are over make room for all.
        sessions.begin(token(2), start + LIFE * 2).unwrap();
        assert_eq!(sessions.kept().len(), 1);
    }
}
