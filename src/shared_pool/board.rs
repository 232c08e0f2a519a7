//! Where notices stand for people who look at pages and see no terminal: until a deadline, for a few minutes, or for as
//! long as their instance drains.
//!
//! Who has seen which is the reader's business. Bounded: a new notice takes the place of the oldest, and of a drain there is
//! one an instance.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::Audience;
use crate::pool::rfc3339;
use crate::pool::{InstanceId, Now, SessionId};

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
}

/// Who looks.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub session: Option<SessionId>,
    /// As proved.
    pub user: Option<&'a str>,
    pub instance: &'a InstanceId,
}

#[derive(Default)]
pub(super) struct Board {
    posted: Mutex<Posted>,
    /// What every page asks first.
    is_used: AtomicBool,
}

#[derive(Default)]
struct Posted {
    notices: VecDeque<Notice>,
    drains: BTreeMap<InstanceId, Standing>,
    last_id: u64,
}

struct Notice {
    standing: Standing,
    audience: Audience,
    ends: Instant,
    stands_until: SystemTime,
}

/// A notice of an operator's, to be written down. Those of drains follow from what is decided about instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeMemory {
    id: u64,
    audience: Audience,
    text: Arc<str>,
    #[serde(with = "rfc3339::option")]
    deadline: Option<SystemTime>,
    #[serde(with = "rfc3339")]
    ends: SystemTime,
}

impl Board {
    pub fn post(&self, audience: &Audience, text: &Arc<str>, deadline: Option<Duration>) {
        let now = Instant::now();
        let mut posted = self.lock();
        posted.forget(now);
        if posted.notices.len() == NOTICES_MAX {
            posted.notices.pop_front();
        }
        let wall = SystemTime::now();
        let at = deadline.and_then(|after| wall.checked_add(after));
        let stands = deadline.unwrap_or(WITHOUT_DEADLINE);
        let notice = Notice {
            standing: posted.stand(text, at),
            audience: audience.clone(),
            ends: now + stands,
            stands_until: wall.checked_add(stands).unwrap_or(wall),
        };
        posted.notices.push_back(notice);
        self.is_used.store(true, Ordering::Relaxed);
    }

    /// What stands there by an operator's wish, but for sessions, which end with the gate.
    pub fn memories(&self, now: Now) -> Vec<NoticeMemory> {
        if !self.is_used() {
            return Vec::new();
        }
        let posted = self.lock();
        let standing = posted.notices.iter().filter(|notice| {
            notice.ends > now.instant && !matches!(notice.audience, Audience::Session(_))
        });
        let memory = |notice: &Notice| NoticeMemory {
            id: notice.standing.id,
            audience: notice.audience.clone(),
            text: notice.standing.text.clone(),
            deadline: notice.standing.deadline,
            ends: notice.stands_until,
        };
        standing.map(memory).collect()
    }

    /// Puts up again what stood there before a restart, under the same number: who has seen it does not see it again.
    pub fn take_back(&self, memories: Vec<NoticeMemory>, now: Now) {
        let mut posted = self.lock();
        for memory in memories.into_iter().take(NOTICES_MAX) {
            let left = memory.ends.duration_since(now.wall).unwrap_or_default();
            let Some(ends) = now.instant.checked_add(left) else {
                continue;
            };
            posted.last_id = posted.last_id.max(memory.id);
            posted.notices.push_back(Notice {
                standing: Standing {
                    id: memory.id,
                    text: memory.text,
                    deadline: memory.deadline,
                },
                audience: memory.audience,
                ends,
                stands_until: memory.ends,
            });
        }
        posted.forget(now.instant);
        self.note_use(&posted);
    }

    /// For all who are on this instance or come there. False if the very same stands there already.
    pub fn post_drain(
        &self,
        id: &InstanceId,
        text: &Arc<str>,
        deadline: Option<SystemTime>,
    ) -> bool {
        let mut posted = self.lock();
        let before = posted.drains.get(id);
        if before.is_some_and(|notice| notice.text == *text && notice.deadline == deadline) {
            return false;
        }
        let standing = posted.stand(text, deadline);
        posted.drains.insert(id.clone(), standing);
        self.is_used.store(true, Ordering::Relaxed);
        true
    }

