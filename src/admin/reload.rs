//! What configuration the gate has: since when, what is written in it, why the last reload was refused; and how a new one is
//! asked for. What a reload is, the composition root knows.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::config::diff::{Change, Written};
use crate::files::FileFault;
use crate::pool::rfc3339;

/// Reads the configuration again; the words are whose wish it is. An error is every fault, a line each.
pub type AskReload = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = Result<Reloaded, String>> + Send>> + Send + Sync,
>;

/// What a reload has changed: the answer to `POST /api/v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    pub changes: Vec<Change>,
    /// Files that hold something else than when they were read before.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<FileRead>,
}

/// A file that the configuration names, and that was read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileRead {
    pub key: String,
    #[schema(value_type = String)]
    pub file: PathBuf,
}

impl Reloaded {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.files.is_empty()
    }

    /// A line each.
    pub fn lines(&self) -> Vec<String> {
        let changes = self.changes.iter().map(ToString::to_string);
        changes
            .chain(self.files.iter().map(ToString::to_string))
            .collect()
    }
}

impl fmt::Display for FileRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} was read again", self.key, self.file.display())
    }
}

impl fmt::Display for Reloaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("; "))
    }
}

/// The configuration in force: the body of `/api/v1/config`, and without its keys a part of `/api/v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigState {
    #[serde(flatten)]
    pub written: Written,
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub loaded: SystemTime,
    /// Of the last reload, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<RefusedReload>,
    /// Of files that it names, whose newest content is not in force.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub file_faults: Vec<FileFault>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedReload {
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: SystemTime,
    /// Every fault, a line each.
    pub why: String,
}

impl ConfigState {
    pub fn loaded(written: &Written, now: SystemTime) -> Self {
        Self {
            written: written.clone(),
            loaded: now,
            refused: None,
            file_faults: Vec::new(),
        }
    }

    /// The same after a reload that was refused.
    pub fn refused(&self, why: &str, now: SystemTime) -> Self {
        Self {
            refused: Some(RefusedReload {
                at: now,
                why: why.to_owned(),
            }),
            ..self.clone()
        }
    }

    /// For those who do not want to know each key.
    pub fn without_keys(&self) -> Self {
        let mut state = self.clone();
        state.written.keys.clear();
        state
    }
}

/// Where nothing can be read again.
pub(super) fn nothing_to_reload() -> AskReload {
    Arc::new(|_| {
        let refused = Err("this gate has no configuration to read again".to_owned());
        Box::pin(std::future::ready(refused))
    })
}

pub(super) async fn answer(ask: &AskReload, by: String) -> Result<Reloaded, Problem> {
    ask(by).await.map_err(|detail| Problem {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        detail,
    })
}
