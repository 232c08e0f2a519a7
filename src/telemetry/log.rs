//! The program's own log: text or JSON on standard error, filtered by `log.filter`.
//!
//! Field names are fixed, so that people can search for them. Secrets are never a field, and neither is a person's data.
//!
//! | field | what |
//! |---|---|
//! | `session` | session id, 16 hex digits |
//! | `user` | login name; claimed until the login is admitted |
//! | `peer` | the person's address and port |
//! | `protocol` | `ssh` or `jupyter` |
//! | `pool`, `instance` | names, as in config |
//! | `reason` | why something was decided |
//! | `cause` | why something failed or ended |
//! | `limit` | the config key of the limit that was hit |
//! | `error` | an error's text |

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("log.filter {0:?} is not understood: {1}; write \"info\" or \"info,poolgate=debug\"")]
    Filter(String, String),
    #[error("a logger is installed already")]
    Twice,
}

/// Installs the logger of the process; to be called once, from the command that needs it.
///
/// # Errors
/// When the filter has no meaning or there is a logger already.
pub fn init(config: &LogConfig) -> Result<(), LogError> {
    let filter = parse_filter(&config.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(true)
        .with_writer(std::io::stderr);
    let installed = match config.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(std::io::stderr().is_terminal());
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder
                .try_init()
                .map(|()| keep(move |filter| handle.reload(filter).is_ok()))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            builder
                .try_init()
                .map(|()| keep(move |filter| handle.reload(filter).is_ok()))
        }
    };
    installed.map_err(|_| LogError::Twice)
}

/// Whether `change` would take it.
///
/// # Errors
/// When the filter has no meaning.
pub fn check(config: &LogConfig) -> Result<(), LogError> {
    parse_filter(&config.filter).map(drop)
}

/// Filters by this from here on, where the process has a logger.
pub fn change(config: &LogConfig) {
    if let (Some(change), Ok(filter)) = (CHANGE.get(), parse_filter(&config.filter))
        && !change(filter)
    {
        tracing::warn!("the filter of the log stays as it was");
    }
}

type Change = Box<dyn Fn(EnvFilter) -> bool + Send + Sync>;

/// A process has one logger.
static CHANGE: OnceLock<Change> = OnceLock::new();

fn keep(change: impl Fn(EnvFilter) -> bool + Send + Sync + 'static) {
    // The logger that was installed is the first; there is no second.
    drop(CHANGE.set(Box::new(change)));
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
}
