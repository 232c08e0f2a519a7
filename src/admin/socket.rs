//! The admin socket's file: made for its owner alone, replacing a stale one, and removed at the end.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{UnixListener, UnixStream};

/// Listens on a file, which is removed when this is dropped unless another process has put its own there.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, by whom it is removed at the end; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SocketFile {
    /// With its inode; `None` where it is somebody else's to remove.
    own: Arc<Mutex<Option<(PathBuf, u64)>>>,
}

impl SocketFile {
    /// This process removes it from here on.
    ///
    /// # Errors
    /// When it is not there.
    pub fn adopt(&self, path: &Path) -> io::Result<()> {
        let inode = fs::metadata(path)?.ino();
        *self.lock() = Some((path.to_path_buf(), inode));
        Ok(())
    }

    /// Where it is, if this process removes it.
    pub fn path(&self) -> Option<PathBuf> {
        let own = self.lock();
        own.as_ref().map(|(path, _)| path.clone())
    }

    /// Another process removes it from here on.
    pub fn leave(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<(PathBuf, u64)>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdminSocket {
    /// Another handle of it, for another process.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn share(&self) -> io::Result<(OwnedFd, SocketFile)> {
        let descriptor = self.listener.as_fd().try_clone_to_owned()?;
        Ok((descriptor, self.file.clone()))
    }

    /// Its file has another path from here on; one that is there is replaced.
    ///
    /// # Errors
    /// When the file is not this process's own, or as rename(2).
    pub fn move_to(&self, path: &Path) -> io::Result<()> {
        let mut own = self.file.lock();
        let Some((from, _)) = &mut *own else {
            return Err(io::ErrorKind::NotFound.into());
        };
        fs::rename(&*from, path)?;
        *from = path.to_path_buf();
        Ok(())
    }

    /// # Errors
    /// As accept(2).
    pub async fn accept_one(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Some((path, inode)) = self.file.lock().take()
            && fs::metadata(&path).is_ok_and(|found| found.ino() == inode)
        {
            // Nothing depends on it: the next start replaces a stale file.
            drop(fs::remove_file(path));
        }
    }
}

/// Listens at `path`, mode 0600. Must be called within a tokio runtime.
///
/// # Errors
/// When another process answers there, when something that is no socket is in the way, or the folder is not writable.
pub fn bind_socket(path: &Path) -> io::Result<AdminSocket> {
    bind(path).map_err(|error| {
        let what = format!("admin.socket: cannot listen on {}: {error}", path.display());
        io::Error::new(error.kind(), what)
    })
}

/// Listens on a socket that somebody opened for the gate, who says by its file's owner and mode who may give orders.
///
/// # Errors
/// When the runtime cannot watch it.
pub fn inherit_socket(listener: std::os::unix::net::UnixListener) -> io::Result<AdminSocket> {
    let listener = UnixListener::from_std(listener)?;
    let file = SocketFile::default();
    Ok(AdminSocket { listener, file })
}

fn bind(path: &Path) -> io::Result<AdminSocket> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| {
            let what = format!("its folder cannot be made: {error}");
            io::Error::new(error.kind(), what)
        })?;
    refuse_taken(path)?;
    // Bound inside a private folder, so that nobody can connect before the mode is set; the move also replaces a stale file.
    let private = tempfile::Builder::new()
        .prefix(".")
        .rand_bytes(6)
        .tempdir_in(folder)?;
    let inside = private.path().join("s");
    let listener = UnixListener::bind(&inside)?;
    fs::set_permissions(&inside, Permissions::from_mode(0o600))?;
    fs::rename(&inside, path)?;
    let file = SocketFile::default();
    file.adopt(path)?;
    Ok(AdminSocket { listener, file })
}

fn refuse_taken(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            let kind = io::ErrorKind::AlreadyExists;
            Err(io::Error::new(
                kind,
                "something that is no socket is in the way",
            ))
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            let kind = io::ErrorKind::AddrInUse;
            Err(io::Error::new(kind, "another process answers there"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_respected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/admin.sock");
        fs::create_dir(folder.path().join("run")).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let socket = bind_socket(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let taken = bind_socket(&path).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(folder.path().join("run")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        fs::write(&path, "precious").unwrap();
        assert_eq!(
            bind_socket(&path).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
