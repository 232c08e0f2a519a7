//! The program's own log: what is told goes to each place of `log.to` and to `log.file`, in the form of `log.format`, filtered
//! by `log.filter`.
//!
//! Field names are fixed, so that people can search for them: `docs/logs.md` has each. Secrets are never a field, and neither
//! is a person's data. How a line looks is in `form`.

mod form;
mod told;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, reload};

pub use self::form::is_harmful;
use self::form::{Look, render};
use self::told::{Told, Value};
use super::daemons::Daemons;
use super::failed_logins;
use super::journald::Entry;
use super::lines::{Kind, LineLog};
use super::rotation::Rotation;
use super::syslog::Facility;
use crate::config::{LogConfig, LogFormat, LogPlace};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.filter {0:?} is not understood: {1}; write \"info\" or \"info,poolgate=debug\"")]
    Filter(String, String),
    #[error("a place of the log cannot be used: {0}")]
    Place(#[from] io::Error),
    #[error("a logger is installed already")]
    Twice,
}

/// Installs the logger of the process; to be called once, from the command that needs it.
///
/// # Errors
/// When the filter has no meaning, a place of the log cannot be used, or there is a logger already.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let (filter, filtering) = reload::Layer::new(parse_filter(&config.filter)?);
    let places = Arc::new(RwLock::new(Arc::new(Places::open(config, None)?)));
    tracing_subscriber::registry()
        .with(filter)
        .with(ToPlaces(places.clone()))
        .try_init()
        .map_err(|_| LogError::Twice)?;
    let change = Box::new(move |filter| filtering.reload(filter).is_ok());
    // The logger that was installed is the first; there is no second.
    drop(LOGGER.set(Logger { change, places }));
    Ok(())
}

/// What takes the place of what is there; dropped, it changes nothing.
pub struct NextLog {
    filter: EnvFilter,
    /// `None` in a process that has no logger.
    places: Option<Places>,
}

/// Opens what is configured otherwise than by now; nothing is changed yet.
///
/// # Errors
/// When the filter has no meaning, or a place of the log cannot be used.
pub fn prepare(config: &LogConfig) -> Result<NextLog, LogError> {
    let places = LOGGER
        .get()
        .map(|logger| Places::open(config, Some(&logger.places())));
    Ok(NextLog {
        filter: parse_filter(&config.filter)?,
        places: places.transpose()?,
    })
}

/// Tells so and there from here on, where the process has a logger; lines that wait at other places are still written.
pub fn change(next: NextLog) {
    let Some(logger) = LOGGER.get() else {
        return;
    };
    if let Some(next) = next.places {
        let mut places = logger
            .places
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *places = Arc::new(next);
    }
    if !(logger.change)(next.filter) {
        tracing::warn!("the filter of the log stays as it was");
    }
}

/// Opens the file anew, for rotation.
pub fn reopen() {
    let places = LOGGER.get().map(Logger::places);
    let file = places.as_ref().and_then(|places| places.file.as_ref());
    if let Some(Err(error)) = file.map(LineLog::reopen) {
        tracing::error!(%error, "the log could not be opened again; the old file is kept");
    }
}

/// Waits until what was told is where it belongs; for the end of the process.
pub fn flush(timeout: Duration) {
    if let Some(places) = LOGGER.get().map(Logger::places) {
        for lines in places.queues() {
            lines.flush(timeout);
        }
    }
}

/// Lines that could not be written, since the start.
pub fn lost() -> u64 {
    LOGGER.get().map_or(0, |logger| logger.places().lost())
}

struct Logger {
    change: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    places: Shared,
}

type Shared = Arc<RwLock<Arc<Places>>>;

impl Logger {
    fn places(&self) -> Arc<Places> {
        now(&self.places)
    }
}

