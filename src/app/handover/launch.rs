//! Starts the program anew in this gate's place: whatever stands at its path by now, with the same configuration.
//!
//! An intermediate process starts it and goes once it serves, so that the new gate is nobody's child: it ends with neither.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

use crate::app::App;

/// Read at the start: afterwards another program may have its name.
static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::current_exe().ok());

/// To be called while the program is still the one that was started.
pub(in crate::app) fn note_program() {
    LazyLock::force(&PROGRAM);
}

impl App {
    /// What SIGUSR2 asks for: a new gate, which takes this one's place. The log has what came of it.
    pub async fn upgrade(&self) {
        let file = self.inside.lock().await.config.written.file.clone();
        self.services.spawn(async move {
            if let Err(error) = launch(file).await {
                tracing::error!("no upgrade, and this gate goes on as before: {error:#}");
            }
        });
    }
}

async fn launch(config: PathBuf) -> Result<()> {
    let program = PROGRAM
        .as_ref()
        .context("the program's own path is not known")?;
    let mut words: Vec<OsString> = ["serve", "--take-over", "--background"]
        .map(Into::into)
        .into();
    if !config.as_os_str().is_empty() {
        words.extend(["--config".into(), config.into()]);
    }
    tracing::info!(program = %program.display(), "the program is started anew in this gate's place");
    let started = tokio::process::Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let status = started
        .await
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !status.success() {
        bail!("the new gate ended with {status}; its own lines above say why");
    }
    Ok(())
}
