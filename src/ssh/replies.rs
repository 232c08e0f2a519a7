//! Who gets the next answer to a global request (RFC 4254 section 4).
//!
//! Global requests carry no number: answers come in the order of the requests. As soon as the gate asks something of its
//! own (a sign of life) or answers something itself, it must remember whose turn it is, or an answer reaches the wrong side.

use std::collections::VecDeque;

use super::wire::message::number;

/// More than any client has in flight; beyond it one side asks without ever waiting for answers.
const DUE_MAX: usize = 4096;

/// What to do about a global request's answer, in the order in which one leg owes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// The other leg asked: pass the answer on.
    Relay,
    /// The gate asked: keep the answer.
    Swallow,
    /// The gate refuses for this leg, when its turn comes.
    Refuse,
    /// The gate answers with this message, when its turn comes.
    Answer(Vec<u8>),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {DUE_MAX} global requests wait for an answer")]
pub struct TooManyRequests;

/// The answers one leg owes.
#[derive(Debug, Default)]
pub struct Replies {
    due: VecDeque<Due>,
}

impl Replies {
    pub fn push(&mut self, due: Due) -> Result<(), TooManyRequests> {
        if self.due.len() >= DUE_MAX {
            return Err(TooManyRequests);
        }
        self.due.push_back(due);
        Ok(())
    }

    /// An answer has come: `true` where it is to be passed on. An answer nobody waits for is not.
    pub fn answered(&mut self) -> bool {
        self.due.pop_front() == Some(Due::Relay)
    }

    /// Takes the next of the gate's own answers, if its turn has come.
    pub fn take_own(&mut self) -> Option<Vec<u8>> {
        let is_own = |due: &mut Due| matches!(due, Due::Refuse | Due::Answer(_));
        let own = self.due.pop_front_if(is_own);
        if self.due.is_empty() {
            self.due = VecDeque::new();
        }
        match own? {
            Due::Answer(message) => Some(message),
            _ => Some(vec![number::REQUEST_FAILURE]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_the_order_of_the_requests() {
        let mut replies = Replies::default();
        for due in [
            Due::Relay,
            Due::Refuse,
            Due::Swallow,
            Due::Answer(vec![number::REQUEST_SUCCESS, 7]),
            Due::Relay,
        ] {
            replies.push(due).unwrap();
        }
        assert_eq!(replies.take_own(), None);
        assert!(replies.answered());
        assert_eq!(replies.take_own(), Some(vec![number::REQUEST_FAILURE]));
        assert_eq!(replies.take_own(), None);
        assert!(!replies.answered());
        assert_eq!(replies.take_own(), Some(vec![number::REQUEST_SUCCESS, 7]));
        assert_eq!(replies.take_own(), None);
        assert!(replies.answered());
        assert!(!replies.answered(), "nobody asked");
    }

    #[test]
    fn requests_without_answers_are_bounded() {
        let mut replies = Replies::default();
        assert!((0..DUE_MAX).all(|_| replies.push(Due::Relay).is_ok()));
        assert_eq!(replies.push(Due::Relay), Err(TooManyRequests));
    }
}
