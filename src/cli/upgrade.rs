//! `poolgate upgrade`: the gate starts the program that is installed by now, which takes its place; what comes of it is watched.
//!
//! The gate does it, and goes on with it whatever becomes of this command. Who answers after the order tells how it ended: the gate
//! that was asked goes on, or another one has its place.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::args::{GateArgs, Output};

use super::wait::{self, Look};
use super::{Failure, client, plain, print};
use crate::admin::{Upgrade, UpgradeOrder, UpgradeStep, UpgradeView};

/// A gate that is killed in the middle is started again by whoever looks after it, or not at all.
const SILENCE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gate: GateArgs,
    /// Why, for those who read `poolgate events` and the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// A program in place of the one at the path that the gate was started by; for root and the gate's own account
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Only try the program: whether it runs there, takes the configuration, and could be given the place
    #[arg(long)]
    dry_run: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How it ended, as JSON.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Ended {
    /// Of the gate that serves.
    pid: u32,
    version: String,
    /// Of the gate that was asked, which keeps its sessions.
    before: Before,
    is_dry_run: bool,
    text: String,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Before {
    pid: u32,
    version: String,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let absolute = args.program.as_ref().map(std::path::absolute).transpose();
    let order = UpgradeOrder {
        reason: args.reason.clone(),
        program: absolute.context("--program")?,
        is_dry_run: args.dry_run,
    };
    let asked: UpgradeView = client::order(&args.gate, PATH, &order).await?;
    let number = asked.order.as_ref().map_or(0, |order| order.number);
    let going_on = "the upgrade goes on without this command; `poolgate events` tells how it ends";
    let mut heard = Instant::now();
    let ended = wait::until(going_on, async || {
        match client::read::<UpgradeView>(&args.gate, PATH).await {
            Ok(view) => {
                heard = Instant::now();
                Ok(judge(&asked, number, &view))
            }
            Err(_) if heard.elapsed() < SILENCE_MAX => Ok(Look::GoesOn {
                text: "the gate does not answer; waiting for it".to_owned(),
                clock: String::new(),
            }),
            Err(_) => Ok(Look::CalledOff(format!(
                "nobody has answered for {} s: look at the gate's log, and at `poolgate status`",
                SILENCE_MAX.as_secs()
            ))),
        }
    });
    let ended = ended.await?;
    match args.output {
        Output::Table => print::show(format!("{}\n", plain::line(&ended.text)).as_bytes()),
        Output::Json => print::show_json(&ended),
    }
}

const PATH: &str = "/api/v1/upgrade";

/// What an answer says of the order with this number, which `asked` was given.
fn judge(asked: &UpgradeView, number: u64, view: &UpgradeView) -> Look<Ended> {
    let ended = |text: String, is_dry_run| {
        Look::Done(Ended {
            pid: view.pid,
            version: view.version.clone(),
            before: Before {
                pid: asked.pid,
                version: asked.version.clone(),
            },
            is_dry_run,
            text,
        })
    };
    if view.pid != asked.pid {
        let (pid, version) = (view.pid, &view.version);
        return match &view.took_over {
            Some(before) if before.pid == asked.pid => ended(
                format!(
                    "version {version} (pid {pid}) serves; version {} (pid {}) keeps its sessions until they end",
                    before.version, before.pid
                ),
                false,
            ),
            _ => Look::CalledOff(format!(
                "the gate that was asked (pid {}) has ended, and another one (pid {pid}, version {version}) has been started",
                asked.pid
            )),
        };
    }
    let Some(order) = view.order.as_ref().filter(|order| order.number == number) else {
        return Look::CalledOff("somebody has ordered another upgrade meanwhile".to_owned());
    };
    match &order.outcome {
        Some(outcome) if order.is_dry_run && outcome.is_good => ended(outcome.text.clone(), true),
        // The newer one answers next.
        Some(outcome) if outcome.is_good => goes_on(outcome.text.clone()),
        Some(outcome) if order.is_dry_run => {
            Look::CalledOff(format!("it would not be given the place: {}", outcome.text))
        }
        Some(outcome) => Look::CalledOff(format!(
            "no upgrade, and the gate goes on as before: {}",
            outcome.text
        )),
        None => goes_on(step(order)),
    }
}

fn goes_on(text: String) -> Look<Ended> {
    Look::GoesOn {
        text,
        clock: String::new(),
    }
}

fn step(order: &Upgrade) -> String {
    let program = order.program.display();
    let version = order.version.as_deref().unwrap_or("the new version");
    let text = match order.step {
        UpgradeStep::Check => {
            format!("{program}: does it run here, and does it take the configuration?")
        }
        UpgradeStep::Start => format!("{version} is started"),
        UpgradeStep::GetReady => {
            format!(
                "{version} builds everything and waits until it sees the instances; the gate serves meanwhile"
            )
        }
    };
    plain::line(&text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{TookOver, UpgradeOutcome};
    use std::time::SystemTime;

    fn view(pid: u32, outcome: Option<(bool, &str)>, is_dry_run: bool) -> UpgradeView {
        UpgradeView {
            pid,
            version: format!("{pid}.0"),
            order: Some(Upgrade {
                number: 3,
                by: "ada".to_owned(),
                reason: None,
                program: "/usr/bin/poolgate".into(),
                is_dry_run,
                began: SystemTime::UNIX_EPOCH,
                step: UpgradeStep::GetReady,
                version: Some("2.0".to_owned()),
                outcome: outcome.map(|(is_good, text)| UpgradeOutcome {
                    is_good,
                    text: text.to_owned(),
                }),
            }),
            took_over: None,
        }
    }

    fn told(view: &UpgradeView) -> (&'static str, String) {
        let asked = self::view(1, None, false);
        match judge(&asked, 3, view) {
            Look::GoesOn { text, .. } => ("goes on", text),
            Look::Done(ended) => ("done", ended.text),
            Look::CalledOff(why) => ("off", why),
        }
    }

    #[test]
    fn whoever_answers_tells_how_it_ends() {
        let (word, text) = told(&view(1, None, false));
        assert!(
            word == "goes on" && text.starts_with("2.0 builds"),
            "{text}"
        );
        let (word, text) = told(&view(1, Some((false, "no such file")), false));
        assert_eq!(
            (word, &*text),
            (
                "off",
                "no upgrade, and the gate goes on as before: no such file"
            )
        );
        assert_eq!(
            told(&view(1, Some((true, "it would")), true)),
            ("done", "it would".to_owned())
        );
        assert_eq!(told(&view(1, Some((false, "it is text")), true)).0, "off");
        // It was given away, and the next question goes to the newer one.
        assert_eq!(told(&view(1, Some((true, "serves")), false)).0, "goes on");
        let mut newer = view(2, None, false);
        assert_eq!(told(&newer).0, "off", "it was started anew");
        newer.took_over = Some(TookOver {
            pid: 1,
            version: "1.0".to_owned(),
            at: SystemTime::UNIX_EPOCH,
            by: None,
            reason: None,
        });
        let (word, text) = told(&newer);
        assert_eq!(word, "done");
        assert!(
            text.starts_with("version 2.0 (pid 2) serves; version 1.0 (pid 1) keeps"),
            "{text}"
        );
        let mut other = view(1, None, false);
        other.order.as_mut().unwrap().number = 4;
        assert_eq!(told(&other).0, "off");
    }
}
