//! The folder of a pool's recordings: its mode, the names in it, how full it may become, and what a crash left there.
//!
//! Blocking, for the writer's thread. Old recordings are never deleted here: how long they are kept is the operator's
//! and the law's business.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::fault::RecordingFault;

/// What a finished recording's name ends with, and what follows while it is written.
const FINISHED: &str = ".cast";
const UNFINISHED: &str = ".cast.part";
/// How long a count of the folder serves: operators delete recordings without telling.
const COUNT_SERVES: Duration = Duration::from_secs(60);
/// Bytes written between two looks at the free space.
const LOOK_EVERY: u64 = 1 << 20;
/// Recordings with one name up to their number: those of gates that started within one second.
const SAME_NAME_MAX: u32 = 16;
/// The largest piece of a line that is searched for its beginning; a recording's lines are far shorter.
const TAIL_BYTES: u64 = 4 << 20;

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub folder_max: u64,
    pub free_min: u64,
}

pub(super) struct Folder {
    path: PathBuf,
    room: Room,
    used: u64,
    counted: Option<Instant>,
    since_look: u64,
}

/// A recording that is being written.
pub(super) struct Part {
    pub file: File,
    /// As it will be called.
    pub name: String,
    pub path: PathBuf,
}

impl Folder {
    pub fn new(path: PathBuf, room: Room) -> Self {
        Self {
            path,
            room,
            used: 0,
            counted: None,
            since_look: 0,
        }
    }

    /// A new file, if there is room for one.
    pub fn create(&mut self, stem: &str) -> Result<Part, RecordingFault> {
        self.prepare()?;
        self.look()?;
        for number in 1..=SAME_NAME_MAX {
            let name = match number {
                1 => format!("{stem}{FINISHED}"),
                number => format!("{stem}-{number}{FINISHED}"),
            };
            let path = self.path.join(format!("{name}.part"));
            let mut options = OpenOptions::new();
            let opened = match self.path.join(&name).exists() {
                true => Err(io::ErrorKind::AlreadyExists.into()),
                false => options
                    .append(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(&path),
            };
            match opened {
                // Held until the file is closed: another gate that starts meanwhile sees that this one is at work.
                Ok(file) if file.try_lock().is_ok() => return Ok(Part { file, name, path }),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(RecordingFault::Write { path, error });
                }
                _ => {}
            }
        }
        Err(RecordingFault::Write {
            path: self.path.join(stem),
            error: io::ErrorKind::AlreadyExists.into(),
        })
    }

    /// Whether so many bytes more may be written.
    pub fn take(&mut self, bytes: u64) -> Result<(), RecordingFault> {
        self.used = self.used.saturating_add(bytes);
        self.since_look += bytes;
        if self.since_look >= LOOK_EVERY || self.used > self.room.folder_max {
            self.look()?;
        }
        Ok(())
    }

    /// Writes it down for good under its final name.
    pub fn finish(&self, part: &Part) -> Result<(), RecordingFault> {
        let finish = || {
            part.file.sync_all()?;
            fs::rename(&part.path, self.path.join(&part.name))?;
            File::open(&self.path)?.sync_all()
        };
        finish().map_err(|error| RecordingFault::Write {
            path: part.path.clone(),
            error,
        })
    }

    /// Finishes what a gate that died has left: a torn last line goes, the rest can be played. How many there were.
    pub fn recover(&self) -> Result<usize, RecordingFault> {
        self.prepare()?;
        let mut recovered = 0;
        for path in self.files(UNFINISHED)? {
            match recover_file(&path) {
                Ok(true) => recovered += 1,
                Ok(false) => {}
                Err(error) => return Err(RecordingFault::Write { path, error }),
            }
        }
        Ok(recovered)
    }

