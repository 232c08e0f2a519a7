//! `poolgate explain`: why something is as it is, in sentences.

use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::{ExplainArgs, Explained, IdleArgs};
use super::{Failure, client};
use crate::pool::idle::Idle;

pub(super) async fn run(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        Explained::Idle(args) => explain_idle(args).await,
    }
}

async fn explain_idle(args: &IdleArgs) -> Result<ExitCode, Failure> {
    let instance = utf8_percent_encode(&args.instance, NON_ALPHANUMERIC);
    let path = format!("/api/v1/idle?instance={instance}");
    client::show(&args.show, &path, |idle: Idle| format!("{idle}\n")).await
}
