//! What a part of the gate knows, as a JSON file that is replaced as a whole.
//!
//! A file that cannot be understood, or that a newer gate wrote, is set aside, and said so: nothing is lost, and the part
//! begins anew. Deliberately absent: secrets and host keys, without which nobody may be let in; those have files of their own.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Raised when a gate of before would misread what this one writes.
const FORMAT: u32 = 1;
/// Above what the most people and instances take; more is no file of ours.
const BYTES_MAX: u64 = 128 << 20;
/// Files set aside that are kept of each.
const ASIDE_MAX: usize = 3;

/// A file, and what was last written there.
pub struct StateFile {
    path: PathBuf,
    written: Option<u64>,
    is_failing: bool,
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
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it has {0} bytes, more than any gate writes")]
    TooLong(u64),
    #[error("it is no JSON of ours: {0}")]
    Unclear(#[from] serde_json::Error),
    #[error("it has format {0}, of a newer gate; this one reads up to {FORMAT}")]
    Newer(u32),
}

impl StateFile {
    /// What stands in the file; the default where there is none, or none that can be understood.
    pub fn open<T: DeserializeOwned + Default>(path: &Path) -> (Self, T) {
        let (written, content) = match read(path) {
            Ok(Some((text, content))) => (Some(digest(&text)), content),
            Ok(None) => (None, T::default()),
            Err(spoilt) => {
                set_aside(path, &spoilt);
                (None, T::default())
            }
        };
        let file = Self {
            path: path.to_owned(),
            written,
            is_failing: false,
        };
        (file, content)
    }

    /// Writes what has changed. A disk that fails is told once, and tried again with each change.
    pub async fn write<T: Serialize>(&mut self, content: &T) {
        let page = Page {
            version: FORMAT,
            content,
        };
        let Ok(text) = serde_json::to_string(&page) else {
            return;
        };
        let digest = digest(&text);
        if self.written == Some(digest) {
            return;
        }
        let path = self.path.clone();
        let replacing = move || replace(&path, text.as_bytes());
        let written = tokio::task::spawn_blocking(replacing).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(()) => {
                self.written = Some(digest);
                self.is_failing = false;
            }
            Err(error) if !self.is_failing => {
                let file = self.path.display();
                tracing::error!(%file, %error, "what should outlive this process cannot be written down: free the disk, or correct the folder's owner and mode");
                self.is_failing = true;
            }
            Err(_) => {}
        }
    }

    #[cfg(test)]
    fn is_failing(&self) -> bool {
        self.is_failing
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

fn set_aside(path: &Path, spoilt: &Spoilt) {
    let when = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let aside = with_suffix(path, &format!(".broken-{when}"));
    let (file, kept) = (path.display(), aside.display());
    tracing::error!(%file, %kept, error = %spoilt, "a state file is not understood; it is set aside, and the gate starts without it");
    if let Err(error) = std::fs::rename(path, &aside) {
        tracing::error!(%file, %error, "the file cannot be set aside");
    }
    forget_old(path);
}

/// Whoever writes rubbish again and again must not fill the disk.
fn forget_old(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    let mut prefix = name.to_owned();
    prefix.push(".broken-");
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

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Either the old content or the new is there after a crash.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A named temporary file has mode 0600 from the start.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, content)?;
    file.as_file().sync_data()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Notes {
        numbers: Vec<u32>,
    }

    fn notes(numbers: &[u32]) -> Notes {
        let numbers = numbers.to_vec();
        Notes { numbers }
    }

    fn aside(path: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains(".broken-")).collect()
    }

    #[tokio::test]
    async fn what_is_written_is_read_and_what_is_spoilt_is_set_aside() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/main.json");
        let (mut file, nothing) = StateFile::open::<Notes>(&path);
        assert_eq!(nothing, Notes::default());
        file.write(&notes(&[1, 2])).await;
        assert_eq!(StateFile::open::<Notes>(&path).1, notes(&[1, 2]));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        for spoilt in [
            "{\"numbers\": [1",
            "",
            "[]",
            "{\"version\":2,\"numbers\":[1]}",
        ] {
            std::fs::write(&path, spoilt).unwrap();
            assert_eq!(StateFile::open::<Notes>(&path).1, Notes::default());
            assert!(!path.exists(), "{spoilt}");
            let kept = aside(&path);
            assert_eq!(kept.len(), 1, "{kept:?}");
            let kept = path.with_file_name(&kept[0]);
            assert_eq!(std::fs::read_to_string(&kept).unwrap(), spoilt);
            std::fs::remove_file(kept).unwrap();
        }
        std::fs::write(&path, "{\"numbers\":[3]}").unwrap();
        assert_eq!(
            StateFile::open::<Notes>(&path).1,
            notes(&[3]),
            "of before versions"
        );
    }

    #[test]
    fn few_spoilt_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.json");
        for number in 0..6 {
            let old = with_suffix(&path, &format!(".broken-2026010{number}T000000Z"));
            std::fs::write(old, "").unwrap();
        }
        forget_old(&path);
        let mut kept = aside(&path);
        kept.sort_unstable();
        assert_eq!(kept.len(), ASIDE_MAX);
        assert!(kept[0].ends_with("20260103T000000Z"), "{kept:?}");
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("file-and-no-folder");
        let path = folder.join("main.json");
        let (mut file, _) = StateFile::open::<Notes>(&path);
        std::fs::write(&folder, "").unwrap();
        file.write(&notes(&[1])).await;
        assert!(file.is_failing());
        std::fs::remove_file(&folder).unwrap();
        file.write(&notes(&[1])).await;
        assert!(!file.is_failing() && path.exists());
    }
}
