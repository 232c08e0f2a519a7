//! `poolgate healthcheck`: whether the gate lives, or with `--ready` whether a login could succeed.
//!
//! Living is the default, since restarting a gate whose instances are all down only ends the sessions it still has.

use std::process::ExitCode;

use anyhow::anyhow;
use hyper::StatusCode;

use super::args::HealthcheckArgs;
use super::{Failure, client};

pub(super) async fn run(args: &HealthcheckArgs) -> Result<ExitCode, Failure> {
    let path = if args.ready { "/readyz" } else { "/livez" };
    let answer = client::get(&args.gate, path).await?;
    if answer.status == StatusCode::OK {
        return Ok(ExitCode::SUCCESS);
    }
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    Err(anyhow!("the gate answered {} to {path}: {body}", answer.status).into())
}
