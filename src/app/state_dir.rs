//! The folder whose content outlives the process: that it is there and writable, and the secrets kept in it.
//!
//! What the parts keep there is theirs to read and write; what goes wrong with it is told here, for all of them.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::config::Config;
use crate::state::{Folder, Trouble};
use crate::telemetry::events::{EventKind, Events};
use crate::telemetry::metrics::Metrics;

/// # Errors
/// When the folder cannot be made, or not be written in.
pub fn make(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("state_dir: cannot make the folder {}", path.display()))?;
    // Found out here and not at the first login, which would be refused because an instance's key cannot be pinned.
    tempfile::tempfile_in(path)
        .map(drop)
        .with_context(|| format!("state_dir: this user cannot write in {}", path.display()))
}

/// Whose the folder is while a gate is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Own,
    /// That of a gate whose place this one takes, and which may go on: nothing of it is put aside.
    Another,
}

/// The folder, whose troubles operators find among the events and the metrics.
pub fn told(config: &Config, events: &Events, metrics: &Metrics, whose: Whose) -> Folder {
    let pool = config.default_pool().to_owned();
    let (events, metrics) = (events.clone(), metrics.clone());
    let folder = Folder::new(&config.state_dir).telling(move |trouble| {
        if matches!(trouble, Trouble::NotWritten { .. }) {
            metrics.count_state_write_failure();
        }
        if trouble.is_news() {
            events.tell(&pool, None, EventKind::Fault, trouble.to_string());
        }
    });
    match whose {
        Whose::Own => folder,
        Whose::Another => folder.of_another(),
    }
}

/// A secret that is made at the first start and kept for the next ones. One that is spoilt is put aside for a new one, and one
/// that cannot be written down is good until the gate ends.
///
/// # Errors
/// When what stands there can be neither used nor put aside, or the system gives no random bytes.
pub fn persisted_secret(folder: &Folder, name: &str, loss: &'static str) -> Result<[u8; 32]> {
    let path = folder.path().join(name);
    let fault = match fs::read(&path) {
        Ok(bytes) => match <[u8; 32]>::try_from(bytes.as_slice()) {
            Ok(secret) => return Ok(secret),
            Err(_) => Some(format!("it should hold 32 bytes and has {}", bytes.len())),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!("it cannot be read ({error})")),
    };
    if let Some(fault) = fault
        && !folder.put_aside(&path, &fault, loss)
    {
        anyhow::bail!("{}: {fault}; move it away", path.display());
    }
    let secret = random()?;
    folder.write(&path, &secret);
    Ok(secret)
}

pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secret(folder: &Folder) -> [u8; 32] {
        persisted_secret(folder, "pin.key", "browsers log in anew").unwrap()
    }

    #[test]
    fn a_spoilt_secret_is_put_aside_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, path) = (Folder::new(dir.path()), dir.path().join("pin.key"));
        let first = secret(&folder);
        assert_eq!(secret(&folder), first);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for spoilt in [&b""[..], &first[..31], &[1; 33]] {
            fs::write(&path, spoilt).unwrap();
            let next = secret(&folder);
            assert_ne!(next, first);
            assert_eq!(secret(&folder), next);
        }
        // Root may read every file, but nobody reads a folder.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(secret(&folder), secret(&folder));
    }

    #[test]
    fn a_secret_that_cannot_be_written_down_serves_for_now() {
        let folder = Folder::new("/proc/nobody-writes-here");
        assert_ne!(secret(&folder), [0; 32]);
    }
}
