//! `poolgate play`: shows a recording in a terminal, with its own pauses or shorter ones.
//!
//! The whole file is read first, so that a broken one is refused and not shown in part. A terminal gets the text without
//! what could act on it beyond the screen (`screen`); where standard output is no terminal, the text goes out as it was
//! recorded and without a pause, for other programs.

mod cast;
mod screen;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::cast::{Event, Kind, Reader};
use self::screen::Screen;
use super::Failure;
use crate::config::parse_duration;

/// Shows a recording of a terminal, as `[pools.NAME.recording]` makes them.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// An asciicast file of version 2
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How many times faster than it happened, such as 2 or 0.5
    #[arg(long, value_name = "N", default_value = "1", value_parser = speed)]
    speed: f64,
    /// No pause is longer than this, such as 2s or 500ms
    #[arg(long, value_name = "TIME", value_parser = length)]
    idle_max: Option<Duration>,
}

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut recording = open(&args.file)?;
    let header_idle = check(&mut recording).map_err(|fault| at(&args.file, &fault))?;
    let mut recording = open(&args.file)?;
    let out = io::stdout().lock();
    let pace = Pace {
        speed: args.speed,
        idle_max: args.idle_max.or(header_idle),
    };
    let played = match out.is_terminal() {
        true => {
            let stop = signal(SignalKind::interrupt()).context("cannot wait for ctrl-c")?;
            play(&mut recording, pace, out, Some(stop)).await
        }
        false => copy(&mut recording, out),
    };
    match played {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Stopped::Broken(fault)) => Err(at(&args.file, &fault).into()),
        // Whoever was reading has seen enough.
        Err(Stopped::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(Stopped::Output(error)) => Err(error).context("cannot write to standard output")?,
    }
}

/// Between the events of a recording.
#[derive(Clone, Copy, Debug)]
struct Pace {
    speed: f64,
    idle_max: Option<Duration>,
}

impl Pace {
    fn pause(self, between: Duration) -> Duration {
        // The longest pause that can be asked for is what stands in the file.
        let pause = Duration::try_from_secs_f64(between.as_secs_f64() / self.speed);
        let pause = pause.unwrap_or(Duration::MAX);
        self.idle_max.map_or(pause, |max| pause.min(max))
    }
}

#[derive(Debug)]
enum Stopped {
    Broken(cast::Fault),
    Output(io::Error),
}

impl From<cast::Fault> for Stopped {
    fn from(fault: cast::Fault) -> Self {
        Self::Broken(fault)
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Reads all of it; gives the pause the file itself asks for at most.
fn check(recording: &mut Reader<impl BufRead>) -> Result<Option<Duration>, cast::Fault> {
    let header = recording.header()?;
    while recording.event()?.is_some() {}
    Ok(header.idle_max)
}

/// Shows it on a terminal, and leaves that as a shell expects it, at the end as well as after ctrl-c.
async fn play(
    recording: &mut Reader<impl BufRead>,
    pace: Pace,
    mut out: impl Write,
    mut stop: Option<Signal>,
) -> Result<(), Stopped> {
    recording.header()?;
    let mut screen = Screen::default();
    let mut last = Duration::ZERO;
    let mut text = String::new();
    let mut played = Ok(());
    while let Some(event) = recording.event()? {
        let pause = pace.pause(event.at.saturating_sub(last));
        last = event.at;
        if !pause.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopped(&mut stop) => break,
            }
        }
        let Event {
            kind: Kind::Output,
            data,
            ..
        } = event
        else {
            continue;
        };
        text.clear();
        screen.filter(&data, &mut text);
        played = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if played.is_err() {
            break;
        }
    }
    let left = out
        .write_all(screen::LEAVE.as_bytes())
        .and_then(|()| out.flush());
    Ok(played.and(left)?)
}

async fn stopped(stop: &mut Option<Signal>) {
    match stop {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The recorded output as it was.
fn copy(recording: &mut Reader<impl BufRead>, mut out: impl Write) -> Result<(), Stopped> {
    recording.header()?;
    while let Some(event) = recording.event()? {
        if event.kind == Kind::Output {
            out.write_all(event.data.as_bytes())?;
        }
    }
    Ok(out.flush()?)
}

fn open(path: &Path) -> anyhow::Result<Reader<BufReader<File>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Reader::new(BufReader::new(file)))
}

fn at(path: &Path, fault: &cast::Fault) -> anyhow::Error {
    anyhow::anyhow!("{}:{fault}", path.display())
}

fn speed(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|number| (0.001..=1000.0).contains(number));
    number.ok_or_else(|| "write a number from 0.001 to 1000".to_owned())
}

fn length(text: &str) -> Result<Duration, String> {
    let write = "write a number with its unit (ms s m h d), such as 2s or 500ms";
    parse_duration(text).ok_or_else(|| write.to_owned())
}
