//! Lists of keys as text files: read whole within bounds, and what a key in them looks like.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::HostKeyError;
use crate::config::read_regular;
use crate::ssh::wire::keys::key_type;

/// Holds the keys of some 20,000 instances.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Turns a file's text into what it says; an error names line and reason.
pub type Parse<T> = fn(&str) -> Result<T, (usize, &'static str)>;

/// What the file says.
pub fn load<T>(path: &Path, parse: Parse<T>) -> Result<T, HostKeyError> {
    let text = read_text(path)?;
    parse(&text).map_err(|(line, reason)| HostKeyError::Line {
        path: path.to_path_buf(),
        line,
        reason,
    })
}

/// A whole file as text, up to `FILE_BYTES_MAX`.
pub fn read_text(path: &Path) -> Result<String, HostKeyError> {
    let unusable = |source| HostKeyError::File {
        path: path.to_path_buf(),
        source,
    };
    let bytes = read_regular(path, FILE_BYTES_MAX).map_err(unusable)?;
    let not_text = |_| {
        unusable(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is not UTF-8 text",
        ))
    };
    String::from_utf8(bytes.to_vec()).map_err(not_text)
}

/// The blob of a key written as `TYPE BASE64`, if the two agree.
pub fn parse_key(kind: &str, base64: &str) -> Option<Vec<u8>> {
    let blob = STANDARD.decode(base64).ok()?;
    (key_type(&blob).ok()? == kind).then_some(blob)
}
