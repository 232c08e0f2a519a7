//! From single probes to a verdict: how many answers in a row it takes until a service's health flips, and how the
//! services' healths become the instance's.
//!
//! One lost probe proves nothing, so a flip needs a run of answers on the same side of the current verdict, and then goes
//! only as far as every answer of that run supports: down, down, no-logins makes no-logins. Nothing is known of a new
//! instance, so its first good answer counts at once; a bad one never does.

use super::instance::Health;

/// One service's verdict and the run of answers that may change it.
#[derive(Clone, Debug)]
pub(super) struct ServiceHealth {
    verdict: Health,
    run: Option<Run>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub is_better: bool,
    pub answers: u32,
    /// The answer of the run nearest to the verdict.
    nearest: Health,
}

impl ServiceHealth {
    pub fn new() -> Self {
        Self {
            verdict: Health::Unknown,
            run: None,
        }
    }

    pub fn verdict(&self) -> Health {
        self.verdict
    }

    pub fn run(&self) -> Option<Run> {
        self.run
    }

    /// Takes one answer in. `Unknown` is no answer and changes nothing.
    pub fn observe(&mut self, answer: Health, rise: u32, fall: u32) {
        let Some(goodness) = goodness(answer) else {
            return;
        };
        let current = goodness_or_unknown(self.verdict);
        if goodness == current {
            self.run = None;
            return;
        }
        let is_better = goodness > current;
        let run = match self.run.filter(|run| run.is_better == is_better) {
            Some(run) => Run {
                answers: run.answers.saturating_add(1),
                nearest: nearest(is_better, run.nearest, answer),
                ..run
            },
            None => Run {
                is_better,
                answers: 1,
                nearest: answer,
            },
        };
        let enough = enough(self.verdict, is_better, (rise, fall));
        self.run = Some(run);
        if run.answers >= enough {
            self.verdict = run.nearest;
            self.run = None;
        }
    }
}

/// How many answers in a row flip a verdict.
pub(super) fn enough(verdict: Health, is_better: bool, (rise, fall): (u32, u32)) -> u32 {
    match (verdict, is_better) {
        (Health::Unknown, true) => 1,
        (_, true) => rise.max(1),
        (_, false) => fall.max(1),
    }
}

/// What people are shown of an instance: up, down or unknown if its services agree, and else no-logins.
pub(super) fn overall(services: impl Iterator<Item = Health> + Clone) -> Health {
    let all = |health| services.clone().all(|service| service == health);
    let any = |health| services.clone().any(|service| service == health);
    if all(Health::Up) {
        Health::Up
    } else if all(Health::Down) {
        Health::Down
    } else if any(Health::Unknown) && !any(Health::Up) {
        Health::Unknown
    } else {
        Health::NoLogins
    }
}

fn goodness(health: Health) -> Option<u8> {
    match health {
        Health::Up => Some(3),
        Health::NoLogins => Some(2),
        Health::Down => Some(0),
        Health::Unknown => None,
    }
}

/// Not knowing lies between a service that answers and one that does not.
fn goodness_or_unknown(health: Health) -> u8 {
    goodness(health).unwrap_or(1)
}

fn nearest(is_better: bool, a: Health, b: Health) -> Health {
    let a_is_milder = (goodness_or_unknown(a) < goodness_or_unknown(b)) == is_better;
    if a_is_milder { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::Health::{Down, NoLogins, Unknown, Up};
    use super::*;

    /// The verdict after each answer, with rise 2 and fall 3.
    fn verdicts(answers: &[Health]) -> Vec<Health> {
        let mut service = ServiceHealth::new();
        let after = |answer: &Health| {
            service.observe(*answer, 2, 3);
            service.verdict()
        };
        answers.iter().map(after).collect()
    }

    #[test]
    fn the_first_good_answer_counts_at_once() {
        assert_eq!(verdicts(&[Up]), [Up]);
        assert_eq!(verdicts(&[NoLogins]), [NoLogins]);
        assert_eq!(verdicts(&[Down, Down, Up]), [Unknown, Unknown, Up]);
    }

    #[test]
    fn a_new_service_is_down_after_as_many_failures_as_any() {
        assert_eq!(verdicts(&[Down, Down, Down]), [Unknown, Unknown, Down]);
    }

    #[test]
    fn failures_count_only_in_a_row() {
        let answers = [Up, Down, Down, Up, Down, Down, Down];
        assert_eq!(verdicts(&answers), [Up, Up, Up, Up, Up, Up, Down]);
    }

    #[test]
    fn it_rises_after_good_answers_in_a_row() {
        let answers = [Down, Down, Down, Up, Down, Up, Up];
        assert_eq!(verdicts(&answers)[2..], [Down, Down, Down, Down, Up]);
    }

    #[test]
    fn a_mixed_run_goes_as_far_as_all_of_it_supports() {
        assert_eq!(verdicts(&[Up, Down, NoLogins, Down])[3], NoLogins);
        assert_eq!(verdicts(&[Down, Down, Down, NoLogins, Up])[4], NoLogins);
        let answers = [NoLogins, Down, Down, Down];
        assert_eq!(verdicts(&answers), [NoLogins, NoLogins, NoLogins, Down]);
    }

    #[test]
    fn no_answer_changes_nothing() {
        assert_eq!(verdicts(&[Up, Down, Unknown, Down, Unknown])[4], Up);
    }

    #[test]
    fn rise_and_fall_of_zero_mean_one() {
        let mut service = ServiceHealth::new();
        service.observe(Up, 0, 0);
        service.observe(Down, 0, 0);
        assert_eq!(service.verdict(), Down);
    }

    #[test]
    fn services_make_the_instance() {
        let cases: [(&[Health], Health); 8] = [
            (&[Up], Up),
            (&[Up, Up], Up),
            (&[Down, Down], Down),
            (&[Unknown, Unknown], Unknown),
            (&[Unknown, Down], Unknown),
            (&[Unknown, Up], NoLogins),
            (&[Up, Down], NoLogins),
            (&[Up, NoLogins], NoLogins),
        ];
        for (services, expected) in cases {
            assert_eq!(overall(services.iter().copied()), expected, "{services:?}");
        }
    }
}
