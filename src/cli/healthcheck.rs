//! `poolgate healthcheck`: whether the gate lives, or with `--ready` whether a login could succeed.
//!
//! Living is the default, since restarting a gate whose instances are all down only ends the sessions it still has.

use std::process::ExitCode;

use anyhow::anyhow;
use hyper::StatusCode;

use super::args::{HealthcheckArgs, Output};
use super::{Failure, client, plain, print};

pub(super) async fn run(args: &HealthcheckArgs) -> Result<ExitCode, Failure> {
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = client::get(&args.show.gate, path).await?;
    let body = String::from_utf8_lossy(&answer.body);
    if answer.status != StatusCode::OK {
        return Err(anyhow!("the gate answered {} to {path}: {body}", answer.status).into());
    }
    match args.show.output {
        // Whoever checks health reads the exit code.
        Output::Table => Ok(ExitCode::SUCCESS),
        Output::Json => print::show((plain::json(&body) + "\n").as_bytes()),
    }
}
