//! Reads a configuration: where it is, and from text and variables to values, with every fault at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::faults::Faults;
use super::{Config, diff, raw, source, text, validate};

/// Where the configuration is looked for when nobody says.
pub const DEFAULT_FILE: &str = "/etc/poolgate/poolgate.toml";
/// Where a gate answers operators when its configuration does not say.
pub const DEFAULT_SOCKET: &str = "/run/poolgate/admin.sock";
/// The variable that names another file.
pub const FILE_VARIABLE: &str = "POOLGATE_CONFIG";

/// Reads the file and the environment (`POOLGATE__SSH__LISTEN` for `ssh.listen`), which wins.
///
/// # Errors
/// Every fault at once, with its place, its key and what to write.
pub fn load(path: Option<&Path>) -> Result<Config, Faults> {
    let path = file_to_read(path);
    let text = text::read_file(&path)?;
    read(&path, &text, text::own_variables()?)
}

/// As `load`, for a gate at work: what is under its `state_dir` stays there, whatever the file says of it by now. What was written
/// is told all the same.
///
/// # Errors
/// As `load`, and where something else than a regular file is in its place, which may never end.
pub fn load_again(running: &Config) -> Result<Config, Faults> {
    let file = &running.written.file;
    let found = std::fs::metadata(file);
    if found.is_ok_and(|found| !found.is_file()) {
        let what = "is not a regular file any more; put the configuration there";
        return Err(Faults::of_file(
            &file.display().to_string(),
            None,
            what.to_owned(),
        ));
    }
    let (text, variables) = (text::read_file(file)?, text::own_variables()?);
    let next = read(file, &text, variables.clone())?;
    if next.state_dir == running.state_dir {
        return Ok(next);
    }
    let folder = running.state_dir.display().to_string();
    let variables = source::with_state_dir(variables, folder);
    let kept = read(file, &text, variables)?;
    Ok(Config {
        written: next.written,
        ..kept
    })
}

/// The file `load` reads: the one given, else the one `POOLGATE_CONFIG` names, else the default one.
pub fn file_to_read(path: Option<&Path>) -> PathBuf {
    let from_environment = || std::env::var_os(FILE_VARIABLE).map(PathBuf::from);
    let from_environment = || from_environment().filter(|path| !path.as_os_str().is_empty());
    path.map(Path::to_path_buf)
        .or_else(from_environment)
        .unwrap_or_else(|| DEFAULT_FILE.into())
}

/// Reads a configuration from text. `file` names it in faults, and its folder is where relative paths start;
/// `environment` stands for the process's own.
///
/// # Errors
/// As `load`.
pub fn parse(
    file: &Path,
    text: &str,
    environment: HashMap<String, String>,
) -> Result<Config, Faults> {
    read(file, text, environment)
}

fn read(file: &Path, text: &str, environment: HashMap<String, String>) -> Result<Config, Faults> {
    let source = Arc::new(source::Source::read(file, text, environment)?);
    let written = diff::Written::of(file.to_path_buf(), &source);
    let raw = raw::Raw::new(file, source);
    let config = validate::validate(&raw);
    let faults = raw.into_faults();
    match config {
        Some(config) if faults.is_empty() => Ok(Config { written, ..config }),
        _ => Err(faults),
    }
}
