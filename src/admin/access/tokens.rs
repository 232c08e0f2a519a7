//! The file of operators' tokens: `NAME ROLE SHA256-HEX` a line. Only hashes are on disk, so that whoever reads the file or
//! its backup has no token.
//!
//! It is followed: one at fault leaves in force what was read before, and is told until it is mended. Tokens are 256 random bits (`poolgate token` makes them), so one round of SHA-256 is enough: there is nothing to guess.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nix::unistd::geteuid;
use zeroize::Zeroizing;

use super::roles::Role;
use crate::files::{FileFaults, Followed, Look};

const KEY: &str = "admin.tokens_file";
/// Marks a token as ours where somebody finds one, and for scanners of repositories.
const PREFIX: &str = "pgt_";
/// Longer than any token.
const TOKEN_BYTES_MAX: usize = 256;
const FILE_BYTES_MAX: u64 = 256 * 1024;
const TOKENS_MAX: usize = 1000;
const NAME_BYTES_MAX: usize = 64;

/// SHA-256 of a token or a cookie.
pub type Hash = [u8; 32];

/// Somebody's line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub name: Arc<str>,
    pub role: Role,
    pub hash: Hash,
}

/// Why the file lets nobody in.
#[derive(Debug, thiserror::Error)]
pub enum TokensFault {
    #[error(
        "cannot read {0}: {1}; `poolgate token NAME --role viewer` makes a token and says what to write there"
    )]
    Unreadable(PathBuf, io::Error),
    #[error("{0} is not a regular file")]
    NotRegular(PathBuf),
    #[error("{path} belongs to uid {uid}, not to root or {own}; run: chown {own} {path}")]
    Owner { path: PathBuf, uid: u32, own: u32 },
    #[error("{0} can be read by everybody or written by others than its owner; run: chmod 600 {0}")]
    Mode(PathBuf),
    #[error(
        "{0} is larger than {FILE_BYTES_MAX} bytes or holds more than {TOKENS_MAX} tokens; remove those no longer used"
    )]
    TooLarge(PathBuf),
    #[error("{path}:{line}: {what}")]
    Line {
        path: PathBuf,
        line: usize,
        what: String,
    },
}

/// The tokens in force.
pub struct Tokens(Followed<Vec<Holder>>);

impl Tokens {
    /// # Errors
    /// When the file is at fault.
    pub fn open(path: &Path, faults: &FileFaults) -> Result<Self, TokensFault> {
        Followed::open(KEY, path, read, faults.clone()).map(Self)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Whose token it is.
    pub fn find(&self, token: &str) -> Option<Holder> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        self.find_hash(&hash(token))
    }

    /// Takes as long for a hash that nobody has as for the last one of the list.
    pub fn find_hash(&self, asked: &Hash) -> Option<Holder> {
        let holders = self.0.current();
        let mut found = None;
        for holder in holders.iter() {
            if verify_slices_are_equal(&holder.hash, asked).is_ok() {
                found = Some(holder.clone());
            }
        }
        found
    }
}

impl Look for Tokens {
    fn look(&self) {
        let before = self.0.current();
        self.0.look();
        let tokens = self.0.current();
        if !Arc::ptr_eq(&before, &tokens) {
            tracing::info!(tokens = tokens.len(), "admin.tokens_file was read again");
        }
    }

    fn renew(&self) {
        self.0.renew();
    }
}

/// A new token and the line of the file for it.
pub struct NewToken {
    pub token: Zeroizing<String>,
    pub line: String,
}

/// # Errors
/// When the name cannot stand in the file, or the system has no randomness.
pub fn new_token(name: &str, role: Role) -> io::Result<NewToken> {
    check_name(name).map_err(io::Error::other)?;
    let mut bytes = Zeroizing::new([0; 32]);
    let no_randomness = |_| io::Error::other("the system has no randomness");
    aws_lc_rs::rand::fill(&mut *bytes).map_err(no_randomness)?;
    let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes));
    let token = Zeroizing::new(format!("{PREFIX}{}", &*text));
    let digits: String = hash(&token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let line = format!("{name} {} {digits}", role.name());
    Ok(NewToken { token, line })
}

/// SHA-256 of a text.
pub fn hash(token: &str) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

fn read(path: &Path) -> Result<Vec<Holder>, TokensFault> {
    read_as(path, geteuid().as_raw())
}

/// `own`: the account that the file may belong to besides root.
pub fn read_as(path: &Path, own: u32) -> Result<Vec<Holder>, TokensFault> {
    let unreadable = |error| TokensFault::Unreadable(path.to_path_buf(), error);
    // Looked at before it is opened, because opening a FIFO may wait for ever; judged after, because that is what is read.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(TokensFault::NotRegular(path.to_path_buf()));
    }
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    let uid = found.uid();
    if uid != 0 && uid != own {
        let path = path.to_path_buf();
        return Err(TokensFault::Owner { path, uid, own });
    }
    if found.mode() & 0o026 != 0 {
        return Err(TokensFault::Mode(path.to_path_buf()));
    }
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    if read.map_err(unreadable)? as u64 > FILE_BYTES_MAX {
        return Err(TokensFault::TooLarge(path.to_path_buf()));
    }
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Holder>, TokensFault> {
    let mut holders = Vec::new();
    let mut names = HashSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |what| TokensFault::Line {
            path: path.to_path_buf(),
            line: index + 1,
            what,
        };
        let holder = parse_line(line).map_err(fault)?;
        if !names.insert(holder.name.clone()) {
            let what = format!(
                "{} has a token already; give each a name of its own",
                holder.name
            );
            return Err(fault(what));
        }
        holders.push(holder);
    }
    match holders.len() > TOKENS_MAX {
        true => Err(TokensFault::TooLarge(path.to_path_buf())),
        false => Ok(holders),
    }
}

/// Nothing of the line but the name is told: somebody may have written a token in it.
fn parse_line(line: &str) -> Result<Holder, String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [name, role, digits] = words.as_slice() else {
        return Err("is not NAME ROLE SHA256-HEX; `poolgate token` prints such a line".to_owned());
    };
    check_name(name)?;
    let role = Role::named(role)
        .ok_or_else(|| format!("the role of {name} is none; write viewer, operator or admin"))?;
    let hash = unhex(digits).ok_or_else(|| {
        format!("what stands for {name}'s token is not 64 hexadecimal digits; write what `poolgate token {name}` prints, never the token itself")
    })?;
    let name = (*name).into();
    Ok(Holder { name, role, hash })
}

fn check_name(name: &str) -> Result<(), String> {
    let is_taken = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    match (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(is_taken) {
        true => Ok(()),
        false => Err(format!(
            "the name {name:?} is no name of a token; write up to {NAME_BYTES_MAX} letters, digits and . _ @ -"
        )),
    }
}

fn unhex(digits: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let pairs = digits.as_bytes().chunks(2);
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok()?;
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = is_hex.then(|| u8::from_str_radix(pair, 16).ok())??;
    }
    Some(hash)
}

#[cfg(test)]
mod tests;