    fn prepare(&self) -> Result<(), RecordingFault> {
        let path = || self.path.clone();
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.path);
        let metadata = made.and_then(|()| fs::metadata(&self.path));
        let metadata = metadata.map_err(|error| RecordingFault::Write {
            path: path(),
            error,
        })?;
        match metadata.permissions().mode() & 0o077 {
            0 => Ok(()),
            _ => Err(RecordingFault::OpenFolder(path())),
        }
    }

    /// Looks at the disk and, if the last count is old, at the folder.
    fn look(&mut self) -> Result<(), RecordingFault> {
        self.since_look = 0;
        let stat =
            nix::sys::statvfs::statvfs(&self.path).map_err(|error| RecordingFault::Write {
                path: self.path.clone(),
                error: error.into(),
            })?;
        let free = stat.blocks_available().saturating_mul(stat.fragment_size());
        if free < self.room.free_min {
            return Err(RecordingFault::DiskFull(self.path.clone()));
        }
        let is_old = self.counted.is_none_or(|at| at.elapsed() >= COUNT_SERVES);
        if is_old {
            self.used = self.count()?;
            self.counted = Some(Instant::now());
        }
        match self.used > self.room.folder_max {
            true => Err(RecordingFault::FolderFull(self.path.clone())),
            false => Ok(()),
        }
    }

    fn count(&self) -> Result<u64, RecordingFault> {
        let mut files = self.files(FINISHED)?;
        files.extend(self.files(UNFINISHED)?);
        // One that is moved away meanwhile takes no room.
        let sizes = files.iter().filter_map(|path| fs::metadata(path).ok());
        Ok(sizes.map(|metadata| metadata.len()).sum())
    }

    fn files(&self, ending: &str) -> Result<Vec<PathBuf>, RecordingFault> {
        let list = || -> io::Result<Vec<PathBuf>> {
            let mut files = Vec::new();
            for entry in fs::read_dir(&self.path)? {
                let path = entry?.path();
                if path.as_os_str().to_string_lossy().ends_with(ending) {
                    files.push(path);
                }
            }
            Ok(files)
        };
        list().map_err(|error| RecordingFault::Write {
            path: self.path.clone(),
            error,
        })
    }
}

/// False if a gate is still at work on it.
fn recover_file(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let whole = whole_lines(&mut file)?;
    file.set_len(whole)?;
    file.sync_all()?;
    fs::rename(path, path.with_extension(""))?;
    Ok(true)
}

/// Bytes up to the end of the last whole line.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let from = len.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.by_ref().take(TAIL_BYTES).read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n');
    Ok(end.map_or(0, |end| from + end as u64 + 1))
}

/// A name that sorts by time and can be in any folder: `20270115T080000Z-alice-0123456789abcdef-1`.
pub(super) fn stem(at: jiff::Timestamp, user: &str, session: &str, terminal: usize) -> String {
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '@' => c,
        _ => '_',
    };
    let user: String = user.chars().take(64).map(plain).collect();
    let at = at.strftime("%Y%m%dT%H%M%SZ");
    format!("{at}-{user}-{session}-{terminal}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn folder_in(dir: &Path, folder_max: u64, free_min: u64) -> Folder {
        let room = Room {
            folder_max,
            free_min,
        };
        Folder::new(dir.join("recordings"), room)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_reads_recordings() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = folder_in(dir.path(), 1 << 30, 0);
        let part = folder.create("x").unwrap();
        assert_eq!(mode(&part.path), 0o600);
        assert_eq!(mode(&dir.path().join("recordings")), 0o700);
        folder.finish(&part).unwrap();
        assert!(dir.path().join("recordings/x.cast").exists() && !part.path.exists());

        fs::set_permissions(
            dir.path().join("recordings"),
            fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        assert!(matches!(
            folder.create("y"),
            Err(RecordingFault::OpenFolder(_))
        ));
    }

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = folder_in(dir.path(), 1 << 30, 0);
        let first = folder.create("x").unwrap();
        assert_eq!(folder.create("x").unwrap().name, "x-2.cast");
        folder.finish(&first).unwrap();
        assert_eq!(folder.create("x").unwrap().name, "x-3.cast");
    }

    #[test]
    fn a_full_folder_or_disk_takes_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = folder_in(dir.path(), 10, 0);
        let mut part = folder.create("x").unwrap();
        part.file.write_all(b"0123456789a").unwrap();
        folder.take(5).unwrap();
        assert!(matches!(folder.take(6), Err(RecordingFault::FolderFull(_))));
        let mut folder = folder_in(dir.path(), 10, 0);
        assert!(matches!(
            folder.create("y"),
            Err(RecordingFault::FolderFull(_))
        ));
        let mut folder = folder_in(dir.path(), u64::MAX, u64::MAX);
        assert!(matches!(
            folder.create("y"),
            Err(RecordingFault::DiskFull(_))
        ));
    }

    #[test]
    fn what_a_crash_left_is_set_right_and_what_is_in_work_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = folder_in(dir.path(), 1 << 30, 0);
        let mut torn = folder.create("torn").unwrap();
        torn.file
            .write_all(b"{}\n[0.1, \"o\", \"a\"]\n[0.2, \"o")
            .unwrap();
        drop(torn);
        let in_work = folder.create("in-work").unwrap();
        assert_eq!(folder_in(dir.path(), 1 << 30, 0).recover().unwrap(), 1);
        let path = dir.path().join("recordings/torn.cast");
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            "{}\n[0.1, \"o\", \"a\"]\n"
        );
        assert!(in_work.path.exists());
    }

    #[test]
    fn names_sort_by_time_and_hold_no_path() {
        let at: jiff::Timestamp = "2027-01-15T08:00:00Z".parse().unwrap();
        assert_eq!(
            stem(at, "../al ice", "00000000000000ff", 2),
            "20270115T080000Z-.._al_ice-00000000000000ff-2"
        );
    }
}
