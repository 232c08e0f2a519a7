//! `poolgate simulate`: how the pool of a configuration would have fared with a week of logins, and what others would
//! have made of it.
//!
//! It asks no gate and no cloud. The world is `simulate`'s; here are files in, a table, JSON and a picture out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use serde::Serialize;

use super::args::{ConfigArgs, Output};
use super::table::{span, table};
use super::{Failure, print};
use crate::config::{self, PoolConfig, parse_duration};
use crate::pool::{Now, PlacementPolicy};
use crate::scaling::cost::{Prices, hours};
use crate::scaling::{Bounds, Headroom, PolicyConfig, Schedule};
use crate::simulate::outcome::{Sample, Score};
use crate::simulate::{
    Faults, Mind, Outcome, Settings, Shape, Trace, chart, clairvoyant, run as play,
};

#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Logins to play: an audit log, or a table of user,start,end,protocol
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "generate",
        conflicts_with = "generate"
    )]
    trace: Option<PathBuf>,
    /// A week to play: an office, an office with a class at 13:00, or sessions that last for days
    #[arg(long, value_enum)]
    generate: Option<Generated>,
    /// What chance begins with: the same seed gives the same run
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Another configuration to play as well
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The pool whose rules are played [default: the default one]
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// How long a boot takes in the mean
    #[arg(long, value_name = "TIME", default_value = "4m", value_parser = boot_time)]
    boot: Duration,
    /// Let boots fail, machines be evicted, listings lie and clocks jump
    #[arg(long)]
    faults: bool,
    /// Also tell every step and its reason
    #[arg(long)]
    story: bool,
    /// Draw people, seats and waits
    #[arg(long, value_name = "FILE.svg")]
    chart: Option<PathBuf>,
    /// Write each person's share of the machine time
    #[arg(long, value_name = "FILE.csv")]
    costs: Option<PathBuf>,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Generated {
    Diurnal,
    Class,
    Tails,
}

/// What `-o json` prints.
#[derive(Serialize)]
struct Report {
    sessions: usize,
    /// Machine-hours of a plan that knows when everybody leaves.
    clairvoyant_hours: f64,
    /// Of one that knows when people come and not when they leave.
    blind_hours: f64,
    /// Of one that may also move people: nothing can be below.
    bound_hours: f64,
    scores: Vec<Score>,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let trace = trace_of(args)?;
    let (settings, label) = settings_of(args, args.config.config.as_deref(), &trace)?;
    let machines = trace.most().div_ceil(settings.capacity.max(1));
    let mut runs = vec![play_as(&label, &trace, &settings, Mind::policy())];
    if let Some(other) = &args.against {
        let (settings, label) = settings_of(args, Some(other), &trace)?;
        runs.push(play_as(&label, &trace, &settings, Mind::policy()));
    }
    for mind in Mind::rivals(machines) {
        let name = mind.name().to_owned();
        runs.push(play_as(&name, &trace, &settings, mind));
    }
    if let Some(file) = &args.chart {
        let panels = runs.iter();
        let panels = panels.map(|run| (run.score.mind.clone(), run.samples.clone()));
        let panels: Vec<(String, Vec<Sample>)> = panels.collect();
        write(file, &chart::svg(&panels))?;
    }
    if let (Some(file), Some(first)) = (&args.costs, runs.first()) {
        write(file, &first.costs_csv)?;
    }
    let settled = clairvoyant::settled(&trace, settings.capacity, settings.boot);
    let blind = clairvoyant::blind(&trace, settings.capacity, settings.boot);
    let bound = clairvoyant::bound(&trace, settings.capacity, settings.boot);
    let report = Report {
        sessions: trace.visits.len(),
        clairvoyant_hours: hours(settled),
        blind_hours: hours(blind),
        bound_hours: hours(bound),
        scores: runs.iter().map(|run| run.score.clone()).collect(),
    };
    let text = match args.output {
        Output::Json => print::json(&report)?,
        Output::Table => tell(args, &report, &runs),
    };
    print::show(text.as_bytes())
}

fn play_as(label: &str, trace: &Trace, settings: &Settings, mind: Mind) -> Outcome {
    let mut outcome = play(trace, settings, mind);
    label.clone_into(&mut outcome.score.mind);
    outcome
}

fn trace_of(args: &Args) -> Result<Trace, Failure> {
    let shape = args.generate.map(|generated| match generated {
        Generated::Diurnal => Shape::Diurnal,
        Generated::Class => Shape::Class,
        Generated::Tails => Shape::Tails,
    });
    if let Some(shape) = shape {
        return Ok(shape.trace(args.seed));
    }
    let file = args.trace.as_deref().unwrap_or(Path::new("-"));
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let trace = Trace::read(&text);
    Ok(trace.with_context(|| format!("cannot play {}", file.display()))?)
}