fn now(places: &Shared) -> Arc<Places> {
    places
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// A process has one logger.
static LOGGER: OnceLock<Logger> = OnceLock::new();

const TO_FILE: Kind = Kind {
    key: "log.file",
    thread: "log-file",
    complaint: "lines of the log are lost on their way to its file: free the disk or raise its speed",
};
const TO_JOURNALD: Kind = Kind {
    key: "log.to",
    thread: "log-journald",
    complaint: "lines of the log are lost on their way to journald: is it at work?",
};
const TO_SYSLOG: Kind = Kind {
    key: "log.to",
    thread: "log-syslog",
    complaint: "lines of the log are lost on their way to syslog: is its daemon at work?",
};

/// Wherever lines go.
struct Places {
    config: LogConfig,
    /// How lines look on standard error.
    stderr: Option<Look>,
    file: Option<LineLog>,
    daemons: Arc<Daemons>,
    /// Lines that places of before have lost.
    lost_before: u64,
}

impl Places {
    /// What `before` has alike is taken over from it.
    fn open(config: &LogConfig, before: Option<&Self>) -> io::Result<Self> {
        let kept = before.filter(|before| before.config.file == config.file);
        let file = match kept {
            Some(before) => before.file.clone(),
            None => {
                let rotation = Rotation::of_config(&config.file);
                let file = LineLog::open_rotated(config.file.path.as_deref(), rotation, &TO_FILE)?;
                Some(file).filter(LineLog::is_kept)
            }
        };
        let kept = before.filter(|before| before.config.to == config.to);
        let daemons = match kept {
            Some(before) => before.daemons.clone(),
            None => Arc::new(Daemons::open(&config.to, &TO_JOURNALD, &TO_SYSLOG)?),
        };
        let is_told = config.to.contains(&LogPlace::Stderr);
        let mut places = Self {
            config: config.clone(),
            stderr: is_told.then(|| match io::stderr().is_terminal() {
                true => Look::Terminal,
                false => Look::Plain,
            }),
            file,
            daemons,
            lost_before: 0,
        };
        // Those of places that stay are counted there.
        let lost = before.map_or(0, Self::lost);
        places.lost_before = lost.saturating_sub(places.lost());
        Ok(places)
    }

    fn lost(&self) -> u64 {
        let now: u64 = self.queues().map(LineLog::lost).sum();
        now.saturating_add(self.lost_before)
    }

    fn queues(&self) -> impl Iterator<Item = &LineLog> {
        self.file.iter().chain(self.daemons.queues())
    }

    fn tell(&self, told: &Told) {
        let line = |look| {
            let mut line = render(told, self.config.format, look);
            line.push('\n');
            line.into_bytes()
        };
        if let Some(look) = self.stderr {
            // Where it cannot be written there is nobody to tell.
            let _ = io::stderr().lock().write_all(&line(look));
        }
        if let Some(file) = &self.file {
            file.put(line(Look::Plain));
        }
        for journald in &self.daemons.journald {
            journald.put(entry(told));
        }
        if !self.daemons.syslog.is_empty() {
            let text = render(told, self.config.format, Look::Untimed);
            let facility = match told.target == failed_logins::TARGET {
                true => Facility::AuthPriv,
                false => Facility::Daemon,
            };
            for syslog in &self.daemons.syslog {
                syslog.send(
                    facility,
                    severity(told.level),
                    "log",
                    told.time,
                    text.trim_start(),
                );
            }
        }
    }
}

/// journald keeps the fields by themselves; its message is for people.
fn entry(told: &Told) -> Vec<u8> {
    let message = render(told, LogFormat::Text, Look::Untimed);
    let mut entry = Entry::new(severity(told.level), message.trim_start());
    entry.field("target", told.target);
    for (name, value) in &told.fields {
        let (Value::Text(value) | Value::Bare(value)) = value;
        entry.field(name, value);
    }
    entry.into_bytes()
}

/// As syslog counts.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

struct ToPlaces(Shared);

impl<S: Subscriber> Layer<S> for ToPlaces {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        now(&self.0).tell(&Told::of(event));
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|error| LogError::Filter(filter.to_owned(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_checked() {
        assert!(parse_filter("info,poolgate=debug").is_ok());
        let error = parse_filter("poolgate=loud").unwrap_err().to_string();
        assert!(error.starts_with("log.filter \"poolgate=loud\""), "{error}");
    }

    #[test]
    fn journald_is_told_the_fields() {
        let told = Told {
            time: jiff::Timestamp::now(),
            level: Level::WARN,
            target: "poolgate::ssh",
            message: "a session began".to_owned(),
            fields: vec![("user", Value::Text("a\nPRIORITY=0".to_owned()))],
        };
        let bytes = entry(&told);
        let text = String::from_utf8_lossy(&bytes);
        let message = r#"MESSAGE=WARN poolgate::ssh: a session began user="a\nPRIORITY=0""#;
        assert!(text.starts_with(message), "{text}");
        assert!(
            text.contains("\nPRIORITY=4\n") && !text.contains("\nPRIORITY=0\nPO"),
            "{text}"
        );
        assert!(
            text.contains("POOLGATE_TARGET=poolgate::ssh\nPOOLGATE_USER\n"),
            "{text}"
        );
    }
}
