//! The folder whose content outlives the process: that it is there and writable, and the secrets kept in it.
//!
//! What the parts keep there is theirs to read and write.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};

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

/// A secret that is made at the first start and kept for the next ones.
pub fn persisted_secret(path: &Path) -> Result<[u8; 32]> {
    match fs::read(path) {
        Ok(bytes) => bytes.try_into().map_err(|_| {
            anyhow::anyhow!(
                "{}: should hold 32 bytes; remove it and a new one is made (browsers are placed anew)",
                path.display()
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = random()?;
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            std::io::Write::write_all(&mut file, &secret)
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(bytes)
}
