//! `poolgate events`: what was done about the pools and why, as it happened.
//!
//! Following asks again and again with a bounded wait, so that a gate that is restarted is followed on: its numbers begin
//! anew, and are read from the first. What is asked for is chosen by the gate.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::{ListArgs, ListOutput};
use super::client::Gate;
use super::paint::Meaning;
use super::table::local;
use super::{Failure, client, csv, plain, print};
use crate::config::parse_duration;
use crate::telemetry::events::{Event, EventKind};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    show: ListArgs,
    /// Only those of this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Only those of this instance, by its name or as POOL/NAME
    #[arg(long, value_name = "INSTANCE")]
    instance: Option<String>,
    /// Only those of one person: their sessions ended, their wishes to keep a machine, where they were sent
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only those of these kinds, separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_enum)]
    kind: Vec<EventKind>,
    /// Only those from then on: so long ago such as 2h, or a time such as 14:30 or 2026-11-29T14:30
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
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
    let (gate, filter) = (client::locate(&args.show.gate)?, args.filter());
    let mut events = reader.read(&gate, &filter, 0).await?;
    if let Some(last) = args.last {
        events.drain(..events.len().saturating_sub(last));
    }
    if !args.follow {
        return print::show(whole(args.show.output, &events)?.as_bytes());
    }
    tokio::select! {
        ended = follow(args, &gate, reader, events) => ended,
        () = print::reader_gone() => Ok(ExitCode::SUCCESS),
        stopped = tokio::signal::ctrl_c() => {
            stopped.context("cannot wait for ctrl-c")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn follow(
    args: &Args,
    gate: &Gate,
    mut reader: Reader,
    first: Vec<Event>,
) -> Result<ExitCode, Failure> {
    let filter = args.filter();
    let (mut columns, mut is_begun) = (Columns::default(), false);
    let mut next = Ok(first);
    let mut is_away = false;
    loop {
        match next {
            Ok(events) => {
                if std::mem::take(&mut is_away) {
                    print::remark("the gate answers again");
                }
                if std::mem::take(&mut reader.is_another) {
                    print::remark("it is another run of the gate: what follows is since its start");
                }
                let text = match args.show.output {
                    ListOutput::Table => columns.lines(&events),
                    ListOutput::Json => json_lines(&events)?,
                    ListOutput::Csv => csv_lines(&events, &mut is_begun)?,
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
        next = reader.read(gate, &filter, WAIT_S).await;
    }
}

/// How far one has read, in which run of the gate.
#[derive(Default)]
pub(super) struct Reader {
    run: Option<String>,
    after: u64,
    /// The last answer was of another run than those before.
    is_another: bool,
}

impl Reader {
    /// `filter` is more of the query; waits so long for something to tell.
    pub async fn read(
        &mut self,
        gate: &Gate,
        filter: &str,
        wait_s: u64,
    ) -> Result<Vec<Event>, Failure> {
        let mut path = format!("/api/v1/events?after={}&wait_s={wait_s}", self.after);
        path.push_str(filter);
        let answer = gate.get(&path).await?;
        let events: Vec<Event> = client::decode(&answer, &path)?;
        let is_another = self.run.is_some() && self.run != answer.run;
        self.run.clone_from(&answer.run);
        if is_another {
            // Their numbers were compared with those of a run that is over.
            self.after = 0;
            self.is_another = true;
            return Ok(Vec::new());
        }
        if let Some(newest) = events.last() {
            self.after = newest.number;
        }
        Ok(events)
    }
}

impl Args {
    /// What the gate is to choose by.
    fn filter(&self) -> String {
        let kinds: Vec<_> = self.kind.iter().map(|kind| kind.name()).collect();
        let wanted = [
            ("pool", self.pool.clone()),
            ("instance", self.instance.clone()),
            ("user", self.user.clone()),
            ("kind", (!kinds.is_empty()).then(|| kinds.join(","))),
            ("since", self.since.map(|since| since.to_string())),
        ];
        let wanted = wanted.into_iter().filter_map(|(key, value)| {
            let value = value?;
            let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
            Some(format!("&{key}={value}"))
        });
        wanted.collect()
    }
}

/// A length before now, a time of today (of yesterday, where it is still to come), or a date with its time.
fn moment(text: &str) -> Result<Timestamp, &'static str> {
    moment_before(text, &ZonedDateTime::now())
        .ok_or("write how long ago such as 2h, or a time such as 14:30 or 2026-11-29T14:30")
}

fn moment_before(text: &str, now: &ZonedDateTime) -> Option<Timestamp> {
    if let Some(ago) = parse_duration(text) {
        return now.timestamp().checked_sub(ago).ok();
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    let zone: &TimeZone = now.time_zone();
    if let Ok(at) = text.parse::<DateTime>() {
        return zone.to_timestamp(at).ok();
    }
    let at: Time = text.parse().ok()?;
    let today = zone.to_timestamp(now.date().to_datetime(at)).ok()?;
    if today <= now.timestamp() {
        return Some(today);
    }
    let yesterday = now.date().yesterday().ok()?;
    zone.to_timestamp(yesterday.to_datetime(at)).ok()
}

/// As CSV.
const COLUMNS: [&str; 7] = ["number", "time", "pool", "instance", "user", "kind", "text"];

pub(super) fn whole(output: ListOutput, events: &[Event]) -> Result<String, Failure> {
    Ok(match output {
        ListOutput::Table => Columns::default().lines(events),
        ListOutput::Csv => csv_lines(events, &mut false)?,
        ListOutput::Json => print::json(&events)?,
    })
}

fn json_lines(events: &[Event]) -> Result<String, Failure> {
    let mut text = String::new();
    for event in events {
        text += &plain::json(&serde_json::to_string(event).context("cannot write an event")?);
        text.push('\n');
    }
    Ok(text)
}

/// With the columns' names before the first.
fn csv_lines(events: &[Event], is_begun: &mut bool) -> Result<String, Failure> {
    let rows: Result<Vec<_>, _> = events.iter().map(serde_json::to_value).collect();
    let lines = csv::lines(&COLUMNS, &rows.context("cannot write an event")?);
    Ok(match std::mem::replace(is_begun, true) {
        true => lines,
        false => csv::head(&COLUMNS) + &lines,
    })
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
            rows.push((Meaning::Heading, headings.map(str::to_owned)));
        }
        rows.extend(events.iter().map(|event| (event.kind.into(), row(event))));
        let widths = rows.iter().map(|(_, [_, place, ..])| place.chars().count());
        self.place = widths.fold(self.place, usize::max);
        let width = self.place;
        let lines = rows.iter().map(|(meaning, [time, place, kind, text])| {
            let is_heading = *meaning == Meaning::Heading;
            let other = if is_heading { *meaning } else { Meaning::Plain };
            let paint = |text: String| other.paint(&text);
            format!(
                "{}  {}  {}  {}\n",
                paint(format!("{time:19}")),
                paint(format!("{place:width$}")),
                meaning.paint(&format!("{kind:7}")),
                paint(text.clone())
            )
        });
        lines.collect()
    }
}

fn row(event: &Event) -> [String; 4] {
    [
        local(event.time, "%Y-%m-%d %H:%M:%S"),
        plain::line(&event.place()),
        event.kind.name().to_owned(),
        plain::line(&event.text),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::events::EventKind;
    use std::time::SystemTime;

    #[test]
    fn a_time_is_told_in_any_way_people_write_it() {
        let now: ZonedDateTime = "2026-11-29T10:00:00[UTC]".parse().unwrap();
        for (text, expected) in [
            ("90m", "2026-11-29T08:30:00Z"),
            ("09:15", "2026-11-29T09:15:00Z"),
            ("23:00", "2026-11-28T23:00:00Z"),
            ("2026-11-20T08:00", "2026-11-20T08:00:00Z"),
            ("2026-11-20 08:00", "2026-11-20T08:00:00Z"),
            ("2026-11-20T08:00:00+01:00", "2026-11-20T07:00:00Z"),
        ] {
            let found = moment_before(text, &now);
            assert_eq!(found.unwrap().to_string(), expected, "{text}");
        }
        assert!(moment_before("lately", &now).is_none());
    }

    #[test]
    fn columns_widen_and_nothing_breaks_a_line() {
        let event = |instance: Option<&str>, text: &str| Event {
            number: 1,
            time: SystemTime::UNIX_EPOCH,
            pool: "main".to_owned(),
            instance: instance.map(str::to_owned),
            user: None,
            kind: EventKind::Undrain,
            text: text.to_owned(),
        };
        let mut columns = Columns::default();
        let mut lines_of =
            |events: &[Event]| anstream::adapter::strip_str(&columns.lines(events)).to_string();
        let first = lines_of(&[event(None, "one\n\u{1b}[2J")]);
        let lines: Vec<_> = first.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].ends_with("WHERE  EVENT    WHAT AND WHY"),
            "{first}"
        );
        assert!(
            lines[1].ends_with(r"main   undrain  one \u{1b}[2J"),
            "{first}"
        );
        let more = lines_of(&[event(Some("vm1"), "two"), event(None, "three")]);
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
