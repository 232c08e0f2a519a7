//! `poolgate reload`: has the gate read its configuration again, and tells what changed or every fault that keeps the old one.

use std::process::ExitCode;

use anyhow::anyhow;

use super::args::{Output, ShowArgs};
use super::{BAD_CONFIG, Failure, client, plain, print};
use crate::admin::Reloaded;
use crate::config;
use crate::state::lock_holder;

pub(super) async fn run(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let asked = client::ask_to(&args.gate, "/api/v1/reload").await;
    let asked = asked.map_err(|failure| elsewhere(args, failure))?;
    if let Some(faults) = asked.unprocessable() {
        print::complain(&faults);
        print::complain("poolgate: the gate goes on with the configuration it has");
        return Ok(ExitCode::from(BAD_CONFIG));
    }
    let reloaded: Reloaded = client::decode(&asked, "/api/v1/reload")?;
    let text = match args.output {
        Output::Json => print::json(&reloaded)?,
        Output::Table if reloaded.is_empty() => "read again: nothing has changed\n".to_owned(),
        Output::Table => {
            let lines = reloaded.lines().into_iter();
            lines.map(|line| plain::line(&line) + "\n").collect()
        }
    };
    print::show(text.as_bytes())
}

/// The file may name another socket than the one at which the gate still answers.
fn elsewhere(args: &ShowArgs, failure: Failure) -> Failure {
    let gate = &args.gate;
    let is_named = gate.socket.is_some() || gate.url.is_some();
    let file = config::file_to_read(gate.config.config.as_deref());
    let folder = || {
        config::load(Some(&file))
            .ok()
            .map(|config| config.state_dir)
    };
    let holder = || lock_holder(&folder()?).ok().flatten();
    match (failure, holder) {
        (Failure::Other(error), holder) if !is_named => match holder() {
            Some(owner) => {
                let signal = owner.replacen("pid", "kill -HUP", 1);
                Failure::Other(anyhow!(
                    "{error:#}. A gate ({owner}) is at work with this state_dir: {signal} has it read the file, too"
                ))
            }
            None => Failure::Other(error),
        },
        (failure, _) => failure,
    }
}
