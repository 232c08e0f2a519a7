//! One local process and its process group: started with a pipe as stdin, its output in a log file, stopped politely and
//! then for certain. What to run, and whether to run it again, is `process`'s business.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// A log longer than this is set aside (one generation is kept) when its process starts again.
const LOG_LIMIT_BYTES: u64 = 8 * 1024 * 1024;

/// A running process that leads its own group, so that a ctrl-c in the terminal reaches the gate alone.
pub struct GroupChild {
    child: Child,
    group: Option<Pid>,
}

impl GroupChild {
    /// Starts `command` (program and arguments) in `folder`, with its output appended to the file `log` there.
    ///
    /// Its stdin is a pipe that nothing is written to: it closes when the gate ends, however abruptly, and a process that
    /// reads it can end too.
    ///
    /// # Errors
    /// The program cannot be started or the log not be opened.
    pub fn spawn(command: &[String], folder: &Path) -> io::Result<Self> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| io::Error::other("the command is empty"))?;
        let log = open_log(&folder.join("log"))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        Ok(Self { child, group })
    }

    /// The process id; `None` once it is reaped.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the process to end, and then ends whatever is left of its group: when a machine dies, nothing on it
    /// lives on.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        // Not `Child::wait`, which would close stdin first and so ask the process to end.
        let stdin = self.child.stdin.take();
        let status = self.child.wait().await;
        drop(stdin);
        self.signal(Signal::SIGKILL);
        status
    }

    /// SIGTERM to the group, and SIGKILL when the process is still there after `patience`.
    pub async fn stop(mut self, patience: Duration) {
        self.signal(Signal::SIGTERM);
        self.child.stdin = None;
        if tokio::time::timeout(patience, self.child.wait())
            .await
            .is_ok()
        {
            self.signal(Signal::SIGKILL);
            return;
        }
        self.signal(Signal::SIGKILL);
        if let Err(error) = self.child.wait().await {
            tracing::warn!(%error, "a killed process could not be reaped");
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // An error means that nothing is left of the group, which is what every caller wants.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for GroupChild {
    fn drop(&mut self) {
        // Where the runtime goes away before `stop` could run, the group must not outlive the gate.
        if self.child.id().is_some() {
            self.signal(Signal::SIGKILL);
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let length = path.metadata().map_or(0, |metadata| metadata.len());
    if length > LOG_LIMIT_BYTES {
        std::fs::rename(path, path.with_extension("old"))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}
