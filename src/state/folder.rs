//! The state folder: how a file there is replaced or put aside, and who is told of what cannot be kept.
//!
//! What is put aside keeps its content under a name of its own, and is never written over. Deliberately absent: what a loss
//! means for people, which whoever keeps the file says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// Files put aside that are kept of each: whoever writes rubbish again and again must not fill the disk.
const ASIDE_MAX: usize = 3;

type Tell = Arc<dyn Fn(&Trouble) + Send + Sync>;

/// A folder whose files outlive the process.
#[derive(Clone)]
pub struct Folder {
    path: PathBuf,
    tell: Tell,
    /// While another process has the folder: what would have been put aside.
    spared: Arc<Mutex<Option<Vec<String>>>>,
    /// Files whose last content could not be written, each with why.
    unwritten: Arc<Mutex<BTreeMap<PathBuf, String>>>,
}

/// What stands in the way of keeping a file, in words for operators.
#[derive(Debug)]
pub enum Trouble {
    /// What was in it is not in use; where it is now, what that means, and what to do.
    PutAside {
        file: PathBuf,
        fault: String,
        /// Where it is; or why it had to stay where it was, and is left alone.
        kept: Result<PathBuf, io::Error>,
        loss: &'static str,
        remedy: &'static str,
    },
    NotWritten {
        file: PathBuf,
        error: io::Error,
        /// The file could be written before.
        is_first: bool,
    },
}

