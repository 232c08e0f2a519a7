//! Reads files that a configuration names: regular ones and within bounds, so that neither a pipe nobody writes to nor a disk's
//! whole content can hold up who reads.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::units::show_size;

/// The whole file, up to so many bytes; wiped when dropped, since it may be a secret.
///
/// # Errors
/// When it cannot be read, is something else than a regular file, or is larger.
pub fn read_regular(path: &Path, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Opening a pipe must not wait, nor a terminal become this process's own.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path);
    let file = opened?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let size = usize::try_from(found.len().min(bytes_max)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
    file.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => {
            let what = format!("it is larger than {}", show_size(bytes_max));
            Err(io::Error::other(what))
        }
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_reasonable_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("whole"), "12345678").unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(**read_regular(&at("whole"), 8).unwrap(), *b"12345678");
        for (path, max, words) in [
            (at("whole"), 7, "it is larger than 7 B"),
            (at(""), 8, "it is a folder"),
            (at("pipe"), 8, "it is not a regular file"),
            ("/dev/zero".into(), 8, "it is not a regular file"),
            (at("none"), 8, "No such file"),
        ] {
            let told = read_regular(&path, max).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
    }
}
