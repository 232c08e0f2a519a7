//! What one file says, for those who ask often: they never wait for its disk. Looks from time to time take new content once it
//! stands still; content that is of no use is told and changes nothing.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{FileFaults, Settling, Stamp};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const BEFORE: &str = "what was read before stays in force";

type Load<T> = Box<dyn Fn(&Path) -> Result<T, String> + Send + Sync>;

pub struct Followed<T> {
    key: String,
    path: PathBuf,
    load: Load<T>,
    held: RwLock<Held<T>>,
    settling: Mutex<Settling<Option<Stamp>>>,
    faults: FileFaults,
}

struct Held<T> {
    content: Arc<T>,
    /// What is said to be in force while the file is of no use.
    meanwhile: &'static str,
}

impl<T> Followed<T> {
    /// Reads it once. `key` names it in the configuration.
    ///
    /// # Errors
    /// As `load`: it must be of use to begin with.
    pub fn open<E: Display>(
        key: &str,
        path: &Path,
        load: impl Fn(&Path) -> Result<T, E> + Send + Sync + 'static,
        faults: FileFaults,
    ) -> Result<Self, E> {
        // Before it is read: what changes meanwhile is seen later.
        let stamp = Stamp::at(path);
        let content = load(path)?;
        Ok(Self::of(key, path, load, (stamp, content), faults, BEFORE))
    }

    /// As `open`, but with `lacking` for as long as the file was never of use, which `meanwhile` puts in words.
    pub fn open_or<E: Display>(
        key: &str,
        path: &Path,
        load: impl Fn(&Path) -> Result<T, E> + Send + Sync + 'static,
        (lacking, meanwhile): (T, &'static str),
        faults: FileFaults,
    ) -> Self {
        let stamp = Stamp::at(path);
        match load(path) {
            Ok(content) => Self::of(key, path, load, (stamp, content), faults, BEFORE),
            Err(error) => {
                faults.refuse(key, path, &error, meanwhile);
                Self::of(key, path, load, (stamp, lacking), faults, meanwhile)
            }
        }
    }

    fn of<E: Display>(
        key: &str,
        path: &Path,
        load: impl Fn(&Path) -> Result<T, E> + Send + Sync + 'static,
        (stamp, content): (Option<Stamp>, T),
        faults: FileFaults,
        meanwhile: &'static str,
    ) -> Self {
        Self {
            key: key.to_owned(),
            path: path.to_path_buf(),
            load: Box::new(move |path| load(path).map_err(|error| error.to_string())),
            held: RwLock::new(Held {
                content: Arc::new(content),
                meanwhile,
            }),
            settling: Mutex::new(Settling::new(stamp)),
            faults,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What counts at this moment.
    pub fn current(&self) -> Arc<T> {
        self.held().content.clone()
    }

    fn held(&self) -> RwLockReadGuard<'_, Held<T>> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, content: T) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        *held = Held {
            content: Arc::new(content),
            meanwhile: BEFORE,
        };
    }

    fn read(&self) {
        match (self.load)(&self.path) {
            Ok(content) => {
                self.put(content);
                self.faults.take(&self.key, &self.path);
            }
            Err(why) => {
                let (key, path) = (&self.key, &self.path);
                let meanwhile = self.held().meanwhile;
                self.faults.refuse(key, path, &why, meanwhile);
            }
        }
    }
}

/// Something that is to be looked at from time to time; looks may wait for a disk.
pub trait Look: Send + Sync + 'static {
    fn look(&self);

    /// Takes what is there at once, as a reload does that has judged it.
    fn renew(&self) {}
}

impl<T: Send + Sync + 'static> Look for Followed<T> {
    fn look(&self) {
        let stamp = Stamp::at(&self.path);
        let settling = self.settling.lock();
        let has_settled = settling
            .unwrap_or_else(PoisonError::into_inner)
            .has_settled(stamp);
        if has_settled {
            self.read();
        }
    }

    fn renew(&self) {
        let settling = self.settling.lock();
        let mut settling = settling.unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::at(&self.path);
        if settling.is_other(&stamp)
            && let Ok(content) = (self.load)(&self.path)
        {
            *settling = Settling::new(stamp);
            self.put(content);
            self.faults.settle(&self.key, &self.path);
        }
    }
}

/// Looks at each of them every second, until `until`. One whose disk hangs holds up none of the others.
pub async fn follow(all: Vec<Arc<dyn Look>>, until: CancellationToken) {
    let mut following = JoinSet::new();
    for one in all {
        following.spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let one = one.clone();
                if tokio::task::spawn_blocking(move || one.look())
                    .await
                    .is_err()
                {
                    // It has said so itself.
                    return;
                }
            }
        });
    }
    until.cancelled().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn text(path: &Path) -> Result<String, String> {
        match fs::read_to_string(path) {
            Ok(text) if text.starts_with("bad") => Err(format!("{text} is no good")),
            Ok(text) => Ok(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn new_content_counts_once_it_stands_still_and_a_broken_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "one").unwrap();
        let faults = FileFaults::default();
        let file = Followed::open("a.list", &path, text, faults.clone()).unwrap();
        fs::write(&path, "two").unwrap();
        file.look();
        assert_eq!(*file.current(), "one", "it may not be whole yet");
        file.look();
        assert_eq!(*file.current(), "two");
        for broken in [Some("bad"), Some("bad again"), None] {
            match broken {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            file.look();
            file.look();
            assert_eq!(*file.current(), "two");
            let standing = faults.now();
            assert_eq!((standing.len(), &*standing[0].key), (1, "a.list"));
            assert!(standing[0].why.ends_with(BEFORE), "{standing:?}");
        }
        fs::write(&path, "three").unwrap();
        file.look();
        file.look();
        assert_eq!(*file.current(), "three");
        assert_eq!(faults.now(), []);
    }

    #[test]
    fn a_file_that_never_was_of_use_has_what_it_lacks_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        let faults = FileFaults::default();
        assert!(Followed::open("k", &path, text, faults.clone()).is_err());
        let lacking = ("nothing".to_owned(), "nobody gets in");
        let file = Followed::open_or("k", &path, text, lacking, faults.clone());
        assert_eq!(*file.current(), "nothing");
        assert!(faults.now()[0].why.ends_with("nobody gets in"));
        fs::write(&path, "one").unwrap();
        file.look();
        file.look();
        assert_eq!((&**file.current(), faults.now()), ("one", vec![]));
    }
}
