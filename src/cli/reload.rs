//! `poolgate reload`: has the gate read its configuration again, and tells what changed or every fault that keeps the old one.

use std::process::ExitCode;

use super::args::{Output, ShowArgs};
use super::{BAD_CONFIG, Failure, client, print};
use crate::admin::Reloaded;

pub(super) async fn run(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let asked = client::ask_to(&args.gate, "/api/v1/reload").await?;
    if let Some(faults) = asked.unprocessable() {
        print::complain(&faults);
        print::complain("poolgate: the gate goes on with the configuration it has");
        return Ok(ExitCode::from(BAD_CONFIG));
    }
    let reloaded: Reloaded = client::decode(&asked, "/api/v1/reload")?;
    let text = match args.output {
        Output::Json => format!("{:#}\n", serde_json::json!(reloaded)),
        Output::Table if reloaded.changes.is_empty() => {
            "read again: nothing has changed\n".to_owned()
        }
        Output::Table => {
            let lines = reloaded.changes.iter().map(|change| format!("{change}\n"));
            lines.collect()
        }
    };
    print::show(text.as_bytes())
}
