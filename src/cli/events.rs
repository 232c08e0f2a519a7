//! `poolgate events`: what was done about the pools and why, as it happened.
//!
//! Following asks again and again with a bounded wait, so that a gate that is restarted is followed on: its numbers begin
//! anew, and are read from the first.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::{Output, ShowArgs};
use super::table::{local, plain};
use super::{Failure, client, print};
use crate::telemetry::events::Event;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    show: ShowArgs,
    /// Only those of this pool
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Only the newest, so many
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// Go on with what happens from here on, until ctrl-c; as JSON, one object a line
    #[arg(short, long)]
    follow: bool,
}

/// Below the patience of whoever asks.
const WAIT_S: u64 = 5;
/// A gate that is started again takes a moment.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut reader = Reader::default();
    let mut events = reader.read(args, 0).await?;
    if let Some(last) = args.last {
        events.drain(..events.len().saturating_sub(last));
    }
    if !args.follow {
        return print::show(whole(args.show.output, &events)?.as_bytes());
    }
    tokio::select! {
        ended = follow(args, reader, events) => ended,
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("cannot wait for ctrl-c")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn follow(args: &Args, mut reader: Reader, first: Vec<Event>) -> Result<ExitCode, Failure> {
    let mut columns = Columns::default();
    let mut next = Ok(first);
    let mut is_away = false;
    loop {
        match next {
            Ok(events) => {
                is_away = false;
                let text = match args.show.output {
                    Output::Table => columns.lines(&events),
                    Output::Json => json_lines(&events)?,
                };
                if !print::go_on(text.as_bytes())? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Err(_) => {
                if !std::mem::replace(&mut is_away, true) {
                    print::remark("the gate does not answer; waiting for it");
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        next = reader.read(args, WAIT_S).await;
    }
}

/// How far one has read, in which run of the gate.
#[derive(Default)]
struct Reader {
    run: Option<String>,
    after: u64,
}

impl Reader {
    async fn read(&mut self, args: &Args, wait_s: u64) -> Result<Vec<Event>, Failure> {
        let mut path = format!("/api/v1/events?after={}&wait_s={wait_s}", self.after);
        if let Some(pool) = &args.pool {
            let pool = utf8_percent_encode(pool, NON_ALPHANUMERIC);
            path.push_str(&format!("&pool={pool}"));
        }
        let answer = client::get(&args.show.gate, &path).await?;
        let events: Vec<Event> = client::decode(&answer, &path)?;
        let is_another = self.run.is_some() && self.run != answer.run;
        self.run.clone_from(&answer.run);
        if is_another {
            // Their numbers were compared with those of a run that is over.
            self.after = 0;
            return Ok(Vec::new());
        }
        if let Some(newest) = events.last() {
            self.after = newest.number;
        }
        Ok(events)
    }
}

fn whole(output: Output, events: &[Event]) -> Result<String, Failure> {
    Ok(match output {
        Output::Table => Columns::default().lines(events),
        Output::Json => {
            serde_json::to_string_pretty(events).context("cannot write the events")? + "\n"
        }
    })
}

fn json_lines(events: &[Event]) -> Result<String, Failure> {
    let mut text = String::new();
    for event in events {
        text += &serde_json::to_string(event).context("cannot write an event")?;
        text.push('\n');
    }
    Ok(text)
}

/// Columns that stay aligned while more comes: they only widen.
#[derive(Default)]
struct Columns {
    is_begun: bool,
    place: usize,
}

impl Columns {
    fn lines(&mut self, events: &[Event]) -> String {
        let mut rows = Vec::new();
        if !std::mem::replace(&mut self.is_begun, true) {
            let headings = ["TIME", "WHERE", "EVENT", "WHAT AND WHY"];
            rows.push(headings.map(str::to_owned));
        }
        rows.extend(events.iter().map(row));
        let widths = rows.iter().map(|[_, place, ..]| place.chars().count());
        self.place = widths.fold(self.place, usize::max);
        let width = self.place;
        let lines = rows.iter().map(|[time, place, kind, text]| {
            format!("{time:19}  {place:width$}  {kind:7}  {text}\n")
        });
        lines.collect()
    }
}

fn row(event: &Event) -> [String; 4] {
    let place = match &event.instance {
        Some(instance) => format!("{}/{instance}", event.pool),
        None => event.pool.clone(),
    };
    let kind = serde_json::to_value(event.kind).unwrap_or_default();
    [
        local(event.time, "%Y-%m-%d %H:%M:%S"),
        plain(&place),
        kind.as_str().unwrap_or("-").to_owned(),
        plain(&event.text),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::events::EventKind;
    use std::time::SystemTime;

    #[test]
    fn columns_widen_and_nothing_breaks_a_line() {
        let event = |instance: Option<&str>, text: &str| Event {
            number: 1,
            time: SystemTime::UNIX_EPOCH,
            pool: "main".to_owned(),
            instance: instance.map(str::to_owned),
            kind: EventKind::Undrain,
            text: text.to_owned(),
        };
        let mut columns = Columns::default();
        let first = columns.lines(&[event(None, "one\n\u{1b}[2J")]);
        let lines: Vec<_> = first.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].ends_with("WHERE  EVENT    WHAT AND WHY"),
            "{first}"
        );
        assert!(lines[1].ends_with("main   undrain  one  [2J"), "{first}");
        let more = columns.lines(&[event(Some("vm1"), "two"), event(None, "three")]);
        let lines: Vec<_> = more.lines().collect();
        assert!(lines[0].ends_with("main/vm1  undrain  two"), "{more}");
        assert!(lines[1].ends_with("main      undrain  three"), "{more}");
        let json = json_lines(&[event(None, "x"), event(None, "y")]).unwrap();
        assert_eq!(json.lines().count(), 2);
        assert!(
            json.contains("\"time\":\"1970-01-01T00:00:00.000Z\""),
            "{json}"
        );
    }
}
