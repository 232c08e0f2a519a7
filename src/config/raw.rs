//! A section of the configuration, read key by key: whoever reads a key names it, its type and its default in one place.
//!
//! Reading never stops at a fault: it is noted and reading goes on, so that all of them are told at once. Keys nobody
//! asked for are faults too, and so a list of known keys need not be kept beside the code that reads them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ::config::{Value, ValueKind};

use super::faults::Faults;
use super::source::{Source, join};
use super::values::{self, Read};

/// What is being read: the sources, and the faults found so far.
pub(super) struct Raw {
    source: Arc<Source>,
    faults: RefCell<Faults>,
    known: RefCell<BTreeSet<String>>,
    unknown: RefCell<Vec<Unknown>>,
}

impl Raw {
    pub fn new(file: &Path, source: Arc<Source>) -> Self {
        Self {
            source,
            faults: RefCell::new(Faults::new(&file.display().to_string())),
            known: RefCell::default(),
            unknown: RefCell::default(),
        }
    }

    pub fn root(&self) -> Section<'_> {
        let values = self.source.tree.clone().into_iter().collect();
        Section::new(self, String::new(), values, true)
    }

    /// Every key that was asked for, whether or not it was there.
    #[cfg(test)]
    pub fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    pub fn into_faults(self) -> Faults {
        let mut faults = self.faults.into_inner();
        let known = self.known.into_inner();
        for unknown in self.unknown.into_inner() {
            let key = join(&unknown.section, &unknown.key);
            if let Some(meant) = unknown.meant().filter(|key| unknown.absent.contains(key)) {
                // One mistake, told once: what is missing is there under another name.
                faults.forget(&join(&unknown.section, meant));
            }
            faults.push(self.source.place(&key), &key, unknown.message(&known));
        }
        faults
    }
}

/// A key that is not of its section.
struct Unknown {
    section: String,
    key: String,
    asked: Vec<&'static str>,
    absent: BTreeSet<&'static str>,
}

impl Unknown {
    fn meant(&self) -> Option<&'static str> {
        values::nearest(&self.key, &self.asked)
    }

    fn message(&self, known: &BTreeSet<String>) -> String {
        if let Some(name) = self.meant() {
            return format!("is not a known key; write {name}");
        }
        let elsewhere = known.iter().find_map(|known| {
            let (section, key) = known.rsplit_once('.')?;
            (key == self.key).then_some(section)
        });
        match elsewhere {
            Some(section) => format!("is not a key of this section; write it under [{section}]"),
            None => format!("is not a known key; write one of {}", self.asked.join(", ")),
        }
    }
}

/// One table of keys.
pub(super) struct Section<'a> {
    raw: &'a Raw,
    path: String,
    values: BTreeMap<String, Value>,
    asked: Vec<&'static str>,
    absent: BTreeSet<&'static str>,
    present: bool,
}

impl<'a> Section<'a> {
    fn new(raw: &'a Raw, path: String, values: BTreeMap<String, Value>, present: bool) -> Self {
        Self {
            raw,
            path,
            values,
            asked: Vec::new(),
            absent: BTreeSet::new(),
            present,
        }
    }

    /// Whether the section was written at all.
    pub fn is_present(&self) -> bool {
        self.present
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// What relative paths are relative to.
    pub fn folder(&self) -> &'a Path {
        &self.raw.source.folder
    }

    /// Notes that something is wrong with `key`, or with the section itself when it is empty.
    pub fn fault(&self, key: &str, message: impl Into<String>) {
        let key = self.whole(key);
        let place = self.raw.source.place(&key);
        let mut faults = self.raw.faults.borrow_mut();
        faults.push(place, &key, message.into());
    }

    /// `None` where the key is missing or at fault.
    pub fn get<T>(&mut self, key: &'static str, read: impl Read<T>) -> Option<T> {
        let value = self.take(key)?;
        match read(&value) {
            Ok(read) => Some(read),
            Err(message) => {
                self.fault(key, message);
                None
            }
        }
    }

    pub fn get_or<T>(&mut self, key: &'static str, default: T, read: impl Read<T>) -> T {
        self.get(key, read).unwrap_or(default)
    }

