//! From `[pools.NAME.recording]` to `RecordingConfig`: whose terminals are recorded, where, and how much.

use std::path::PathBuf;

use super::raw::Section;
use super::units::{show_size, size};
use super::values::{boolean, path, text, word};
use super::{OnFailure, RecordingConfig};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// `None` where it is not switched on; its keys are judged all the same.
pub(super) fn recording(mut section: Section<'_>, folder: PathBuf) -> Option<RecordingConfig> {
    let choices = &[("refuse", OnFailure::Refuse), ("go-on", OnFailure::GoOn)];
    let base = section.folder();
    let enabled = section.get_or("enabled", false, boolean);
    let config = RecordingConfig {
        users: section.list("users", text).unwrap_or_default(),
        unix_groups: section.list("unix_groups", text).unwrap_or_default(),
        folder: section.get_or("folder", folder, path(base)),
        file_max: section.get_or("file_max", 256 * MIB, size(MIB..=TIB)),
        folder_max: section.get_or("folder_max", 20 * GIB, size(MIB..=1024 * TIB)),
        free_min: section.get_or("free_min", GIB, size(0..=1024 * TIB)),
        on_failure: section.get_or("on_failure", OnFailure::Refuse, word(choices)),
        input: section.get_or("input", false, boolean),
    };
    if config.file_max > config.folder_max {
        let (file, folder) = (show_size(config.file_max), show_size(config.folder_max));
        let message = format!(
            "is {file}, above folder_max ({folder}); write at most \"{folder}\", or raise folder_max"
        );
        section.fault("file_max", message);
    }
    section.finish();
    enabled.then_some(config)
}
