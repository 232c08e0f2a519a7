//! Where notices stand for people who look at pages and see no terminal: until a deadline, or for a few minutes.
//!
//! Who has seen which is the reader's business. Bounded: a new notice takes the place of the oldest.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Audience;
use crate::pool::SessionId;

const NOTICES_MAX: usize = 16;
/// A notice without a deadline is for those who are there.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(600);

/// A notice that stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Of no other notice, also of an earlier run of the gate.
    pub id: u64,
    pub text: Arc<str>,
    pub deadline: Option<SystemTime>,
    audience: Audience,
    ends: Instant,
}

/// Who looks.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub session: Option<SessionId>,
    /// As proved.
    pub user: Option<&'a str>,
    pub instance: &'a str,
}

#[derive(Default)]
pub(super) struct Board {
    notices: Mutex<VecDeque<Standing>>,
    /// What every page asks first.
    is_used: AtomicBool,
}

impl Board {
    pub fn post(&self, audience: &Audience, text: &Arc<str>, deadline: Option<Duration>) {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut notices = self.lock();
        notices.retain(|notice| notice.ends > now);
        if notices.len() == NOTICES_MAX {
            notices.pop_front();
        }
        let age = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let last = notices.back().map_or(0, |notice| notice.id);
        notices.push_back(Standing {
            id: id.max(last.saturating_add(1)),
            text: text.clone(),
            deadline: deadline.and_then(|after| wall.checked_add(after)),
            audience: audience.clone(),
            ends: now + deadline.unwrap_or(WITHOUT_DEADLINE),
        });
        self.is_used.store(true, Ordering::Relaxed);
    }

    /// What stands there for this reader, the oldest first.
    pub fn standing(&self, reader: Reader<'_>) -> Vec<Standing> {
        if !self.is_used() {
            return Vec::new();
        }
        let now = Instant::now();
        let mut notices = self.lock();
        notices.retain(|notice| notice.ends > now);
        self.is_used.store(!notices.is_empty(), Ordering::Relaxed);
        let theirs = notices.iter().filter(|notice| match &notice.audience {
            Audience::Everybody => true,
            Audience::Session(id) => reader.session == Some(*id),
            Audience::User(user) => reader.user == Some(user.as_str()),
            Audience::Instance(name) => reader.instance == name.as_str(),
        });
        theirs.cloned().collect()
    }

    /// False as long as certainly nothing stands there.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Standing>> {
        self.notices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Reader<'static> = Reader {
        session: None,
        user: Some("alice"),
        instance: "vm1",
    };

    fn texts(board: &Board, reader: Reader<'_>) -> Vec<String> {
        let standing = board.standing(reader).into_iter();
        standing.map(|notice| notice.text.to_string()).collect()
    }

    #[test]
    fn notices_stand_for_whom_they_are_and_until_their_deadline() {
        let board = Board::default();
        assert!(!board.is_used());
        let hour = Some(Duration::from_secs(3600));
        board.post(&Audience::Everybody, &"all".into(), hour);
        board.post(&Audience::User("bob".into()), &"bob".into(), hour);
        board.post(&Audience::Instance("vm1".into()), &"vm1".into(), None);
        board.post(&Audience::Everybody, &"past".into(), Some(Duration::ZERO));
        assert_eq!(texts(&board, ALICE), ["all", "vm1"]);
        let bob = Reader {
            user: Some("bob"),
            instance: "vm2",
            ..ALICE
        };
        assert_eq!(texts(&board, bob), ["all", "bob"]);
        let all = board.standing(ALICE);
        assert!(all[0].id < all[1].id);
        assert!(all[0].deadline.is_some() && all[1].deadline.is_none());
    }

    #[test]
    fn the_board_is_bounded() {
        let board = Board::default();
        for number in 0..40 {
            board.post(&Audience::Everybody, &number.to_string().into(), None);
        }
        let texts = texts(&board, ALICE);
        assert_eq!(texts.len(), NOTICES_MAX);
        assert_eq!(texts.last().unwrap(), "39");
    }
}
