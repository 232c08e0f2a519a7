//! What tells one state of a file from another, and when something that changes has come to rest.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Changes whenever a file, what a link leads to, its owner or its mode do. Times are only compared, so that a clock which is set
/// back does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    file: (u64, u64),
    size: u64,
    /// Any change moves the ctime, also where a copy keeps the old mtime.
    changed: (i64, i64),
}

impl Stamp {
    /// `None` where there is no such file.
    pub fn at(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|found| Self::of(&found))
    }

    pub fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// Follows something by looks at it: who saves a file in several steps, or two files that belong together, is not read midway.
#[derive(Debug)]
pub struct Settling<S> {
    known: S,
    /// Another one than the known, seen at the last look.
    moving: Option<S>,
}

impl<S: Clone + PartialEq> Settling<S> {
    pub fn new(known: S) -> Self {
        Self {
            known,
            moving: None,
        }
    }

    pub fn is_other(&self, seen: &S) -> bool {
        *seen != self.known
    }

    /// Whether it is another than before and the same as at the last look; told once.
    pub fn has_settled(&mut self, seen: S) -> bool {
        let is_other = self.is_other(&seen);
        if is_other && self.moving.as_ref() == Some(&seen) {
            *self = Self::new(seen);
            return true;
        }
        self.moving = is_other.then_some(seen);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_told_once_it_stands_still() {
        let mut settling = Settling::new(1);
        let seen = [1, 2, 3, 3, 3, 0, 3, 2, 2, 2];
        let settled = seen.map(|stamp| settling.has_settled(stamp));
        assert_eq!(
            settled.map(u8::from),
            [0, 0, 0, 1, 0, 0, 0, 0, 1, 0],
            "half a file, one that comes back, and one that stays"
        );
    }

    #[test]
    fn a_change_of_any_kind_is_another_stamp() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a"), "one").unwrap();
        std::fs::write(path("b"), "one").unwrap();
        symlink(path("a"), path("link")).unwrap();
        let first = Stamp::at(&path("link"));
        assert_eq!(first, Stamp::at(&path("a")));
        symlink(path("b"), path("other")).unwrap();
        std::fs::rename(path("other"), path("link")).unwrap();
        let second = Stamp::at(&path("link"));
        assert_ne!(first, second, "a link that leads elsewhere");
        std::fs::set_permissions(path("b"), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_ne!(second, Stamp::at(&path("link")), "a mode");
        std::fs::remove_file(path("b")).unwrap();
        assert_eq!(Stamp::at(&path("link")), None);
    }
}
