//! Writes to standard output and standard error. A reader that has gone away (`| head`) is no failure.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use super::Failure;

/// Writes what was asked for, and thereby succeeds.
pub(super) fn show(text: &[u8]) -> Result<ExitCode, Failure> {
    go_on(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one JSON document.
pub(super) fn show_json(value: &impl Serialize) -> Result<ExitCode, Failure> {
    let text = serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?;
    show(format!("{text}\n").as_bytes())
}

/// Writes a part of what was asked for; false once nobody reads it any more.
pub(super) fn go_on(text: &[u8]) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => {
            written.context("cannot write to standard output")?;
            Ok(true)
        }
    }
}

/// Writes a line that is not what was asked for, such as how far something is.
pub(super) fn remark(line: &str) {
    complain(line);
}

/// Writes a line about what went wrong.
pub(super) fn complain(line: &str) {
    // With standard error closed there is nowhere to complain to.
    drop(writeln!(io::stderr().lock(), "{line}"));
}
