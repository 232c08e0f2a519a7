//! What the environment says to the commands that ask a gate. It is no setting of the gate's, and stands in no file.

use std::path::PathBuf;

/// What the environment says of the gate that a command asks.
#[derive(Debug, Default)]
pub struct ClientVariables {
    pub url: Option<String>,
    pub token_file: Option<PathBuf>,
}

impl ClientVariables {
    /// Of this process; empty ones count as none.
    pub fn own() -> Self {
        let value = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let url = value("POOLGATE_URL").map(|url| url.to_string_lossy().into_owned());
        let token_file = value("POOLGATE_TOKEN_FILE").map(PathBuf::from);
        Self { url, token_file }
    }
}
