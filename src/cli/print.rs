//! Writes to standard output and standard error. A reader that has gone away (`| head`) is no failure.
//!
//! Texts may be painted; the paint goes off here where it would be seen as bytes. Whatever else would act on a terminal is written
//! out (`plain`), wherever it came from.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use super::paint::Meaning;
use super::{Failure, plain};

/// Writes what was asked for, and thereby succeeds.
pub(super) fn show(text: &[u8]) -> Result<ExitCode, Failure> {
    go_on(text)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes one JSON document.
pub(super) fn show_json(value: &impl Serialize) -> Result<ExitCode, Failure> {
    show(json(value)?.as_bytes())
}

/// A JSON document as it is shown.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    let text = serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?;
    Ok(plain::json(&text) + "\n")
}

/// Writes a part of what was asked for; false once nobody reads it any more.
pub(super) fn go_on(text: &[u8]) -> Result<bool, Failure> {
    let text = String::from_utf8_lossy(text);
    let text = plain::painted(&text);
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => {
            written.context("cannot write to standard output")?;
            Ok(true)
        }
    }
}

/// Comes back once nobody reads standard output any more, however little is written to it. Of what is no pipe nobody can tell.
pub(super) async fn reader_gone() {
    // Only watched: nothing is written by this handle, so that writers may go on waiting where the reader is slow.
    let handle = io::stdout().as_fd().try_clone_to_owned();
    let watched = handle.and_then(Sender::from_owned_fd_unchecked);
    if let Ok(watched) = watched
        && watched.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Writes a line that is not what was asked for, such as how far something is.
pub(super) fn remark(line: &str) {
    remark_painted(&plain::lines(line));
}

fn remark_painted(line: &str) {
    // With standard error closed there is nowhere to remark to.
    drop(writeln!(anstream::stderr().lock(), "{line}"));
}

/// Writes a line about what went wrong.
pub(super) fn complain(line: &str) {
    match line.strip_prefix("poolgate: ") {
        Some(rest) => {
            let (name, rest) = (Meaning::Bad.paint("poolgate:"), plain::lines(rest));
            remark_painted(&format!("{name} {rest}"));
        }
        None => remark(line),
    }
}

/// How far something is: on a terminal one line that is written anew, elsewhere a line a change.
pub(super) struct Progress {
    is_terminal: bool,
    is_begun: bool,
    last: String,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            is_begun: false,
            last: String::new(),
        }
    }

    /// `text` is what changes seldom, and `clock` what runs on between changes; that is for those who watch.
    pub fn tell(&mut self, text: &str, clock: &str) {
        let (text, clock) = (&*plain::line(text), plain::line(clock));
        let is_same = std::mem::replace(&mut self.last, text.to_owned()) == text && self.is_begun;
        self.is_begun = true;
        if self.is_terminal {
            // The line is emptied, and what does not fit is cut off, not carried over to the next.
            let line = format!("\r\x1b[K\x1b[?7l{text}{clock}\x1b[?7h");
            let mut out = io::stderr().lock();
            drop(out.write_all(line.as_bytes()).and_then(|()| out.flush()));
        } else if !is_same {
            remark(text);
        }
    }

    /// The line stays as it is, and what comes next begins another.
    pub fn end(&mut self) {
        if self.is_terminal && std::mem::take(&mut self.is_begun) {
            remark("");
        }
    }
}
