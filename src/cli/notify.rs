//! `poolgate notify`: a line in people's terminals, and a page in their browsers.

use std::process::ExitCode;

use anyhow::Context;

use super::args::{NotifyArgs, Output};
use super::{Failure, client, print};
use crate::admin::{Given, Notice};
use crate::pool::SessionId;

pub(super) async fn run(args: &NotifyArgs) -> Result<ExitCode, Failure> {
    let session = args.session.as_deref().map(str::parse::<SessionId>);
    let notice = Notice {
        session: session.transpose().context("--session")?,
        user: args.user.clone(),
        instance: args.instance.clone(),
        text: args.text.join(" "),
        deadline_s: args.deadline.map(|after| after.as_secs()),
        is_dry_run: args.dry_run,
    };
    let given: Given = client::order(&args.gate, "/api/v1/notices", &notice).await?;
    let verb = match args.dry_run {
        true => "would be given",
        false => "given",
    };
    match args.output {
        Output::Table => print::show(format!("{verb} to {} sessions\n", given.sessions).as_bytes()),
        Output::Json => print::show_json(&given),
    }
}
