//! `poolgate scale`: have a pool at least so many machines for a while.

use std::process::ExitCode;
use std::time::Duration;

use super::args::{GateArgs, Output, duration};
use super::table::{plain, span};
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
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let request = ScaleRequest {
        pool: args.pool.clone(),
        machines: args.machines,
        hold_s: args.hold.as_secs(),
        is_dry_run: args.dry_run,
    };
    let answer: ScaleAnswer = client::order(&args.gate, "/api/v1/scale", &request).await?;
    match args.output {
        Output::Table => print::show(to_text(&request, &answer).as_bytes()),
        Output::Json => print::show_json(&answer),
    }
}

fn to_text(request: &ScaleRequest, answer: &ScaleAnswer) -> String {
    let (pool, machines) = (&request.pool, request.machines);
    let hold = span(Duration::from_secs(request.hold_s));
    let has = match request.is_dry_run {
        true => "would have",
        false => "has",
    };
    let mut text = format!("{pool} {has} at least {machines} machines for {hold}:\n");
    if answer.steps.is_empty() {
        text.push_str("  there is nothing to do at this moment\n");
    }
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
        let request = ScaleRequest {
            pool: "main".to_owned(),
            machines: 5,
            hold_s: 7200,
            is_dry_run: true,
        };
        let told = "main would have at least 5 machines for 2h 0m:\n  grow by 2\nnote: a boot takes 4 minutes\n";
        assert_eq!(to_text(&request, &answer), told);
        let nothing = to_text(&request, &ScaleAnswer::default());
        assert!(nothing.ends_with("\n  there is nothing to do at this moment\n"));
    }
}
