//! Starts a program in this gate's place: whatever stands at its path by now, with the same configuration.
//!
//! An intermediate process starts it and goes once it serves, so that the new gate is nobody's child: it ends with neither. What
//! it says on its standard output is how that ended; its log is where this gate's own is.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::process::Command;

use super::trial;

/// What a gate that was started to take over says once it has the place.
pub const SERVING: &str = "serving\n";
/// Longer than all the steps of a hand-over may take together; whatever hangs before the first of them ends then.
const LIMIT: Duration = Duration::from_secs(240);

/// Read at the start: afterwards another program may have its name.
static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let running = std::env::current_exe().ok()?;
    let named = std::env::args_os().next().map(PathBuf::from);
    Some(
        named
            .and_then(|named| as_named(&named, &running))
            .unwrap_or(running),
    )
});

/// To be called while the program is still the one that was started.
pub(in crate::app) fn note_program() {
    LazyLock::force(&PROGRAM);
}

/// The path that this program was started by.
pub fn own_program() -> Option<&'static Path> {
    PROGRAM.as_deref()
}

/// The path that somebody wrote, if it leads to what runs: where it is a link, the next version is what it leads to then.
fn as_named(named: &Path, running: &Path) -> Option<PathBuf> {
    let id = |path: &Path| {
        std::fs::metadata(path)
            .ok()
            .map(|found| (found.dev(), found.ino()))
    };
    let of_running = id(running)?;
    let is_it = |path: &PathBuf| id(path) == Some(of_running);
    if named.components().count() > 1 {
        return std::path::absolute(named).ok().filter(is_it);
    }
    let folders = std::env::var_os("PATH")?;
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(named));
    paths.find(|path| path.is_absolute() && is_it(path))
}

/// Returns once the new gate has the place.
///
/// # Errors
/// Why it has not, in its own words where it has some.
pub(super) async fn launch(program: &Path, config: &Path) -> Result<()> {
    let mut words: Vec<OsString> = ["serve", "--take-over", "--background"]
        .map(Into::into)
        .into();
    if !config.as_os_str().is_empty() {
        words.extend(["--config".into(), config.into()]);
    }
    let mut command = Command::new(program);
    // Its own log goes where this gate's goes, for as long as it lives.
    command.args(words).stderr(Stdio::inherit());
    let said = trial::run(&mut command, program, LIMIT).await?;
    if said.status.success() && said.stdout == SERVING {
        return Ok(());
    }
    match said.stdout.trim() {
        "" => bail!(
            "the new gate ended with {}; its own lines in the log say why",
            said.status
        ),
        _ => bail!("{}", said.why()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_anew_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("1.0"), dir.path().join("2.0"));
        for version in [&old, &new] {
            std::fs::write(version, "").unwrap();
        }
        let link = dir.path().join("poolgate");
        std::os::unix::fs::symlink(&old, &link).unwrap();
        assert_eq!(as_named(&link, &old), Some(link.clone()));
        // The name leads to another program than the one that runs.
        assert_eq!(as_named(&link, &new), None);
        assert_eq!(as_named(Path::new("no-such-program"), &old), None);
    }
}
