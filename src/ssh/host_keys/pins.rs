//! Host keys pinned at first use, one line an instance in a file of the state folder.
//!
//! A pin belongs to one machine: it names the instance's generation and is void for the next one. Every pin is on disk
//! before it counts; the file is read again when an operator has edited it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::HostKeyError;
use super::lists::{parse_key, read_text};
use crate::files::Stamp;
use crate::pool::Instance;
use crate::ssh::wire::keys::key_type;

/// The file's name in the state folder.
pub const FILE_NAME: &str = "instance_host_keys";
/// Far above any pool; the limit keeps an endless sequence of names from filling the disk.
const PINS_MAX: usize = 20_000;
/// Raised when a gate of before would misread what this one writes.
const FORMAT: u32 = 1;
const FORMAT_LINE: &str = "# Format ";
const HEADER: &str = "# Host keys of instances, pinned at first use: POOL/INSTANCE GENERATION TYPE KEY\n\
                      # Delete an instance's line to accept its next key.\n";

const NO_PIN: &str = "expected POOL/INSTANCE GENERATION TYPE KEY; correct the line, or delete it and the next key of its instance \
                      is pinned";
const NEWER: &str = "a newer Poolgate wrote this file, and this one cannot tell what it says: install that version again";

pub struct Pins {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// By `POOL/INSTANCE`.
    pins: BTreeMap<String, Pin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pin {
    generation: u64,
    key_blob: Vec<u8>,
}

impl Pins {
    /// An absent file is an empty one.
    pub fn open(state_dir: &Path) -> Result<Self, HostKeyError> {
        let mut pins = Self {
            path: state_dir.join(FILE_NAME),
            stamp: None,
            pins: BTreeMap::new(),
        };
        pins.refresh()?;
        Ok(pins)
    }

    /// Accepts the pinned key, pins the first one, and refuses any other.
    pub fn check(&mut self, instance: &Instance, key_blob: &[u8]) -> Result<(), HostKeyError> {
        self.refresh()?;
        let name = instance.id.to_string();
        let generation = instance.generation;
        let pinned = self.pins.get(&name);
        if let Some(pin) = pinned.filter(|pin| pin.generation == generation) {
            if pin.key_blob == key_blob {
                return Ok(());
            }
            let path = self.path.clone();
            return Err(HostKeyError::changed(
                instance,
                &pin.key_blob,
                key_blob,
                path,
            ));
        }
        if self.pins.len() >= PINS_MAX && !self.pins.contains_key(&name) {
            return Err(HostKeyError::TooMuch {
                path: self.path.clone(),
                limit: u64::try_from(PINS_MAX).unwrap_or(u64::MAX),
                what: "pinned host keys",
            });
        }
        let mut pins = self.pins.clone();
        let key_blob = key_blob.to_vec();
        pins.insert(
            name,
            Pin {
                generation,
                key_blob,
            },
        );
        self.write(pins)
    }

    /// The key this instance must show, if one is pinned.
    pub fn key_of(&self, instance: &Instance) -> Option<&[u8]> {
        let pin = self.pins.get(&instance.id.to_string())?;
        (pin.generation == instance.generation).then_some(pin.key_blob.as_slice())
    }

    /// A file that cannot be understood trusts nothing, and is left as it is: what it says may be all that tells a machine
    /// from one that pretends to be it.
    fn refresh(&mut self) -> Result<(), HostKeyError> {
        self.read_if_changed().map_err(|source| HostKeyError::Pins {
            source: Box::new(source),
        })
    }

    fn read_if_changed(&mut self) -> Result<(), HostKeyError> {
        let stamp = match std::fs::metadata(&self.path) {
            Ok(found) => Some(Stamp::of(&found)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(source) => {
                let path = self.path.clone();
                return Err(HostKeyError::File { path, source });
            }
        };
        if stamp == self.stamp {
            return Ok(());
        }
        self.pins = match stamp {
            Some(_) => parse(&read_text(&self.path)?).map_err(|(line, reason)| {
                let path = self.path.clone();
                HostKeyError::Line { path, line, reason }
            })?,
            None => BTreeMap::new(),
        };
        self.stamp = stamp;
        Ok(())
    }

    /// Replaces the file in one step: a crash leaves the old one or the new one, never half of one.
    fn write(&mut self, pins: BTreeMap<String, Pin>) -> Result<(), HostKeyError> {
        let path = &self.path;
        let unusable = |source| HostKeyError::File {
            path: path.clone(),
            source,
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        // A named temporary file has mode 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(unusable)?;
        file.write_all(print(&pins).as_bytes()).map_err(unusable)?;
        file.as_file().sync_all().map_err(unusable)?;
        let file = file.persist(path).map_err(|error| unusable(error.error))?;
        let stamp = Stamp::of(&file.metadata().map_err(unusable)?);
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(unusable)?;
        self.stamp = Some(stamp);
        self.pins = pins;
        Ok(())
    }
}

fn print(pins: &BTreeMap<String, Pin>) -> String {
    let mut text = format!("{HEADER}{FORMAT_LINE}{FORMAT}\n");
    for (name, pin) in pins {
        let kind = key_type(&pin.key_blob).unwrap_or_default();
        let key = STANDARD.encode(&pin.key_blob);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} {} {kind} {key}", pin.generation);
    }
    text
}

fn parse(text: &str) -> Result<BTreeMap<String, Pin>, (usize, &'static str)> {
    let mut pins = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if is_newer(line) {
            return Err((index + 1, NEWER));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = (index + 1, NO_PIN);
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, generation, kind, key] = words[..] else {
            return Err(fault);
        };
        let generation = generation.parse().map_err(|_| fault)?;
        let key_blob = parse_key(kind, key).ok_or(fault)?;
        pins.insert(
            name.to_owned(),
            Pin {
                generation,
                key_blob,
            },
        );
    }
    Ok(pins)
}

fn is_newer(line: &str) -> bool {
    let format = line.strip_prefix(FORMAT_LINE);
    format.is_some_and(|format| !format.parse().is_ok_and(|format: u32| format <= FORMAT))
}

#[cfg(test)]
mod tests;
