//! Whether a listing can be believed: a cloud that forgets machines people are on must not make the pool forget them.
//!
//! A machine that is not listed is gone if it was ordered to go, or if it does not answer and is missing for the second
//! time. One that answers exists, whatever the list says.

use std::collections::BTreeMap;

use crate::pool::InstanceId;

/// A machine that does not answer is believed to be gone when it is missing so often in a row.
const MISSING_MAX: u32 = 2;

/// Which machines have been missing, and how often in a row.
#[derive(Clone, Debug, Default)]
pub struct Absences {
    missing: BTreeMap<InstanceId, u32>,
}

/// What is known of a machine that a new listing lacks.
#[derive(Clone, Debug)]
pub struct Missing {
    pub id: InstanceId,
    /// An earlier plan removed it, or the cloud said it would take it.
    pub is_expected: bool,
    /// Its last probes succeeded.
    pub answers: bool,
}

/// What to make of a new listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// To be kept in spite of the listing.
    pub kept: Vec<InstanceId>,
    /// What cannot be true of it.
    pub contradiction: Option<String>,
}

impl Absences {
    /// Judges a new listing by the machines it lacks.
    pub fn judge(&mut self, lacks: &[Missing]) -> Verdict {
        let mut verdict = Verdict::default();
        let mut missing = BTreeMap::new();
        let mut answering = 0_u32;
        for one in lacks.iter().filter(|one| !one.is_expected) {
            let times = self.missing.get(&one.id).map_or(1, |times| times + 1);
            missing.insert(one.id.clone(), times);
            answering = answering.saturating_add(u32::from(one.answers));
            if one.answers || times < MISSING_MAX {
                verdict.kept.push(one.id.clone());
            }
        }
        self.missing = missing;
        if answering > 0 {
            let what = format!("{answering} machines that answer are not in the cloud's listing");
            verdict.contradiction = Some(what);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(is_expected: bool, answers: bool) -> [Missing; 1] {
        let id = InstanceId {
            pool: "main".into(),
            name: "a".into(),
        };
        [Missing {
            id,
            is_expected,
            answers,
        }]
    }

    #[test]
    fn what_answers_exists() {
        let mut absences = Absences::default();
        for _ in 0..5 {
            let verdict = absences.judge(&lacks(false, true));
            assert_eq!(verdict.kept.len(), 1);
            assert!(verdict.contradiction.is_some());
        }
    }

    #[test]
    fn what_does_not_answer_is_gone_at_the_second_time_in_a_row() {
        let mut absences = Absences::default();
        assert_eq!(absences.judge(&lacks(false, false)).kept.len(), 1);
        assert_eq!(absences.judge(&[]), Verdict::default());
        assert_eq!(absences.judge(&lacks(false, false)).kept.len(), 1);
        assert_eq!(absences.judge(&lacks(false, false)), Verdict::default());
    }

    #[test]
    fn what_was_removed_is_gone_at_once() {
        let mut absences = Absences::default();
        assert_eq!(absences.judge(&lacks(true, true)), Verdict::default());
    }
}
