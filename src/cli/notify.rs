//! `poolgate notify`: a line in people's terminals, and a page in their browsers.

use std::process::ExitCode;

use anyhow::{Context, anyhow};
use hyper::StatusCode;

use super::args::NotifyArgs;
use super::{Failure, client, print};
use crate::admin::{Given, Notice};
use crate::pool::SessionId;

const PATH: &str = "/api/v1/notices";

pub(super) async fn run(args: &NotifyArgs) -> Result<ExitCode, Failure> {
    let session = args.session.as_deref().map(str::parse::<SessionId>);
    let notice = Notice {
        session: session.transpose().context("--session")?,
        user: args.user.clone(),
        instance: args.instance.clone(),
        text: args.text.join(" "),
        deadline_s: args.deadline.map(|after| after.as_secs()),
    };
    let body = serde_json::to_vec(&notice).context("cannot write the request")?;
    let answer = client::post(&args.gate, PATH, body.into()).await?;
    if answer.status != StatusCode::OK {
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let hint = match answer.status {
            StatusCode::NOT_FOUND => {
                "; notices are taken on the admin socket only: open admin.socket"
            }
            _ => "",
        };
        return Err(anyhow!(
            "the gate answered {} to {PATH}: {body}{hint}",
            answer.status
        )
        .into());
    }
    let given: Given =
        serde_json::from_slice(&answer.body).context("the gate's answer is not of this version")?;
    print::show(format!("given to {} sessions\n", given.sessions).as_bytes())
}
