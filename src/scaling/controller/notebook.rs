//! What a controller knows, as a JSON file that is replaced as a whole.
//!
//! A file that cannot be understood is put aside, and said so: nothing is lost, and the controller begins anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file, and what was last written there.
pub(super) struct Notebook {
    path: PathBuf,
    written: Arc<str>,
    is_failing: bool,
}

impl Notebook {
    pub fn open<T: DeserializeOwned + Default>(path: &Path) -> (Self, T) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let file = path.display();
                tracing::error!(%file, %error, "what a controller wrote down cannot be read; it begins anew");
                String::new()
            }
        };
        let notes = match text.is_empty() {
            true => T::default(),
            false => serde_json::from_str(&text).unwrap_or_else(|error| {
                put_aside(path, &error);
                T::default()
            }),
        };
        let notebook = Self {
            path: path.to_owned(),
            written: text.into(),
            is_failing: false,
        };
        (notebook, notes)
    }

    /// Writes what has changed. A disk that fails is told once, and tried again with each change.
    pub async fn write<T: Serialize>(&mut self, notes: &T) {
        let Ok(text) = serde_json::to_string(notes) else {
            return;
        };
        if *self.written == *text {
            return;
        }
        let text: Arc<str> = text.into();
        let (path, content) = (self.path.clone(), text.clone());
        let written = tokio::task::spawn_blocking(move || replace(&path, content.as_bytes())).await;
        match written.map_err(std::io::Error::other).flatten() {
            Ok(()) => {
                self.written = text;
                self.is_failing = false;
            }
            Err(error) if !self.is_failing => {
                let file = self.path.display();
                tracing::error!(%file, %error, "what a controller knows cannot be written down");
                self.is_failing = true;
            }
            Err(_) => {}
        }
    }
}

fn put_aside(path: &Path, error: &serde_json::Error) {
    let aside = path.with_extension("broken");
    let (file, kept) = (path.display(), aside.display());
    tracing::error!(%file, %kept, %error, "what a controller wrote down is spoilt; it begins anew and keeps the old file aside");
    if let Err(error) = std::fs::rename(path, &aside) {
        tracing::error!(%file, %error, "the spoilt file cannot be put aside");
    }
}

/// Either the old content or the new is there after a crash.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, content)?;
    file.as_file().sync_data()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read_and_what_is_spoilt_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/main.json");
        let (mut book, nothing) = Notebook::open::<Vec<u32>>(&path);
        assert!(nothing.is_empty());
        book.write(&vec![1, 2]).await;
        assert_eq!(Notebook::open::<Vec<u32>>(&path).1, [1, 2]);
        std::fs::write(&path, "[1, 2").unwrap();
        assert!(Notebook::open::<Vec<u32>>(&path).1.is_empty());
        let aside = std::fs::read_to_string(path.with_extension("broken")).unwrap();
        assert_eq!(aside, "[1, 2");
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("file-and-no-folder");
        std::fs::write(&folder, "").unwrap();
        let path = folder.join("main.json");
        let (mut book, _) = Notebook::open::<u32>(&path);
        book.write(&1).await;
        assert!(book.is_failing);
        std::fs::remove_file(&folder).unwrap();
        book.write(&1).await;
        assert!(!book.is_failing && path.exists());
    }
}