    /// False if none stood there.
    pub fn take_back_drain(&self, id: &InstanceId) -> bool {
        if !self.is_used() {
            return false;
        }
        let mut posted = self.lock();
        let stood = posted.drains.remove(id).is_some();
        self.note_use(&posted);
        stood
    }

    pub fn drain(&self, id: &InstanceId) -> Option<Standing> {
        match self.is_used() {
            true => self.lock().drains.get(id).cloned(),
            false => None,
        }
    }

    /// Of all drains, those stay that still go on.
    pub fn keep_drains(&self, goes_on: impl Fn(&InstanceId) -> bool) {
        if self.is_used() {
            let mut posted = self.lock();
            posted.drains.retain(|id, _| goes_on(id));
            self.note_use(&posted);
        }
    }

    /// What stands there for this reader, the oldest first.
    pub fn standing(&self, reader: Reader<'_>) -> Vec<Standing> {
        if !self.is_used() {
            return Vec::new();
        }
        let mut posted = self.lock();
        posted.forget(Instant::now());
        self.note_use(&posted);
        let is_theirs = |notice: &&Notice| match &notice.audience {
            Audience::Everybody => true,
            Audience::Session(id) => reader.session == Some(*id),
            Audience::User(user) => reader.user == Some(user.as_str()),
            Audience::Instance(name) => is_named(name, reader.instance),
        };
        let notices = posted.notices.iter().filter(is_theirs);
        let notices = notices.map(|notice| &notice.standing);
        let theirs = notices.chain(posted.drains.get(reader.instance));
        let mut theirs: Vec<Standing> = theirs.cloned().collect();
        theirs.sort_by_key(|notice| notice.id);
        theirs
    }

