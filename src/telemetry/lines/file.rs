//! Lines go to a file: appended in one write a batch, and the file put aside when that is due.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::{Kind, Out};
use crate::telemetry::rotation::{Rotating, Rotation};

pub(super) struct ToFile {
    kind: &'static Kind,
    out: File,
    rotating: Option<Rotating>,
    batch: Vec<u8>,
    /// A failed write may have left half a line, which the next one must not be joined to.
    torn: bool,
}

impl ToFile {
    /// # Errors
    /// When the folder cannot be made or the file not be opened.
    pub fn open(path: &Path, rotation: Option<Rotation>, kind: &'static Kind) -> io::Result<Self> {
        make_folder(path, kind)?;
        let out = open_append(path, kind)?;
        let rotating = rotation.map(|rotation| Rotating::new(path, rotation, &out));
        Ok(Self {
            kind,
            out,
            rotating,
            batch: Vec::new(),
            torn: false,
        })
    }

    fn rotate_if_due(&mut self, more: usize) {
        let kind = self.kind;
        let Some(rotating) = &mut self.rotating else {
            return;
        };
        match rotating.rotate_if_due(more, |path| open_append(path, kind)) {
            Ok(Some(out)) => self.reopen(out),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "{} could not be rotated; the old file stays in use", kind.key);
            }
        }
    }
}

impl Out for ToFile {
    fn write(&mut self, lines: &[Vec<u8>]) -> Result<(), (u64, io::Error)> {
        self.batch.clear();
        if self.torn {
            self.batch.push(b'\n');
        }
        for line in lines {
            self.batch.extend_from_slice(line);
        }
        self.rotate_if_due(self.batch.len());
        let written = self.out.write_all(&self.batch);
        self.torn = written.is_err();
        written.map_err(|error| (lines.len() as u64, error))?;
        if let Some(rotating) = &mut self.rotating {
            rotating.wrote(self.batch.len());
        }
        Ok(())
    }

    fn reopen(&mut self, out: File) {
        if let Some(rotating) = &mut self.rotating {
            rotating.opened(&out);
        }
        self.out = out;
        self.torn = false;
    }

    fn rest(&mut self) {
        self.rotate_if_due(0);
        let forgotten = self.rotating.as_ref().map(Rotating::forget_old);
        if let Some(Err(error)) = forgotten {
            tracing::error!(%error, "old files of {} could not be deleted", self.kind.key);
        }
    }
}

fn make_folder(file: &Path, kind: &Kind) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(|error| {
        let what = format!(
            "{}: cannot make the folder {}: {error}",
            kind.key,
            folder.display()
        );
        io::Error::new(error.kind(), what)
    })
}

pub(super) fn open_append(path: &Path, kind: &Kind) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).append(true).mode(0o600).open(path);
    opened.map_err(|error| {
        let what = format!("{}: cannot write to {}: {error}", kind.key, path.display());
        io::Error::new(error.kind(), what)
    })
}
