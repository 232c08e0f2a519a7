//! The orders that can be given here: those of the API and of the command line, no others. Pure.

use std::time::Duration;

use crate::admin::{CordonOrder, DrainOrder, EvictOrder, Notice, UncordonOrder};
use crate::pool::SessionId;

/// What can be ordered about the selected row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Cordon,
    Uncordon,
    Drain,
    Evict,
    Notify,
}

/// Whom or what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// As `POOL/NAME`.
    Machine(String),
    Session {
        id: SessionId,
        user: String,
    },
    Everybody,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Cordon(CordonOrder),
    Uncordon(UncordonOrder),
    Drain(DrainOrder),
    Evict(EvictOrder),
    Notify(Notice),
}

impl Verb {
    /// As it begins the prompt's title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cordon => "Cordon",
            Self::Uncordon => "Uncordon",
            Self::Drain => "Drain",
            Self::Evict => "Evict",
            Self::Notify => "Notify",
        }
    }

    /// What is asked for before it is given.
    pub fn questions(self) -> &'static [&'static str] {
        match self {
            Self::Cordon | Self::Uncordon => &["Reason"],
            Self::Drain => &["Reason", "End sessions after (such as 2h; empty: never)"],
            Self::Evict => &["Reason (its person reads it)"],
            Self::Notify => &["Line for their terminals and browsers"],
        }
    }
}

impl Target {
    pub fn name(&self) -> String {
        match self {
            Self::Machine(name) => name.clone(),
            Self::Session { id, user } => format!("session {id} of {user}"),
            Self::Everybody => "everybody".to_owned(),
        }
    }
}

impl Order {
    /// `words` are the answers to the verb's questions.
    ///
    /// # Errors
    /// Which answer is wrong and what to write, or why there is no such order.
    pub fn new(verb: Verb, target: &Target, words: &[String]) -> Result<Self, &'static str> {
        let word = |at: usize| words.get(at).map_or("", |word| word.trim()).to_owned();
        let reason = word(0);
        if reason.is_empty() {
            return Err("write why: others read it in the events and in the audit log");
        }
        let is_dry_run = false;
        match (verb, target.clone()) {
            (Verb::Cordon, Target::Machine(instance)) => Ok(Self::Cordon(CordonOrder {
                instance,
                reason,
                is_dry_run,
            })),
            (Verb::Uncordon, Target::Machine(instance)) => Ok(Self::Uncordon(UncordonOrder {
                instance,
                reason,
                is_dry_run,
            })),
            (Verb::Drain, Target::Machine(instance)) => Ok(Self::Drain(DrainOrder {
                instance,
                reason,
                deadline_s: deadline(&word(1))?.map(|after| after.as_secs()),
                is_dry_run,
            })),
            (Verb::Evict, Target::Session { id, .. }) => Ok(Self::Evict(EvictOrder {
                session: id,
                reason,
                is_dry_run,
            })),
            (Verb::Notify, target) => Ok(Self::Notify(notice(target, reason))),
            (Verb::Evict, _) => Err("evict ends one session: choose it in the sessions"),
            _ => Err("this is for a machine: choose it in the machines"),
        }
    }

    /// The same, only to be told what it would do.
    pub fn dry(&self) -> Self {
        let mut dry = self.clone();
        match &mut dry {
            Self::Cordon(order) => order.is_dry_run = true,
            Self::Uncordon(order) => order.is_dry_run = true,
            Self::Drain(order) => order.is_dry_run = true,
            Self::Evict(order) => order.is_dry_run = true,
            Self::Notify(notice) => notice.is_dry_run = true,
        }
        dry
    }
}

fn deadline(text: &str) -> Result<Option<Duration>, &'static str> {
    match text {
        "" => Ok(None),
        text => super::super::args::duration(text).map(Some),
    }
}

fn notice(target: Target, text: String) -> Notice {
    let mut notice = Notice {
        text,
        ..Notice::default()
    };
    match target {
        // The gate takes a machine's bare name there.
        Target::Machine(name) => {
            let bare = name.rsplit_once('/').map(|(_, bare)| bare.to_owned());
            notice.instance = Some(bare.unwrap_or(name));
        }
        Target::Session { id, .. } => notice.session = Some(id),
        Target::Everybody => {}
    }
    notice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_all_that_its_command_would() {
        let machine = Target::Machine("main/vm1".to_owned());
        let words = |words: &[&str]| -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        };
        let drain = Order::new(Verb::Drain, &machine, &words(&[" kernel ", "2h"])).unwrap();
        let Order::Drain(order) = drain.dry() else {
            unreachable!()
        };
        assert_eq!(
            (&*order.reason, order.deadline_s, order.is_dry_run),
            ("kernel", Some(7200), true)
        );
        let never = Order::new(Verb::Drain, &machine, &words(&["kernel", ""])).unwrap();
        assert!(matches!(never, Order::Drain(order) if order.deadline_s.is_none()));
        for (verb, answers) in [
            (Verb::Cordon, words(&["  "])),
            (Verb::Drain, words(&["kernel", "soon"])),
            (Verb::Evict, words(&["fire"])),
        ] {
            assert!(Order::new(verb, &machine, &answers).is_err(), "{verb:?}");
        }
        let notice = Order::new(Verb::Notify, &machine, &words(&["noon"])).unwrap();
        assert!(
            matches!(notice, Order::Notify(notice) if notice.instance.as_deref() == Some("vm1"))
        );
    }
}
