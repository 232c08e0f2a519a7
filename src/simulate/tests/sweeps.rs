//! Everything goes wrong, over and over, and nobody's session ends for it.
//!
//! `POOLGATE_SIM_SEED=7` plays one seed and tells its story; `POOLGATE_SIM_HOURS=24` makes each run longer.

use std::collections::BTreeSet;
use std::env;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use super::*;
use crate::pool::Protocol;

const SEEDS: u64 = 256;
/// What the stories must tell of, or a fault does not strike any more.
const TOLD: [&str; 8] = [
    "the quota is used up",
    "another operation is under way",
    "was answered late, and has failed",
    "the deletion of",
    "start m",
    "the cloud takes it away",
    "longer than a boot may take",
    "undrain m",
];
/// Of people's logins; and an hour in which the pool empties.
const HOURS: u64 = 18;
/// Steps of the world over all seeds: what the promise is made for.
const EVENTS_MIN: u64 = 1_000_000;

/// Of seeds that were played.
#[derive(Default)]
struct Tally {
    events: u64,
    losses: u32,
    told: BTreeSet<&'static str>,
}

#[test]
fn whatever_goes_wrong_nobody_is_cut_off() {
    let chosen: Option<u64> = number("POOLGATE_SIM_SEED");
    let hours: Option<u64> = number("POOLGATE_SIM_HOURS");
    let seeds = chosen.map_or(0..SEEDS, |seed| seed..seed + 1);
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let tally = thread::scope(|scope| {
        let tally_of = |first| {
            let seeds = seeds.clone().skip(first).step_by(cores);
            scope.spawn(move || {
                let hours = hours.unwrap_or(HOURS);
                seeds.fold(Tally::default(), |tally, seed| {
                    tally.with(seed, hours, chosen.is_some())
                })
            })
        };
        let parts: Vec<_> = (0..cores).map(tally_of).collect();
        let parts = parts.into_iter().map(|part| part.join().unwrap());
        parts.fold(Tally::default(), Tally::and)
    });
    let Tally {
        events,
        losses,
        told,
    } = tally;
    let is_whole = chosen.is_none() && hours.is_none();
    if is_whole {
        assert!(events >= EVENTS_MIN && losses > 0, "{events}, {losses}");
        assert_eq!(told, BTreeSet::from(TOLD));
    }
    println!("{events} events, {losses} sessions lost to evictions");
}

impl Tally {
    /// Plays one more, which may do no harm.
    fn with(mut self, seed: u64, hours: u64, is_told: bool) -> Self {
        let outcome = play(seed, hours);
        if is_told {
            for (at, what) in &outcome.story {
                println!("{:>8.0} s  {what}", at.as_secs_f64());
            }
        }
        let again = format!("play it again with POOLGATE_SIM_SEED={seed}");
        assert_eq!(outcome.violations, Vec::<String>::new(), "{again}");
        assert_eq!(outcome.refused_plans, 0, "{again}");
        assert_eq!(outcome.score.kills, 0, "{again}");
        self.events += outcome.events;
        let story = outcome.story.iter().map(|(_, what)| what);
        let is_told = |what: &&str| story.clone().any(|line| line.contains(what));
        self.told.extend(TOLD.into_iter().filter(is_told));
        self.losses += outcome.score.losses;
        self
    }

    fn and(mut self, mut other: Self) -> Self {
        self.events += other.events;
        self.losses += other.losses;
        self.told.append(&mut other.told);
        self
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses")]
fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

fn play(seed: u64, hours: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let trace = crowd(&mut dice, hours);
    let mut settings = settings(&trace, seed);
    let bounds = &mut settings.policy.schedule.base;
    bounds.min = u32::try_from(dice.below(3)).unwrap();
    bounds.max = 6 + u32::try_from(dice.below(6)).unwrap();
    bounds.placement = [
        PlacementPolicy::Auto,
        PlacementPolicy::Pack,
        PlacementPolicy::Spread,
    ][usize::try_from(dice.below(3)).unwrap()];
    settings.capacity = 2 + u32::try_from(dice.below(4)).unwrap();
    settings.faults = Faults::plenty();
    settings.is_checked = true;
    run(&trace, &settings, Mind::policy())
}

/// People who come in waves.
fn crowd(dice: &mut Dice, hours: u64) -> Trace {
    let mut visits = Vec::new();
    let end = 3600.0 * hours as f64;
    let mut at = 0.0;
    while at < end {
        at += dice.exponential(400.0);
        for _ in 0..1 + dice.below(6) {
            visits.push(Visit {
                user: format!("p{}", dice.below(60)).into(),
                start: Duration::from_secs_f64(at),
                length: Duration::from_secs_f64(dice.tail(200.0, 1.2).min(end)),
                protocol: Protocol::ALL[usize::try_from(dice.below(2)).unwrap()],
            });
        }
    }
    let begins = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_774_224_000);
    Trace::new(begins, visits)
}
