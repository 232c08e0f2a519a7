//! Standard weeks and their scores, and what they must come to.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs};

use super::dice::Dice;
use super::*;
use crate::pool::{Now, PlacementPolicy};
use crate::scaling::cost::{Prices, hours};
use crate::scaling::{Bounds, Headroom, PolicyConfig, Schedule};

mod sweeps;

fn settings(trace: &Trace, seed: u64) -> Settings {
    let bounds = Bounds {
        min: 0,
        max: 40,
        headroom: Headroom::Seats(2),
        placement: PlacementPolicy::Auto,
    };
    Settings {
        policy: PolicyConfig::new(Schedule::always(bounds)),
        capacity: 8,
        affinity: Duration::from_secs(12 * 3600),
        boot: Duration::from_secs(240),
        prices: Prices::default(),
        faults: Faults::default(),
        seed,
        clock: Now {
            instant: Instant::now(),
            wall: trace.begins,
        },
        is_checked: false,
    }
}

/// Plays a standard week with everybody's mind; the policy's run comes first.
fn week(shape: Shape, seed: u64) -> (Vec<Outcome>, String) {
    let trace = shape.trace(seed);
    let settings = standard(shape, &trace, seed);
    let machines = trace.most().div_ceil(settings.capacity);
    let mut minds = vec![Mind::policy()];
    minds.extend(Mind::rivals(machines));
    let outcomes = minds.into_iter().map(|mind| run(&trace, &settings, mind));
    let outcomes: Vec<_> = outcomes.collect();
    let settled = hours(clairvoyant::settled(
        &trace,
        settings.capacity,
        settings.boot,
    ));
    let bound = hours(clairvoyant::bound(&trace, settings.capacity, settings.boot));
    let blind = hours(clairvoyant::blind(&trace, settings.capacity, settings.boot));
    let mut text = format!("{}: {} sessions\n", shape.name(), trace.visits.len());
    let _ = writeln!(text, "{:12} {bound:7.1} h", "bound");
    let _ = writeln!(text, "{:12} {settled:7.1} h", "clairvoyant");
    let _ = writeln!(text, "{:12} {blind:7.1} h", "blind");
    for outcome in &outcomes {
        let score = &outcome.score;
        let _ = writeln!(
            text,
            "{:12} {:7.1} h  waited {} of {}, p95 {:.0} s, max {:.0} s, cold {}, refused {}, killed {}, orders {}",
            score.mind,
            score.machine_hours,
            score.waited,
            score.logins,
            score.wait_p95_s,
            score.wait_max_s,
            score.cold,
            score.refusals,
            score.kills,
            score.writes,
        );
    }
    (outcomes, text)
}

/// One week is chance: how the policy fares with eight of them.
fn spread(shape: Shape) -> String {
    let mut to_clairvoyant = Vec::new();
    let mut to_blind = Vec::new();
    let mut p95_s: f64 = 0.0;
    let mut max_s: f64 = 0.0;
    for seed in 1..=8 {
        let trace = shape.trace(seed);
        let settings = standard(shape, &trace, seed);
        let outcome = run(&trace, &settings, Mind::policy());
        let score = &outcome.score;
        assert_eq!((score.kills, score.losses, score.refusals), (0, 0, 0));
        let (capacity, boot) = (settings.capacity, settings.boot);
        let share = |of: Duration| score.machine_hours / hours(of);
        to_clairvoyant.push(share(clairvoyant::settled(&trace, capacity, boot)));
        to_blind.push(share(clairvoyant::blind(&trace, capacity, boot)));
        p95_s = p95_s.max(score.wait_p95_s);
        max_s = max_s.max(score.wait_max_s);
    }
    let tell = |mut shares: Vec<f64>| {
        let mean = shares.iter().sum::<f64>() / 8.0;
        shares.sort_by(f64::total_cmp);
        format!("{mean:.3} ({:.3} to {:.3})", shares[0], shares[7])
    };
    let (clairvoyant, blind) = (tell(to_clairvoyant), tell(to_blind));
    format!(
        "of 8 seeds   {clairvoyant} times clairvoyant, {blind} times blind, p95 {p95_s:.0} s, max {max_s:.0} s\n"
    )
}

