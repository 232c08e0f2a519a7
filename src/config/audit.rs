//! From `[audit]` to `AuditConfig`: where audit lines are kept, and when a file of them is put aside.
//!
//! Without a size and an age nothing is put aside, which leaves it to logrotate and its like.

use std::path::PathBuf;
use std::time::Duration;

use ::config::{Value, ValueKind};

use super::raw::Section;
use super::units::{duration_or_off, size};
use super::validate::seconds;
use super::values::{number, path_or_off};

const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const DAY_S: u64 = 24 * 3600;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditConfig {
    pub file: Option<PathBuf>,
    /// Bytes and age at which the file is put aside; without both nobody does it here.
    pub rotate_size: Option<u64>,
    pub rotate_age: Option<Duration>,
    /// Files put aside that are kept.
    pub keep: usize,
}

pub(super) fn audit(mut section: Section<'_>) -> AuditConfig {
    let folder = section.folder();
    let ages = seconds(3600)..=seconds(3650 * DAY_S);
    let config = AuditConfig {
        file: section.get_or("file", None, path_or_off(folder)),
        rotate_size: section.get_or("rotate_size", None, size_or_off),
        rotate_age: section.get_or("rotate_age", None, duration_or_off(ages)),
        keep: section.get_or("keep", 30, number(1..=10_000)),
    };
    section.finish();
    config
}

fn size_or_off(value: &Value) -> Result<Option<u64>, String> {
    match &value.kind {
        ValueKind::String(text) if text == "off" => Ok(None),
        _ => size(MIB..=TIB)(value)
            .map(Some)
            .map_err(|message| message.replace("; write ", "; write \"off\" or ")),
    }
}