    /// As `get`, but a missing key is a fault; `write` says what to write.
    pub fn required<T>(&mut self, key: &'static str, write: &str, read: impl Read<T>) -> Option<T> {
        if !self.values.contains_key(key) {
            drop(self.take(key));
            self.fault(key, format!("is missing; write {write}"));
            return None;
        }
        self.get(key, read)
    }

    /// A list, of which each item at fault is told by itself.
    pub fn list<T>(&mut self, key: &'static str, read: impl Read<T>) -> Option<Vec<T>> {
        let items = values::items(self.take(key)?);
        let items = items.map_err(|message| self.fault(key, message)).ok()?;
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match read(item) {
                Ok(item) => list.push(item),
                Err(message) => self.fault(&format!("{key}[{index}]"), message),
            }
        }
        Some(list)
    }

    pub fn section(&mut self, key: &'static str) -> Section<'a> {
        let path = join(&self.path, key);
        let value = self.take(key);
        let present = matches!(&value, Some(value) if matches!(value.kind, ValueKind::Table(_)));
        let values = value.and_then(|value| self.table(key, value));
        Section::new(self.raw, path, values.unwrap_or_default(), present)
    }

    /// A list of tables.
    pub fn sections(&mut self, key: &'static str) -> Option<Vec<Section<'a>>> {
        let items = values::items(self.take(key)?);
        let items = items.map_err(|message| self.fault(key, message)).ok()?;
        let mut sections = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let name = format!("{key}[{index}]");
            let path = join(&self.path, &name);
            let section = self.table(&name, item);
            sections.extend(section.map(|values| Section::new(self.raw, path, values, true)));
        }
        Some(sections)
    }

    /// Tables under names of the operator's choice.
    pub fn named_sections(&mut self, key: &'static str) -> BTreeMap<String, Section<'a>> {
        let tables = self.section(key);
        let mut sections = BTreeMap::new();
        for (name, value) in &tables.values {
            if let Some(values) = tables.table(name, value.clone()) {
                let section = Section::new(self.raw, join(&tables.path, name), values, true);
                sections.insert(name.clone(), section);
            }
        }
        sections
    }

    /// Whether `key` has a fault noted, so that nothing follows from its absence.
    pub fn is_at_fault(&self, key: &str) -> bool {
        let key = self.whole(key);
        let faults = self.raw.faults.borrow();
        faults.iter().any(|fault| fault.key.starts_with(&key))
    }

    /// Keys that cannot be judged because of another fault.
    pub fn ignore(&mut self, keys: &[&'static str]) {
        for key in keys {
            self.take(key);
        }
    }

    /// Whatever else is written here cannot be judged either.
    pub fn ignore_rest(&mut self) {
        self.values.clear();
    }

    /// Keys that have a meaning only beside another one.
    pub fn refuse(&mut self, keys: &[&'static str], only: &str) {
        for key in keys {
            if self.take(key).is_some() {
                self.fault(key, format!("belongs only to {only}; remove it"));
            }
        }
    }

    /// Tells the keys that nobody asked for, once all sections are read.
    pub fn finish(self) {
        let mut unknown = self.raw.unknown.borrow_mut();
        for key in self.values.into_keys() {
            unknown.push(Unknown {
                section: self.path.clone(),
                key,
                asked: self.asked.clone(),
                absent: self.absent.clone(),
            });
        }
    }

    fn whole(&self, key: &str) -> String {
        match key {
            "" => self.path.clone(),
            key => join(&self.path, key),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asks(key);
        let value = self.values.remove(key);
        if value.is_none() {
            self.absent.insert(key);
        }
        value
    }

    fn asks(&mut self, key: &'static str) {
        if !self.asked.contains(&key) {
            self.asked.push(key);
            let path = join(&self.path, key);
            self.raw.known.borrow_mut().insert(path);
        }
    }

    /// `None` where it is no table, which is then told.
    fn table(&self, key: &str, value: Value) -> Option<BTreeMap<String, Value>> {
        if let ValueKind::Table(table) = value.kind {
            return Some(table.into_iter().collect());
        }
        let write = match key.ends_with(']') {
            true => "{ key = value, ... } in its place".to_owned(),
            false => format!("[{}] and the keys under it", join(&self.path, key)),
        };
        let shown = values::shown(&value);
        let message = format!("is {shown} where a table of keys belongs; write {write}");
        self.fault(key, message);
        None
    }
}
