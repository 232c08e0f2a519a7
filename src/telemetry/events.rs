//! What was done about a pool's size and why, as a story that operators read: the last events are kept, each is also a
//! line of the audit log and of the log.
//!
//! Deliberately absent: who logged in (`audit`), and figures (`metrics`). Events are few; a reader follows by number.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::pool::rfc3339;

use super::audit::{AuditEvent, AuditLog};

/// A busy day of a large pool.
const KEPT_MAX: usize = 4096;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// Machines were asked for.
    Grow,
    /// Machines that were off were switched on.
    Start,
    /// An instance takes people for the first time.
    Up,
    /// Nobody new is sent there.
    Cordon,
    /// Nobody new, and it goes when everybody has left.
    Drain,
    /// People are sent there again.
    Undrain,
    /// Machines were deleted.
    Remove,
    /// An instance is not listed any more.
    Gone,
    /// Somebody asked for an instance to stay.
    Keep,
    /// A session was ended.
    Evict,
    /// A person is sent to an instance.
    Move,
    /// The cloud is about to take a machine away.
    Notice,
    /// Something stands in the way of what should be done.
    Fault,
    /// Nothing is done for the time being, or things are done again.
    Freeze,
    /// An operator asked for a number of machines.
    Order,
    /// The process began to look after the pool.
    Begin,
    /// The configuration was read again and is another.
    Reload,
    /// The configuration was to be read again, and has faults.
    ReloadRefused,
    /// A gate has another one's place, which keeps its sessions.
    Upgrade,
    /// Another program was to take the gate's place, and the gate goes on.
    UpgradeFailed,
    /// People wait, nothing is up, and no machine can be had.
    WakeFailed,
    /// A certificate ends soon, or has ended.
    CertificateExpiry,
    /// A webhook could not be told.
    WebhookFailed,
    /// A try of a webhook; it is in no story.
    Test,
}

impl EventKind {
    /// The word of JSON and of the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grow => "grow",
            Self::Start => "start",
            Self::Up => "up",
            Self::Cordon => "cordon",
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Remove => "remove",
            Self::Gone => "gone",
            Self::Keep => "keep",
            Self::Evict => "evict",
            Self::Move => "move",
            Self::Notice => "notice",
            Self::Fault => "fault",
            Self::Freeze => "freeze",
            Self::Order => "order",
            Self::Begin => "begin",
            Self::Reload => "reload",
            Self::ReloadRefused => "reload-refused",
            Self::Upgrade => "upgrade",
            Self::UpgradeFailed => "upgrade-failed",
            Self::WakeFailed => "wake-failed",
            Self::CertificateExpiry => "certificate-expiry",
            Self::WebhookFailed => "webhook-failed",
            Self::Test => "test",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Grows by one with each event of a run.
    pub number: u64,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub time: SystemTime,
    pub pool: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Whom it concerns, where that is one person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub kind: EventKind,
    /// What and why, in words.
    pub text: String,
}

impl Event {
    /// Where it happened, as people read it.
    pub fn place(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{}/{instance}", self.pool),
            None if self.pool.is_empty() => "the gate".to_owned(),
            None => self.pool.clone(),
        }
    }
}

/// Cheap to clone; all clones are one story.
#[derive(Clone)]
pub struct Events {
    story: Arc<Story>,
}

struct Story {
    kept: Mutex<VecDeque<Event>>,
    /// The number of the newest.
    newest: watch::Sender<u64>,
    audit: AuditLog,
}

impl Events {
    pub fn new(audit: AuditLog) -> Self {
        let story = Story {
            kept: Mutex::default(),
            newest: watch::Sender::new(0),
            audit,
        };
        Self {
            story: Arc::new(story),
        }
    }

    pub fn tell(&self, pool: &str, instance: Option<&str>, kind: EventKind, text: String) {
        self.note(Event {
            number: 0,
            time: SystemTime::now(),
            pool: pool.to_owned(),
            instance: instance.map(str::to_owned),
            user: None,
            kind,
            text,
        });
    }

    /// The same of one person, where that is known, on an instance of a pool.
    pub fn tell_of(
        &self,
        user: Option<&str>,
        (pool, instance): (&str, &str),
        kind: EventKind,
        text: String,
    ) {
        self.note(Event {
            number: 0,
            time: SystemTime::now(),
            pool: pool.to_owned(),
            instance: Some(instance.to_owned()),
            user: user.map(str::to_owned),
            kind,
            text,
        });
    }

    /// Its number is the next.
    fn note(&self, event: Event) {
        let (pool, instance) = (&*event.pool, event.instance.as_deref());
        let (kind, text) = (event.kind, &*event.text);
        tracing::info!(pool, instance, kind = kind.name(), text, "event");
        self.story.audit.write(&AuditEvent::Fleet {
            pool: event.pool.clone(),
            instance: event.instance.clone(),
            kind,
            text: event.text.clone(),
        });
        let mut kept = self.kept();
        let number = kept.back().map_or(1, |last| last.number.saturating_add(1));
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Event { number, ..event });
        drop(kept);
        self.story.newest.send_replace(number);
    }

    /// Those after `number`, the oldest first; 0 for all that are kept.
    pub fn after(&self, number: u64) -> Vec<Event> {
        let kept = self.kept();
        let later = kept.iter().filter(|event| event.number > number);
        later.cloned().collect()
    }

    /// The number of the newest, as it grows.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.story.newest.subscribe()
    }

    /// How many wait for the next event.
    #[cfg(test)]
    pub fn followers(&self) -> usize {
        self.story.newest.receiver_count()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Event>> {
        let kept = self.story.kept.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_read_on_from_where_one_stopped() {
        let events = Events::new(AuditLog::open(None).unwrap());
        for text in ["one", "two"] {
            events.tell("main", Some("vm1"), EventKind::Drain, text.to_owned());
        }
        let all = events.after(0);
        assert_eq!(all.len(), 2);
        events.tell("main", None, EventKind::Grow, "three".to_owned());
        let rest = events.after(all[1].number);
        assert_eq!(rest.len(), 1);
        assert_eq!((&*rest[0].text, *events.newest().borrow()), ("three", 3));
        let json = serde_json::to_value(&rest[0]).unwrap();
        assert_eq!(json["kind"], "grow");
        assert!(json.get("instance").is_none());
    }

    #[test]
    fn a_kind_has_one_word() {
        for kind in <EventKind as clap::ValueEnum>::value_variants() {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
            let typed = <EventKind as clap::ValueEnum>::to_possible_value(kind).unwrap();
            assert_eq!(typed.get_name(), kind.name());
        }
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let events = Events::new(AuditLog::open(None).unwrap());
        for _ in 0..KEPT_MAX + 3 {
            events.tell("main", None, EventKind::Up, String::new());
        }
        let kept = events.after(0);
        assert_eq!((kept.len(), kept[0].number), (KEPT_MAX, 4));
    }
}
