//! When a file of lines is put aside for a new one, and how many of the old ones are kept.
//!
//! A file is renamed whole and never copied, so no line is lost or written twice. Old ones are called after the moment they
//! were put aside: `audit.jsonl-20261129T054416Z`. Whoever else rotates the file is left in peace: what is not ours any more is
//! only opened anew.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::config::LogFile;

/// How a file of lines is rotated.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// Bytes it may grow to.
    pub size: Option<u64>,
    /// How old it may get.
    pub age: Option<Duration>,
    /// Old files that are kept, and for how long.
    pub keep: usize,
    pub keep_age: Option<Duration>,
}

impl Rotation {
    /// `None` where nobody rotates it here.
    pub fn of_config(config: &LogFile) -> Option<Self> {
        let is_rotated = config.rotate_size.is_some() || config.rotate_age.is_some();
        is_rotated.then_some(Self {
            size: config.rotate_size,
            age: config.rotate_age,
            keep: config.keep,
            keep_age: config.keep_age,
        })
    }
}

/// After a rotation that failed, the next try.
const RETRY: Duration = Duration::from_secs(60);
/// Files put aside within one second, at most.
const SAME_NAME_MAX: u32 = 1000;

/// The rotation of a file that is written to.
pub(super) struct Rotating {
    path: PathBuf,
    rotation: Rotation,
    bytes: u64,
    began: SystemTime,
    inode: u64,
    failed: Option<Instant>,
}

impl Rotating {
    pub fn new(path: &Path, rotation: Rotation, file: &File) -> Self {
        let mut rotating = Self {
            path: path.to_path_buf(),
            rotation,
            bytes: 0,
            began: SystemTime::now(),
            inode: 0,
            failed: None,
        };
        rotating.opened(file);
        rotating
    }

    /// Lines go to this file from here on.
    pub fn opened(&mut self, file: &File) {
        let metadata = file.metadata().ok();
        self.bytes = metadata.as_ref().map_or(0, Metadata::len);
        self.inode = metadata.as_ref().map_or(0, Metadata::ino);
        let born = metadata.and_then(|metadata| metadata.created().ok());
        self.began = born.unwrap_or_else(SystemTime::now);
    }

    pub fn wrote(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Puts the file aside if it is time to, before so many bytes more; the new file, made by `open`, or the one that somebody
    /// else has put in its place.
    ///
    /// # Errors
    /// When it cannot be renamed or the new one not be made; the old one stays in use.
    pub fn rotate_if_due(
        &mut self,
        more: usize,
        open: impl FnOnce(&Path) -> io::Result<File>,
    ) -> io::Result<Option<File>> {
        let is_wanted = self.is_due(more as u64) || self.is_replaced();
        if !is_wanted || self.failed.is_some_and(|at| at.elapsed() < RETRY) {
            return Ok(None);
        }
        let rotated = self.rotate(open);
        self.failed = rotated.is_err().then(Instant::now);
        if let Ok(file) = &rotated {
            self.opened(file);
        }
        rotated.map(Some)
    }

    fn is_due(&self, more: u64) -> bool {
        let is_full = |size| self.bytes > 0 && self.bytes.saturating_add(more) > size;
        let is_old = |age| self.began.elapsed().is_ok_and(|is| is >= age);
        self.bytes > 0
            && (self.rotation.size.is_some_and(is_full) || self.rotation.age.is_some_and(is_old))
    }

    /// An older gate and a newer one write to the same file: which of them puts it aside, the other follows.
    fn is_replaced(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|found| found.ino() != self.inode)
    }

    fn rotate(&self, open: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<File> {
        let is_ours = fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if is_ours {
            fs::rename(&self.path, self.free_name()?)?;
        }
        let file = open(&self.path)?;
        self.forget_old()?;
        Ok(file)
    }

    fn free_name(&self) -> io::Result<PathBuf> {
        let now = jiff::Timestamp::now()
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string();
        let names = (0..SAME_NAME_MAX).map(|count| match count {
            0 => self.aside(&now),
            count => self.aside(&format!("{now}.{count:03}")),
        });
        let mut free = names.filter(|name| fs::symlink_metadata(name).is_err());
        free.next()
            .ok_or_else(|| io::Error::other("too many files were put aside within a second"))
    }

    fn aside(&self, moment: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-");
        name.push(moment);
        name.into()
    }

    /// Deletes what is more than is kept or older than that. Names sort by age; only such as this file's own rotation makes are
    /// looked at.
    ///
    /// # Errors
    /// When the folder cannot be read or a file not be deleted.
    pub fn forget_old(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let own = self.aside("").into_os_string();
        let mut old = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let text = path.as_os_str().as_encoded_bytes();
            let moment = text.strip_prefix(own.as_encoded_bytes());
            if moment.is_some_and(is_moment) {
                old.push(path);
            }
        }
        old.sort();
        let surplus = old.len().saturating_sub(self.rotation.keep);
        let is_too_old = |path: &&PathBuf| {
            let ended = fs::metadata(path).and_then(|metadata| metadata.modified());
            let age = ended.ok().and_then(|ended| ended.elapsed().ok());
            let keep_age = self.rotation.keep_age;
            age.zip(keep_age).is_some_and(|(age, keep)| age >= keep)
        };
        let aged = old.iter().skip(surplus).take_while(is_too_old);
        old.iter()
            .take(surplus)
            .chain(aged)
            .try_for_each(fs::remove_file)
    }
}

fn is_moment(text: &[u8]) -> bool {
    let is_digit = |(at, byte): (usize, &u8)| match at {
        8 => *byte == b'T',
        15 => *byte == b'Z',
        16 => *byte == b'.',
        _ => byte.is_ascii_digit(),
    };
    matches!(text.len(), 16 | 20) && text.iter().enumerate().all(is_digit)
}

#[cfg(test)]
mod tests;
