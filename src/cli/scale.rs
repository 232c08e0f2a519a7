//! `poolgate scale`: have a pool at least so many machines for a while.

use std::process::ExitCode;
use std::time::Duration;

use super::args::{GateArgs, duration};
use super::table::plain;
use super::{Failure, client, print};
use crate::admin::{ScaleAnswer, ScaleRequest};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gate: GateArgs,
    #[arg(value_name = "POOL")]
    pool: String,
    /// Machines that it should have at least; those above that nobody needs are drained
    #[arg(value_name = "N")]
    machines: u32,
    /// For how long; then the policy alone says how many
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    hold: Duration,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let request = ScaleRequest {
        pool: args.pool.clone(),
        machines: args.machines,
        hold_s: args.hold.as_secs(),
        is_dry_run: args.dry_run,
    };
    let answer: ScaleAnswer = client::order(&args.gate, "/api/v1/scale", &request).await?;
    print::show(to_text(&answer, args.dry_run).as_bytes())
}

fn to_text(answer: &ScaleAnswer, is_dry_run: bool) -> String {
    let mut text = match (answer.steps.is_empty(), is_dry_run) {
        (true, _) => "there is nothing to do\n",
        (false, true) => "this would be done:\n",
        (false, false) => "this is done:\n",
    }
    .to_owned();
    for step in &answer.steps {
        text.push_str(&format!("  {}\n", plain(step)));
    }
    for note in &answer.notes {
        text.push_str(&format!("note: {}\n", plain(note)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_step_by_step() {
        let answer = ScaleAnswer {
            steps: vec!["grow by 2".to_owned()],
            notes: vec!["a boot takes 4 minutes".to_owned()],
        };
        let told = "this would be done:\n  grow by 2\nnote: a boot takes 4 minutes\n";
        assert_eq!(to_text(&answer, true), told);
        let nothing = to_text(&ScaleAnswer::default(), false);
        assert_eq!(nothing, "there is nothing to do\n");
    }
}
