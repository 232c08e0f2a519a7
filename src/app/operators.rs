//! The operators' side as a reload finds it: who answers, by which ways people come in, and the socket file, which may move.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, AdminSide, AdminSocket, AdminState, NextTls, NextWays, SocketFile};
use crate::config::AdminConfig;

/// The socket file, open.
pub(super) struct OpenSocket {
    /// As configured.
    path: PathBuf,
    pub handle: OwnedFd,
    pub file: SocketFile,
    stop: CancellationToken,
}

/// What takes the place of what is there; dropped, it changes nothing.
pub(super) struct NextOperators {
    ways: NextWays,
    tls: NextTls,
    socket: NextSocket,
}

enum NextSocket {
    Same,
    None,
    Other(PathBuf, AdminSocket),
}

impl OpenSocket {
    /// # Errors
    /// When no descriptor is left.
    pub fn of(path: PathBuf, socket: &AdminSocket, ending: &CancellationToken) -> io::Result<Self> {
        let (handle, file) = socket.share()?;
        let stop = ending.child_token();
        Ok(Self {
            path,
            handle,
            file,
            stop,
        })
    }

    /// Fires when nobody is to answer there any more.
    pub fn until(&self) -> CancellationToken {
        self.stop.clone()
    }
}

/// Everything that can fail; the socket last, as its file is seen at once.
///
/// # Errors
/// One line that begins with the key at fault.
pub(super) fn prepare(
    state: &AdminState,
    open: Option<&OpenSocket>,
    config: &AdminConfig,
) -> anyhow::Result<NextOperators> {
    let ways = state.access.prepare(config)?;
    let tls = state.tls.prepare(config.tls.as_ref())?;
    let socket = match (&config.socket, open) {
        (Some(path), Some(open)) if open.path == *path => NextSocket::Same,
        (Some(path), _) => NextSocket::Other(path.clone(), admin::bind_socket(path)?),
        (None, _) => NextSocket::None,
    };
    Ok(NextOperators { ways, tls, socket })
}

/// Puts it in force. Who asks at a socket that is given up still has the answer.
pub(super) fn change(
    state: &AdminState,
    (side, open): (&AdminSide, &mut Option<OpenSocket>),
    next: NextOperators,
    (tasks, ending): (&TaskTracker, &CancellationToken),
) {
    state.access.change(next.ways);
    state.tls.change(next.tls);
    let opened = match next.socket {
        NextSocket::Same => return,
        NextSocket::None => None,
        NextSocket::Other(path, socket) => match OpenSocket::of(path, &socket, ending) {
            Ok(opened) => {
                tasks.spawn(side.clone().serve_socket(socket, opened.until()));
                Some(opened)
            }
            Err(error) => {
                tracing::error!(%error, "the operators' socket stays where it was");
                return;
            }
        },
    };
    let before = std::mem::replace(open, opened);
    if let Some(before) = before {
        before.stop.cancel();
    }
}