impl Folder {
    /// Troubles are told to the log only.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            tell: Arc::new(|_| {}),
            spared: Arc::default(),
            unwritten: Arc::default(),
        }
    }

    /// Nothing is put aside until it is this process's own, which the same holds for all that were made from it.
    #[must_use]
    pub fn of_another(self) -> Self {
        *self.lock() = Some(Vec::new());
        self
    }

    /// What would have been put aside so far, each with its fault.
    pub fn spared(&self) -> Vec<String> {
        self.lock().clone().unwrap_or_default()
    }

    /// It is this process's own from here on.
    pub fn make_own(&self) {
        *self.lock() = None;
    }

    /// A file whose last content is only in this process, and why.
    pub fn unwritten(&self) -> Option<(PathBuf, String)> {
        let unwritten = self.unwritten.lock();
        let unwritten = unwritten.unwrap_or_else(PoisonError::into_inner);
        let first = unwritten.first_key_value();
        first.map(|(file, why)| (file.clone(), why.clone()))
    }

    /// What came of writing a file.
    pub(super) fn note_written(&self, file: &Path, written: Result<(), String>) {
        let unwritten = self.unwritten.lock();
        let mut unwritten = unwritten.unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => drop(unwritten.remove(file)),
            Err(why) => drop(unwritten.insert(file.to_owned(), why)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<String>>> {
        self.spared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Troubles are told to `tell` as well.
    #[must_use]
    pub fn telling(self, tell: impl Fn(&Trouble) + Send + Sync + 'static) -> Self {
        Self {
            tell: Arc::new(tell),
            ..self
        }
    }

    /// A folder in this one.
    pub fn below(&self, name: &str) -> Self {
        Self {
            path: self.path.join(name),
            tell: self.tell.clone(),
            spared: self.spared.clone(),
            unwritten: self.unwritten.clone(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces a file there; false if it cannot be written, which is told.
    pub fn write(&self, file: &Path, content: &[u8]) -> bool {
        let written = replace(file, content);
        if let Err(error) = written {
            self.tell(&Trouble::NotWritten {
                file: file.to_owned(),
                error,
                is_first: true,
            });
            return false;
        }
        true
    }

    /// Gives a file that is of no use a name of its own. `loss` says what that means for people. False if it is still where
    /// it was; then it must not be written over.
    pub fn put_aside(&self, file: &Path, fault: &str, loss: &'static str) -> bool {
        let remedy = "to have it back, correct it, stop the gate and move it back";
        self.move_away(file, fault, ".broken-", loss, remedy)
    }

    /// The same with a file that a newer gate wrote, in which there is nothing to correct.
    pub fn put_aside_newer(&self, file: &Path, fault: &str, loss: &'static str) -> bool {
        let remedy = "to have it back, stop the gate, move it back and install that version again";
        self.move_away(file, fault, ".newer-", loss, remedy)
    }

    fn move_away(
        &self,
        file: &Path,
        fault: &str,
        suffix: &str,
        loss: &'static str,
        remedy: &'static str,
    ) -> bool {
        if let Some(spared) = &mut *self.lock() {
            spared.push(format!("{}: {fault}", file.display()));
            return false;
        }
        let when = Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
        let aside = free_name(file, &format!("{suffix}{when}"));
        let moved = std::fs::rename(file, &aside);
        let is_moved = moved.is_ok();
        self.tell(&Trouble::PutAside {
            file: file.to_owned(),
            fault: fault.to_owned(),
            kept: moved.map(|()| aside),
            loss,
            remedy,
        });
        forget_old(file, suffix);
        is_moved
    }

    pub(super) fn tell(&self, trouble: &Trouble) {
        if trouble.is_news() {
            tracing::error!("{trouble}");
        }
        (self.tell)(trouble);
    }
}

impl Trouble {
    /// False where the same was told before.
    pub fn is_news(&self) -> bool {
        match self {
            Self::PutAside { .. } => true,
            Self::NotWritten { is_first, .. } => *is_first,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutAside {
                file,
                fault,
                kept,
                loss,
                remedy,
            } => {
                let file = file.display();
                match kept {
                    Ok(kept) => write!(
                        f,
                        "{file} is of no use: {fault}. It was put aside as {}; {loss}; {remedy}",
                        kept.display()
                    ),
                    Err(error) => write!(
                        f,
                        "{file} is of no use: {fault}. It cannot be put aside ({error}) and is left alone, so that nothing is \
                         kept there; {loss}; move it away and start the gate again"
                    ),
                }
            }
            Self::NotWritten { file, error, .. } => write!(
                f,
                "{} cannot be written: {error}. The gate goes on, and what it learns from here on is lost if it ends: free the \
                 disk, or correct the folder's owner and mode",
                file.display()
            ),
        }
    }
}

/// Replaces a file as a whole: either the old content or the new is there after a crash. It has mode 0600.
///
/// # Errors
/// When the disk is full or fails, or the folder is not this user's.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A named temporary file has mode 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, content)?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Of a name that is taken, by what was put aside in the same millisecond, one with a number behind it.
fn free_name(file: &Path, suffix: &str) -> PathBuf {
    let mut name = with_suffix(file, suffix);
    let mut number = 1_u32;
    while name.symlink_metadata().is_ok() {
        number += 1;
        name = with_suffix(file, &format!("{suffix}-{number}"));
    }
    name
}

fn forget_old(path: &Path, suffix: &str) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let mut prefix = name.to_owned();
    prefix.push(suffix);
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let is_ours = |name: &OsString| {
        let prefix = prefix.as_encoded_bytes();
        name.as_encoded_bytes().starts_with(prefix)
    };
    let mut old: Vec<OsString> = names.filter(is_ours).collect();
    old.sort_unstable();
    let surplus = old.len().saturating_sub(ASIDE_MAX);
    for name in old.into_iter().take(surplus) {
        // The next one tries again.
        drop(std::fs::remove_file(folder.join(name)));
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn few_spoilt_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.json");
        for number in 0..6 {
            let old = with_suffix(&path, &format!(".broken-2026010{number}T000000Z"));
            std::fs::write(old, "").unwrap();
        }
        forget_old(&path, ".broken-");
        let entries = std::fs::read_dir(dir.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut kept: Vec<_> = names.collect();
        kept.sort_unstable();
        assert_eq!(kept.len(), ASIDE_MAX);
        assert!(kept[0].ends_with("20260103T000000Z"), "{kept:?}");
    }

    #[test]
    fn nothing_is_put_aside_in_a_folder_of_another() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path()).of_another();
        let file = dir.path().join("queue.json");
        std::fs::write(&file, "x").unwrap();
        assert!(
            !folder
                .below(".")
                .put_aside(&file, "it is no JSON", "people wait anew")
        );
        let spared = folder.spared();
        assert_eq!(spared.len(), 1);
        assert!(
            spared[0].ends_with("queue.json: it is no JSON"),
            "{spared:?}"
        );
        assert!(file.exists());
        folder.make_own();
        assert!(folder.put_aside(&file, "it is no JSON", "people wait anew"));
        assert!(!file.exists());
    }

    #[test]
    fn who_asked_is_told_what_is_lost_and_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let folder = Folder::new(dir.path())
            .telling(move |trouble| telling.lock().unwrap().push(trouble.to_string()));
        let below = folder.below("deep");
        std::fs::create_dir(below.path()).unwrap();
        let file = below.path().join("queue.json");
        std::fs::write(&file, "x").unwrap();
        assert!(below.put_aside(&file, "it is no JSON", "people wait anew"));
        assert!(!file.exists());
        assert!(!below.put_aside(&file, "it is no JSON", "people wait anew"));
        let told = told.lock().unwrap();
        let [moved, stuck] = told.as_slice() else {
            panic!("{told:?}");
        };
        for part in ["queue.json.broken-", "people wait anew", "move it back"] {
            assert!(moved.contains(part), "{part}: {moved}");
        }
        assert!(stuck.contains("left alone"), "{stuck}");
    }
}
