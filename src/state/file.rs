//! What a part of the gate knows, as a JSON file that is replaced as a whole.
//!
//! A file that cannot be understood, or that a newer gate wrote, is put aside, and said so: nothing is lost, and the part
//! begins anew. Deliberately absent: secrets and host keys, without which nobody may be let in; those have files of their own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::folder::{Folder, Trouble, replace};
use super::pen;

/// Raised when a gate of before would misread what this one writes.
const FORMAT: u32 = 1;
/// Above what the most people and instances take; more is no file of ours.
const BYTES_MAX: u64 = 128 << 20;

/// A file, and what was last written there.
pub struct StateFile {
    folder: Folder,
    path: PathBuf,
    written: Option<u64>,
    is_failing: bool,
    /// Something stands there that must not be written over.
    is_closed: bool,
}

#[derive(Serialize)]
struct Page<'a, T> {
    version: u32,
    #[serde(flatten)]
    content: &'a T,
}

#[derive(Deserialize)]
struct Version {
    /// Files had none at first.
    #[serde(default)]
    version: u32,
}

#[derive(Debug, thiserror::Error)]
enum Spoilt {
    #[error("it cannot be read ({0})")]
    Unreadable(#[from] io::Error),
    #[error("it has {0} bytes, more than any gate writes")]
    TooLong(u64),
    #[error("it is no JSON of ours ({0})")]
    Unclear(#[from] serde_json::Error),
    #[error("it has format {0}, of a newer gate, and this one reads up to {FORMAT}")]
    Newer(u32),
}

impl StateFile {
    /// What stands in the file; the default where there is none, or none that can be understood. `loss` says what it means
    /// for people to be without.
    pub fn open<T: DeserializeOwned + Default>(
        folder: &Folder,
        name: &str,
        loss: &'static str,
    ) -> (Self, T) {
        let path = folder.path().join(name);
        let mut file = Self {
            folder: folder.clone(),
            path,
            written: None,
            is_failing: false,
            is_closed: false,
        };
        let content = match read(&file.path) {
            Ok(Some((text, content))) => {
                file.written = Some(digest(&text));
                content
            }
            Ok(None) => T::default(),
            Err(spoilt) => {
                file.is_closed = !file.put_aside(&spoilt, loss);
                T::default()
            }
        };
        (file, content)
    }

    /// Writes what has changed; false if it could not be. A disk that fails is told once, and tried again each time.
    pub async fn write<T: Serialize>(&mut self, content: &T) -> bool {
        let page = Page {
            version: FORMAT,
            content,
        };
        let Ok(text) = serde_json::to_string(&page) else {
            return false;
        };
        // What another process writes is not for this one to try again.
        let Some(_pen) = pen::take().await else {
            return true;
        };
        let digest = digest(&text);
        if self.written == Some(digest) || self.is_closed {
            return true;
        }
        let path = self.path.clone();
        let replacing = move || replace(&path, text.as_bytes());
        let written = tokio::task::spawn_blocking(replacing).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => {
                self.written = Some(digest);
                self.folder.note_written(&self.path, Ok(()));
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!(file = %self.path.display(), "the file can be written again");
                }
                true
            }
            Err(error) => {
                let why = Err(error.to_string());
                self.folder.note_written(&self.path, why);
                self.folder.tell(&Trouble::NotWritten {
                    file: self.path.clone(),
                    error,
                    is_first: !self.is_failing,
                });
                self.is_failing = true;
                false
            }
        }
    }

    fn put_aside(&self, spoilt: &Spoilt, loss: &'static str) -> bool {
        let (folder, fault) = (&self.folder, spoilt.to_string());
        match spoilt {
            Spoilt::Newer(_) => folder.put_aside_newer(&self.path, &fault, loss),
            Spoilt::Unreadable(_) | Spoilt::TooLong(_) | Spoilt::Unclear(_) => {
                folder.put_aside(&self.path, &fault, loss)
            }
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<(String, T)>, Spoilt> {
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if length > BYTES_MAX {
        return Err(Spoilt::TooLong(length));
    }
    let text = std::fs::read_to_string(path)?;
    let Version { version } = serde_json::from_str(&text)?;
    if version > FORMAT {
        return Err(Spoilt::Newer(version));
    }
    let content = serde_json::from_str(&text)?;
    Ok(Some((text, content)))
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Notes {
        numbers: Vec<u32>,
    }

    fn notes(numbers: &[u32]) -> Notes {
        let numbers = numbers.to_vec();
        Notes { numbers }
    }

    fn open(folder: &Folder) -> (StateFile, Notes) {
        StateFile::open(folder, "main.json", "numbers begin anew")
    }

    fn aside(folder: &Folder) -> Vec<String> {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "main.json").collect()
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_what_is_spoilt_is_put_aside() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path()).below("deep");
        let path = folder.path().join("main.json");
        let (mut file, nothing) = open(&folder);
        assert_eq!(nothing, Notes::default());
        assert!(file.write(&notes(&[1, 2])).await);
        assert_eq!(open(&folder).1, notes(&[1, 2]));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for (spoilt, suffix) in [
            ("{\"numbers\": [1", "broken"),
            ("", "broken"),
            ("[]", "broken"),
            ("{\"version\":2,\"numbers\":[1]}", "newer"),
        ] {
            std::fs::write(&path, spoilt).unwrap();
            assert_eq!(open(&folder).1, Notes::default());
            assert!(!path.exists(), "{spoilt}");
            let kept = aside(&folder);
            assert_eq!(kept.len(), 1, "{kept:?}");
            assert!(kept[0].starts_with(&format!("main.json.{suffix}-")));
            let kept = path.with_file_name(&kept[0]);
            assert_eq!(std::fs::read_to_string(&kept).unwrap(), spoilt);
            std::fs::remove_file(kept).unwrap();
        }
        std::fs::write(&path, "{\"numbers\":[3]}").unwrap();
        assert_eq!(open(&folder).1, notes(&[3]), "of before versions");
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_once_and_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new((0, 0)));
        let telling = told.clone();
        let folder = Folder::new(dir.path().join("file-and-no-folder")).telling(move |trouble| {
            let mut told = telling.lock().unwrap();
            told.0 += 1;
            told.1 += u32::from(trouble.is_news());
        });
        let (mut file, _) = open(&folder);
        std::fs::write(folder.path(), "").unwrap();
        assert!(!file.write(&notes(&[1])).await);
        assert!(!file.write(&notes(&[1])).await);
        assert_eq!(*told.lock().unwrap(), (2, 1));
        let (unwritten, _) = folder.unwritten().unwrap();
        assert!(unwritten.ends_with("main.json"));
        std::fs::remove_file(folder.path()).unwrap();
        assert!(file.write(&notes(&[1])).await);
        assert_eq!(folder.unwritten(), None);
        assert_eq!(open(&folder).1, notes(&[1]));
    }

    #[tokio::test]
    async fn what_cannot_be_put_aside_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        // Nothing can be put in place of a folder's own way up.
        let (mut file, _): (_, Notes) = StateFile::open(&folder, "..", "numbers begin anew");
        assert!(file.is_closed);
        assert!(file.write(&notes(&[1])).await);
        assert_eq!(aside(&folder), [""; 0]);
    }
}
