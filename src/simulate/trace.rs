//! Who wants to be on the pool, from when to when: read from our audit log or from a table.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Deserialize;

use crate::pool::Protocol;

/// One wish to be on the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    pub user: Arc<str>,
    /// After the trace's beginning.
    pub start: Duration,
    pub length: Duration,
    pub protocol: Protocol,
}

/// Visits in the order of their start.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub begins: SystemTime,
    pub visits: Vec<Visit>,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TraceFault {
    pub line: usize,
    pub what: String,
}

/// As a line of either kind says it.
struct Stay {
    user: Arc<str>,
    start: Timestamp,
    end: Timestamp,
    protocol: Protocol,
}

/// The lines of an audit log that matter here.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line {
    End {
        time: String,
        session: String,
        user: Option<String>,
        protocol: Protocol,
        duration_s: f64,
    },
    #[serde(other)]
    Other,
}

impl Trace {
    /// Reads an audit log (one object of JSON a line) or a table with the columns user, start, end and protocol.
    ///
    /// # Errors
    /// When a line cannot be read; when there is no visit at all.
    pub fn read(text: &str) -> Result<Self, TraceFault> {
        let is_json = text.trim_start().starts_with('{');
        let mut stays = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            let is_heading = index == 0 && line.starts_with("user,");
            if line.is_empty() || line.starts_with('#') || is_heading {
                continue;
            }
            let stay = match is_json {
                true => audit_line(line),
                false => table_line(line).map(Some),
            };
            let fault = |what| TraceFault {
                line: index + 1,
                what,
            };
            stays.extend(stay.map_err(fault)?);
        }
        Self::of(stays).ok_or_else(|| TraceFault {
            line: 1,
            what: "there is no session in it".to_owned(),
        })
    }

    pub fn new(begins: SystemTime, mut visits: Vec<Visit>) -> Self {
        visits.sort_by(|a, b| (a.start, &a.user).cmp(&(b.start, &b.user)));
        Self { begins, visits }
    }

    fn of(stays: Vec<Stay>) -> Option<Self> {
        let first = stays.iter().map(|stay| stay.start).min()?;
        let begins = SystemTime::try_from(first).ok()?;
        let visits = stays.into_iter().map(|stay| Visit {
            user: stay.user,
            start: Duration::try_from(stay.start.duration_since(first)).unwrap_or_default(),
            length: Duration::try_from(stay.end.duration_since(stay.start)).unwrap_or_default(),
            protocol: stay.protocol,
        });
        Some(Self::new(begins, visits.collect()))
    }

    /// Until the last has gone, if nobody waits.
    pub fn length(&self) -> Duration {
        let ends = self.visits.iter().map(|visit| visit.start + visit.length);
        ends.max().unwrap_or_default()
    }

    /// The most who want to be there at once.
    pub fn most(&self) -> u32 {
        let mut changes: BTreeMap<Duration, i64> = BTreeMap::new();
        for visit in &self.visits {
            *changes.entry(visit.start).or_default() += 1;
            *changes.entry(visit.start + visit.length).or_default() -= 1;
        }
        let mut present = 0_i64;
        let levels = changes.values().map(|change| {
            present += change;
            present
        });
        u32::try_from(levels.max().unwrap_or(0)).unwrap_or(u32::MAX)
    }
}

fn audit_line(line: &str) -> Result<Option<Stay>, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Line::End {
        time,
        session,
        user,
        protocol,
        duration_s,
    } = line
    else {
        return Ok(None);
    };
    let length = Duration::try_from_secs_f64(duration_s).map_err(|error| error.to_string())?;
    let time: Timestamp = time.parse().map_err(|_| format!("{time:?} is no time"))?;
    let start = time
        .checked_sub(length)
        .map_err(|error| error.to_string())?;
    // Whoever proved no name is a person of their own.
    let user = user.unwrap_or(session);
    Ok(Some(Stay {
        user: user.into(),
        start,
        end: time,
        protocol,
    }))
}

fn table_line(line: &str) -> Result<Stay, String> {
    let mut columns = line
        .split(',')
        .map(|column| column.trim().trim_matches('"'));
    let mut next = || columns.next().filter(|column| !column.is_empty());
    let write = "write user,start,end,protocol, such as alice,2026-03-02T09:00:00Z,2026-03-02T11:30:00Z,ssh";
    let (Some(user), Some(start), Some(end)) = (next(), next(), next()) else {
        return Err(format!("a column is missing; {write}"));
    };
    let time = |text: &str| {
        let time = text.parse::<Timestamp>();
        time.map_err(|_| format!("{text:?} is no time; {write}"))
    };
    let (start, end) = (time(start)?, time(end)?);
    if end < start {
        return Err(format!("it ends before it begins; {write}"));
    }
    let protocol = match next() {
        None | Some("ssh") => Protocol::Ssh,
        Some("jupyter") => Protocol::Jupyter,
        Some(other) => return Err(format!("{other:?} is no protocol; write ssh or jupyter")),
    };
    Ok(Stay {
        user: user.into(),
        start,
        end,
        protocol,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read() {
        let text = "user,start,end,protocol\n\
            bob,2026-03-02T10:00:00Z,2026-03-02T10:30:00Z,jupyter\n\
            alice,2026-03-02T09:00:00Z,2026-03-02T11:00:00Z,ssh\n";
        let trace = Trace::read(text).unwrap();
        let users: Vec<_> = trace.visits.iter().map(|visit| &*visit.user).collect();
        assert_eq!(users, ["alice", "bob"]);
        assert_eq!(trace.visits[1].start, Duration::from_secs(3600));
        assert_eq!(trace.length(), Duration::from_secs(7200));
        assert_eq!(trace.most(), 2);
    }

    #[test]
    fn an_audit_log_is_read() {
        let text = r#"{"time":"2026-03-02T09:00:00.000Z","event":"login","session":"1","user":"alice"}
{"time":"2026-03-02T10:00:00.000Z","event":"end","session":"1","user":"alice","protocol":"ssh","duration_s":3600.0}"#;
        let trace = Trace::read(text).unwrap();
        assert_eq!(trace.visits.len(), 1);
        assert_eq!(trace.visits[0].length, Duration::from_secs(3600));
    }

    #[test]
    fn faults_name_their_line_and_what_to_write() {
        let fault = |text: &str| Trace::read(text).unwrap_err().to_string();
        assert!(
            fault("alice,yesterday,today").starts_with("line 1: \"yesterday\" is no time; write")
        );
        assert!(
            fault("user,start,end\nalice,2026-03-02T09:00:00Z").starts_with("line 2: a column")
        );
        assert_eq!(fault(""), "line 1: there is no session in it");
    }
}