    /// False as long as certainly nothing stands there.
    pub fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Relaxed)
    }

    fn note_use(&self, posted: &Posted) {
        let is_used = !posted.notices.is_empty() || !posted.drains.is_empty();
        self.is_used.store(is_used, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Posted> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Posted {
    fn stand(&mut self, text: &Arc<str>, deadline: Option<SystemTime>) -> Standing {
        let age = SystemTime::now().duration_since(UNIX_EPOCH);
        let id = u64::try_from(age.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
        self.last_id = id.max(self.last_id.saturating_add(1));
        Standing {
            id: self.last_id,
            text: text.clone(),
            deadline,
        }
    }

    fn forget(&mut self, now: Instant) {
        self.notices.retain(|notice| notice.ends > now);
    }
}

/// Whether POOL/NAME, or a name in whichever pool, is this instance's.
pub(super) fn is_named(name: &str, id: &InstanceId) -> bool {
    match name.split_once('/') {
        Some((pool, name)) => *id.pool == *pool && *id.name == *name,
        None => *id.name == *name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> InstanceId {
        InstanceId {
            pool: "main".into(),
            name: name.into(),
        }
    }

    fn alice(instance: &InstanceId) -> Reader<'_> {
        Reader {
            session: None,
            user: Some("alice"),
            instance,
        }
    }

    fn texts(board: &Board, reader: Reader<'_>) -> Vec<String> {
        let standing = board.standing(reader).into_iter();
        standing.map(|notice| notice.text.to_string()).collect()
    }

    #[test]
    fn notices_stand_for_whom_they_are_and_until_their_deadline() {
        let board = Board::default();
        let (vm1, vm2) = (id("vm1"), id("vm2"));
        assert!(!board.is_used());
        let hour = Some(Duration::from_secs(3600));
        board.post(&Audience::Everybody, &"all".into(), hour);
        board.post(&Audience::User("bob".into()), &"bob".into(), hour);
        board.post(&Audience::Instance("main/vm1".into()), &"vm1".into(), None);
        board.post(&Audience::Instance("gpu/vm1".into()), &"gpu".into(), None);
        board.post(&Audience::Everybody, &"past".into(), Some(Duration::ZERO));
        assert_eq!(texts(&board, alice(&vm1)), ["all", "vm1"]);
        let bob = Reader {
            user: Some("bob"),
            ..alice(&vm2)
        };
        assert_eq!(texts(&board, bob), ["all", "bob"]);
        let all = board.standing(alice(&vm1));
        assert!(all[0].id < all[1].id);
        assert!(all[0].deadline.is_some() && all[1].deadline.is_none());
    }

    #[test]
    fn a_drain_stands_for_as_long_as_it_goes_on_and_pushes_no_notice_out() {
        let board = Board::default();
        let (vm1, vm2) = (id("vm1"), id("vm2"));
        assert!(!board.take_back_drain(&vm1));
        assert!(board.post_drain(&vm1, &"drains".into(), None));
        assert!(!board.post_drain(&vm1, &"drains".into(), None), "the same");
        let first = board.standing(alice(&vm1));
        for number in 0..40 {
            board.post(&Audience::Everybody, &number.to_string().into(), None);
        }
        assert_eq!(board.standing(alice(&vm1)).len(), NOTICES_MAX + 1);
        assert!(
            texts(&board, alice(&vm2))
                .iter()
                .all(|text| text != "drains")
        );
        let other_pool = InstanceId {
            pool: "gpu".into(),
            ..vm1.clone()
        };
        assert!(board.drain(&other_pool).is_none());
        let later = Some(SystemTime::now());
        assert!(
            board.post_drain(&vm1, &"drains".into(), later),
            "it is pressed for time"
        );
        assert!(board.drain(&vm1).unwrap().id > first[0].id);
        assert!(board.take_back_drain(&vm1));
        assert_eq!(board.standing(alice(&vm1)).len(), NOTICES_MAX);
        assert!(board.post_drain(&vm2, &"drains".into(), None));
        board.keep_drains(|id| *id != vm2);
        assert!(board.drain(&vm2).is_none());
    }

    #[test]
    fn what_operators_posted_stands_again_after_a_restart() {
        let now = || Now {
            instant: Instant::now(),
            wall: SystemTime::now(),
        };
        let before = Board::default();
        let hour = Some(Duration::from_secs(3600));
        before.post(&Audience::User("alice".into()), &"alice".into(), hour);
        before.post(&Audience::Everybody, &"all".into(), None);
        before.post(&Audience::Everybody, &"past".into(), Some(Duration::ZERO));
        let session = Audience::Session("0000000000000001".parse().unwrap());
        before.post(&session, &"session".into(), hour);
        before.post_drain(&id("vm1"), &"drains".into(), None);
        let told = before.memories(now());
        let text = serde_json::to_string(&told).unwrap();
        let after = Board::default();
        after.take_back(serde_json::from_str(&text).unwrap(), now());
        let vm1 = id("vm1");
        let stood = before.standing(alice(&vm1));
        let stands = after.standing(alice(&vm1));
        assert_eq!(texts(&after, alice(&vm1)), ["alice", "all"]);
        assert_eq!(stands[0].id, stood[0].id, "who has seen it has seen it");
        assert!(stands[0].deadline.is_some());
        let later = Now {
            instant: Instant::now(),
            wall: SystemTime::now() + WITHOUT_DEADLINE,
        };
        let later_still = Board::default();
        later_still.take_back(told, later);
        assert_eq!(texts(&later_still, alice(&vm1)), ["alice"]);
        after.post(&Audience::Everybody, &"new".into(), None);
        assert!(after.standing(alice(&vm1))[2].id > stands[1].id);
    }

    #[test]
    fn the_board_is_bounded() {
        let board = Board::default();
        for number in 0..40 {
            board.post(&Audience::Everybody, &number.to_string().into(), None);
        }
        let texts = texts(&board, alice(&id("vm1")));
        assert_eq!(texts.len(), NOTICES_MAX);
        assert_eq!(texts.last().unwrap(), "39");
    }
}
