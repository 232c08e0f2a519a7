//! The command line: one file a command, each giving an exit code or a failure that is told here.
//!
//! The only part that prints. Exit codes are a contract: 0 ok, 1 failed, 2 usage, 78 bad config.

pub mod args;
pub mod check;
mod client;
mod completions;
mod cost;
mod csv;
pub mod demo;
mod doctor;
mod drain;
mod events;
mod explain;
mod healthcheck;
mod host_keys;
mod instances;
mod man;
mod notify;
mod orders;
#[cfg(test)]
mod page;
mod paint;
mod plain;
pub mod play;
mod print;
mod queue;
mod reload;
mod scale;
pub mod serve;
mod sessions;
pub mod simulate;
mod status;
mod table;
pub mod token;
pub mod top;
mod upgrade;
mod wait;
mod webhook;

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::config::Faults;
use args::{Args, Command};

/// Runs the command of this process's arguments.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    args.color.apply();
    match run_to_end(args) {
        Ok(code) => code,
        Err(failure) => failure.tell(wants_json(std::env::args_os())),
    }
}

/// Whether the command line asks for JSON, in which its failure is told as well.
fn wants_json(words: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let mut is_next = false;
    for word in words {
        let word = word.to_string_lossy();
        if is_next {
            return word == "json";
        }
        match &*word {
            "-o" | "--output" => is_next = true,
            "-ojson" | "-o=json" | "--output=json" => return true,
            "--" => return false,
            _ => {}
        }
    }
    false
}

/// Why a command ends without success.
#[derive(Debug)]
pub enum Failure {
    /// Exit code 78.
    Config(Faults),
    /// Something that only a person can set right, so that starting again helps nothing: exit code 78 as well.
    Lasting(anyhow::Error),
    /// Exit code 1.
    Other(anyhow::Error),
}

impl Failure {
    fn tell(&self, is_json: bool) -> ExitCode {
        let text = self.to_string();
        let code = match self {
            Self::Config(_) | Self::Lasting(_) => BAD_CONFIG,
            Self::Other(_) => FAILED,
        };
        let line = match (is_json, self) {
            (true, _) => {
                plain::json(&serde_json::json!({ "error": text, "exit_code": code }).to_string())
            }
            (false, Self::Config(_)) => text,
            (false, Self::Lasting(_) | Self::Other(_)) => format!("poolgate: {text}"),
        };
        print::complain(&line);
        ExitCode::from(code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(faults) => faults.fmt(f),
            Self::Lasting(error) | Self::Other(error) => f.write_str(&in_one_line(error)),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Config(faults)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

const FAILED: u8 = 1;
/// `EX_CONFIG` of sysexits.h.
const BAD_CONFIG: u8 = 78;
/// Reads of a file system that hangs must not keep the process from ending.
const STRAGGLERS: Duration = Duration::from_secs(2);

fn run_to_end(args: Args) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the program")?;
    let ended = runtime.block_on(run_command(args.command));
    runtime.shutdown_timeout(STRAGGLERS);
    ended
}

async fn run_command(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::DemoInstance(args) => demo::run_instance(args).await,
        Command::Check(args) => check::run(&args).await,
        Command::Reload(args) => reload::run(&args).await,
        Command::Upgrade(args) => upgrade::run(&args).await,
        Command::Doctor(args) => doctor::run(&args).await,
        Command::Status(args) => status::run(&args).await,
        Command::Top(args) => top::run(&args).await,
        Command::Instances(args) => instances::run(&args).await,
        Command::Sessions(args) => sessions::run(&args).await,
        Command::Queue(args) => queue::run(&args).await,
        Command::Events(args) => events::run(&args).await,
        Command::Cost(args) => cost::run(&args).await,
        Command::Cordon(args) => orders::cordon(&args).await,
        Command::Uncordon(args) => orders::uncordon(&args).await,
        Command::Drain(args) => drain::run(&args).await,
        Command::Evict(args) => orders::evict(&args).await,
        Command::Keep(args) => orders::keep(&args).await,
        Command::Move(args) => orders::send(&args).await,
        Command::Scale(args) => scale::run(&args).await,
        Command::Explain(args) => explain::run(&args).await,
        Command::Simulate(args) => simulate::run(&args),
        Command::HostKeys(args) => host_keys::run(&args),
        Command::Notify(args) => notify::run(&args).await,
        Command::Webhook(args) => webhook::run(&args).await,
        Command::Play(args) => play::run(&args).await,
        Command::Token(args) => token::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args).await,
        Command::Completions { shell } => completions::script(shell),
        Command::CompleteNames(args) => completions::names(&args).await,
        Command::Man(args) => man::run(&args),
    }
}

/// The error and its causes. Those that the text before them has told already are left out, and one that prints on several
/// lines must not look like several.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string().replace('\n', " ");
        if !line.contains(&cause) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&cause);
        }
    }
    line
}

fn usage(error: &clap::Error) -> ExitCode {
    // Also how help and the version are shown; where standard output is closed nobody reads them.
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_json_is_told_of_failures_in_json() {
        let wants = |line: &str| wants_json(line.split(' ').map(Into::into));
        for line in [
            "x status -o json",
            "x status --output=json",
            "x status -ojson",
        ] {
            assert!(wants(line), "{line}");
        }
        for line in ["x status", "x status -o table", "x notify -- -o json"] {
            assert!(!wants(line), "{line}");
        }
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("no\nroom");
        let told = anyhow::Error::from(cause).context("cannot write x");
        assert_eq!(in_one_line(&told), "cannot write x: no room");
        let told = told.context("cannot start: cannot write x: no room; make some");
        assert_eq!(
            in_one_line(&told),
            "cannot start: cannot write x: no room; make some"
        );
    }
}
