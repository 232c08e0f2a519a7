//! Why a recording is incomplete or absent.
//!
//! The text goes to the log and the audit line, for operators; the person hears only that there is no recording.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub(super) enum RecordingFault {
    #[error("cannot write {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("{} may be entered by others than its owner; chmod 700 it", .0.display())]
    OpenFolder(PathBuf),
    #[error("the recording has reached file_max")]
    FileFull,
    #[error("the recordings in {} have reached folder_max; move or delete old ones", .0.display())]
    FolderFull(PathBuf),
    #[error("less than free_min is free where {} is; move or delete something", .0.display())]
    DiskFull(PathBuf),
    #[error("the disk of the recordings is too slow: what waits for it has reached its limit")]
    Slow,
    #[error("one session has asked for more terminals than are recorded")]
    TooManyTerminals,
    #[error("the thread that writes recordings is gone")]
    NoWriter,
}

impl RecordingFault {
    /// The limit that was hit, as metrics name it; `None` where it was no limit.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::Write { .. } | Self::OpenFolder(_) | Self::NoWriter => None,
            // Counted for each terminal that is turned away.
            Self::TooManyTerminals => None,
            Self::FileFull => Some("pools.recording.file_max"),
            Self::FolderFull(_) => Some("pools.recording.folder_max"),
            Self::DiskFull(_) => Some("pools.recording.free_min"),
            Self::Slow => Some("recording.queue"),
        }
    }
}