/// Without a file, the defaults of the configuration; for the class its reservation as well.
fn settings_of(
    args: &Args,
    file: Option<&Path>,
    trace: &Trace,
) -> Result<(Settings, String), Failure> {
    let mut policy = PolicyConfig::new(Schedule::always(Bounds {
        min: 0,
        max: trace.most().div_ceil(8).saturating_mul(2),
        headroom: Headroom::Seats(2),
        placement: PlacementPolicy::Auto,
    }));
    if args.generate == Some(Generated::Class) {
        policy.schedule.reservations = Shape::class_reservations();
    }
    let mut settings = Settings {
        policy,
        capacity: 8,
        affinity: Duration::from_secs(12 * 3600),
        boot: args.boot,
        prices: Prices::default(),
        faults: match args.faults {
            true => Faults::plenty(),
            false => Faults::default(),
        },
        seed: args.seed,
        clock: Now {
            instant: Instant::now(),
            wall: trace.begins,
        },
        is_checked: false,
    };
    let Some(file) = file else {
        return Ok((settings, "poolgate".to_owned()));
    };
    let pools = config::load(Some(file))?.pools;
    let is_meant = |(name, pool): &(&String, &PoolConfig)| match &args.pool {
        Some(wanted) => wanted == *name,
        None => pool.default,
    };
    let (_, pool) = pools.iter().find(is_meant).ok_or_else(|| {
        let name = args.pool.as_deref().unwrap_or("default");
        anyhow!("{} has no pool named {name}", file.display())
    })?;
    settings.policy = PolicyConfig::of_pool(pool);
    settings.prices = Prices::of_pool(pool);
    settings.capacity = pool.capacity;
    settings.affinity = pool.affinity;
    Ok((settings, file.display().to_string()))
}

fn tell(args: &Args, report: &Report, runs: &[Outcome]) -> String {
    let headings = [
        "WHO", "HOURS", "COST", "IDLE", "BOOTING", "P50", "P95", "MAX", "WAITED", "COLD",
        "COLD MAX", "REFUSED", "KILLED", "LOST", "ORDERS",
    ];
    let rows = report.scores.iter().map(row);
    let mut text = table(headings, rows);
    text.push_str(&format!(
        "{} sessions. Knowing when everybody comes: {:.0} machine-hours; when everybody leaves, too: {:.0}; moving people as well, \
         which nobody can: {:.0}.\n\
         Waits are of logins that came while a machine was up; the others are cold.\n",
        report.sessions, report.blind_hours, report.clairvoyant_hours, report.bound_hours
    ));
    for run in runs {
        let bars = chart::bars(&run.samples, |sample| sample.seats);
        text.push_str(&format!("|{bars}| seats of {}\n", run.score.mind));
    }
    if let Some(first) = runs.first() {
        let bars = chart::bars(&first.samples, |sample| sample.people);
        text.push_str(&format!("|{bars}| people\n"));
        for (at, what) in first.story.iter().filter(|_| args.story) {
            text.push_str(&format!("{:>8}  {what}\n", span(*at)));
        }
    }
    text
}

fn row(score: &Score) -> [String; 15] {
    let seconds = |length: f64| format!("{length:.0}s");
    [
        score.mind.clone(),
        format!("{:.0}", score.machine_hours),
        format!("{:.2}", score.cost),
        format!("{:.0}", score.idle_hours),
        format!("{:.0}", score.booting_hours),
        seconds(score.wait_p50_s),
        seconds(score.wait_p95_s),
        seconds(score.wait_max_s),
        score.waited.to_string(),
        score.cold.to_string(),
        seconds(score.cold_max_s),
        score.refusals.to_string(),
        score.kills.to_string(),
        score.losses.to_string(),
        score.writes.to_string(),
    ]
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(())
}

fn boot_time(text: &str) -> Result<Duration, &'static str> {
    let time = parse_duration(text).filter(|time| *time <= Duration::from_secs(7200));
    time.ok_or("write a time of at most 2h, such as 4m")
}

#[cfg(test)]
mod tests {
    use super::super::args::{Args as Line, Command};
    use super::*;
    use clap::Parser;

    fn args(line: &str) -> Args {
        let line = Line::try_parse_from(line.split(' ')).unwrap();
        let Command::Simulate(args) = line.command else {
            panic!("another command");
        };
        args
    }

    #[test]
    fn something_must_be_played_and_one_thing_only() {
        assert!(Line::try_parse_from(["poolgate", "simulate"]).is_err());
        let both = [
            "poolgate",
            "simulate",
            "--trace",
            "x",
            "--generate",
            "class",
        ];
        assert!(Line::try_parse_from(both).is_err());
    }

    #[test]
    fn a_configuration_sets_the_rules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = root.join("tests/config/valid/scaling.toml");
        let line = format!("poolgate simulate --generate class -c {}", file.display());
        let args = args(&line);
        let trace = trace_of(&args).unwrap();
        let (settings, _) = settings_of(&args, Some(&file), &trace).unwrap();
        assert_eq!(settings.policy.schedule.phases.len(), 4);
        assert_eq!(settings.policy.schedule.reservations.len(), 2);
        assert_eq!(settings.prices.regular, 0.096);
    }
}
