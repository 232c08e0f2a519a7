//! Secrets: read from files only, wiped from memory when dropped, and never printed.
//!
//! Deliberately not `Serialize`, `Display` or `Clone`: a secret leaves this type only through `expose`.

use std::fmt;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::read_regular;

/// Bytes that must not be seen.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The whole file, without the line end a text editor leaves.
    ///
    /// # Errors
    /// When the file cannot be read, is empty or larger than 64 KiB.
    pub fn read(file: &Path) -> io::Result<Self> {
        let mut bytes = read_regular(file, SECRET_BYTES_MAX as u64)?;
        while bytes.last().is_some_and(|byte| b"\r\n".contains(byte)) {
            bytes.pop();
        }
        match bytes.is_empty() {
            true => Err(io::Error::other("it is empty")),
            false => Ok(Self(bytes)),
        }
    }

    /// The secret itself, for the one call that needs it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

const SECRET_BYTES_MAX: usize = 64 * 1024;

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_but_not_printed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "hunter2\n").unwrap();
        let secret = Secret::read(&file).unwrap();
        assert_eq!(secret.expose(), b"hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        std::fs::write(&file, "\n").unwrap();
        assert!(Secret::read(&file).is_err());
        std::fs::write(&file, vec![b'x'; 70_000]).unwrap();
        assert!(Secret::read(&file).is_err());
    }
}