fn standard(shape: Shape, trace: &Trace, seed: u64) -> Settings {
    let mut settings = settings(trace, seed);
    if shape == Shape::Class {
        settings.policy.schedule.reservations = Shape::class_reservations();
    }
    settings
}

/// A change of the policy shows as a change of these figures. `POOLGATE_GOLDEN=write` writes them anew.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses")]
#[test]
#[ignore = "plays for minutes in a debug build: POOLGATE_GOLDEN=write cargo test --release --lib standard_weeks -- --ignored"]
fn standard_weeks_score_as_written_down() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/simulate.txt");
    let mut text = String::new();
    for shape in Shape::ALL {
        let (outcomes, week) = week(shape, 1);
        text.push_str(&week);
        let (ours, rivals) = outcomes.split_first().unwrap();
        assert_eq!(ours.violations, Vec::<String>::new(), "{week}");
        assert_eq!((ours.refused_plans, ours.score.kills), (0, 0), "{week}");
        assert!(ours.score.wait_p95_s <= 5.0, "{week}");
        for rival in rivals.iter().map(|rival| &rival.score) {
            assert!(ours.score.machine_hours < rival.machine_hours, "{week}");
            assert!(ours.score.wait_p95_s <= rival.wait_p95_s, "{week}");
        }
        text.push_str(&spread(shape));
    }
    if env::var("POOLGATE_GOLDEN").is_ok_and(|order| order == "write") {
        fs::write(&file, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&file).unwrap());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = Shape::Class.trace(5);
    let mut settings = settings(&trace, 5);
    settings.faults = Faults::plenty();
    let first = run(&trace, &settings, Mind::policy());
    let second = run(&trace, &settings, Mind::policy());
    assert_eq!(first.story, second.story);
    assert_eq!(first.score, second.score);
}

#[test]
fn under_steady_load_nothing_is_done() {
    let hour = Duration::from_secs(3600);
    for seed in 0..24 {
        let mut dice = Dice::new(seed);
        let apart_s = 1 + dice.below(60);
        let visit = |number: u64| Visit {
            user: format!("p{number}").into(),
            start: Duration::from_secs(number * apart_s),
            length: 24 * hour,
            protocol: crate::pool::Protocol::Ssh,
        };
        let begins = std::time::SystemTime::UNIX_EPOCH;
        let people = 1 + dice.below(60);
        let trace = Trace::new(begins, (0..people).map(visit).collect());
        let mut settings = settings(&trace, seed);
        settings.capacity = 1 + u32::try_from(dice.below(8)).unwrap();
        settings.policy.schedule.base.min = u32::try_from(dice.below(4)).unwrap();
        let outcome = run(&trace, &settings, Mind::policy());
        let restless = outcome
            .story
            .iter()
            .filter(|(at, _)| *at > 2 * hour && *at < 23 * hour);
        let restless: Vec<_> = restless.collect();
        assert!(restless.is_empty(), "seed {seed}: {restless:?}");
    }
}

#[test]
fn from_zero_one_order_wakes_the_pool_whoever_waits() {
    let visit = |number: u64| Visit {
        user: format!("p{number}").into(),
        start: Duration::from_secs(3600),
        length: Duration::from_secs(3600),
        protocol: crate::pool::Protocol::Ssh,
    };
    let trace = Trace::new(
        std::time::SystemTime::UNIX_EPOCH,
        (0..20).map(visit).collect(),
    );
    let mut settings = settings(&trace, 3);
    settings.policy.stabilise = Duration::from_secs(60);
    let outcome = run(&trace, &settings, Mind::policy());
    let grown = outcome
        .story
        .iter()
        .filter(|(_, what)| what.starts_with("grow"));
    let grown: Vec<_> = grown.map(|(_, what)| what.as_str()).collect();
    assert_eq!(grown.len(), 1, "{:?}", outcome.story);
    assert!(
        grown[0].starts_with("grow by 3: 20 people wait"),
        "{grown:?}"
    );
    assert_eq!(outcome.score.cold, 20);
}
