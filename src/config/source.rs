//! Reads the two sources, file and environment, into one tree, and remembers where each key was written.
//!
//! The `config` crate merges (the environment wins); toml_edit knows the lines. What keys mean is not known here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ::config::{Environment, File, FileFormat, Value, ValueKind};
use toml_edit::{Document, Item, Key, TableLike};

use super::faults::{Faults, Place};
use super::text::{line_at, syntax_fault};

pub(super) const PREFIX: &str = "POOLGATE";
pub(super) const SEPARATOR: &str = "__";

/// The merged tree, and where its keys come from.
#[derive(Debug)]
pub(super) struct Source {
    pub tree: HashMap<String, Value>,
    /// What relative paths are relative to: the folder of the file.
    pub folder: PathBuf,
    lines: BTreeMap<String, usize>,
    from_environment: BTreeSet<String>,
}

impl Source {
    /// `environment`: the variables to look at.
    pub fn read(
        file: &Path,
        text: &str,
        environment: HashMap<String, String>,
    ) -> Result<Self, Faults> {
        let name = file.display().to_string();
        let document = Document::parse(text).map_err(|error| syntax_fault(&name, text, &error))?;
        let mut lines = BTreeMap::new();
        note_table(text, "", document.as_table(), &mut lines);
        let roots = document.as_table().iter().map(|(root, _)| root);
        refuse_items(&name, roots, &lines, &environment)?;
        let variables = Environment::with_prefix(PREFIX)
            .prefix_separator(SEPARATOR)
            .separator(SEPARATOR)
            .source(Some(environment));
        let merged = ::config::Config::builder()
            .add_source(File::from_str(text, FileFormat::Toml))
            .add_source(variables)
            .build()
            .map_err(|error| Faults::of_file(&name, None, error.to_string()))?;
        let ValueKind::Table(tree) = merged.cache.kind else {
            let message = "is not a table of keys; write key = value lines".to_owned();
            return Err(Faults::of_file(&name, None, message));
        };
        let mut from_environment = BTreeSet::new();
        for (key, value) in &tree {
            note_environment(key, value, &mut from_environment);
        }
        Ok(Self {
            tree,
            folder: folder_of(file),
            lines,
            from_environment,
        })
    }

    /// Where `key` was written, or else what it would be part of; at worst, where the file begins.
    pub fn place(&self, key: &str) -> Place {
        let variable = with_parents(key).find(|part| self.from_environment.contains(*part));
        if let Some(variable) = variable {
            return Place::Environment(variable_of(variable));
        }
        if self.is_of_environment_alone(key) {
            return Place::Environment(variable_of(key));
        }
        let line = with_parents(key).find_map(|part| self.lines.get(part));
        Place::File(Some(line.copied().unwrap_or(1)))
    }
}

impl Source {
    /// Whether variables alone write the section that `key` belongs to, or what is under `key`.
    fn is_of_environment_alone(&self, key: &str) -> bool {
        let nearest = with_parents(key).find_map(|part| {
            let below = format!("{part}.");
            let is_below = |written: &String| written.starts_with(&below);
            let in_file = self.lines.keys().any(is_below);
            let in_environment = self.from_environment.iter().any(is_below);
            (in_file || in_environment).then_some(!in_file)
        });
        nearest.unwrap_or(false)
    }
}

/// The same variables, by which the folder of what outlives the process is this one.
pub(super) fn with_state_dir(
    variables: HashMap<String, String>,
    folder: String,
) -> HashMap<String, String> {
    let own = variable_of("state_dir");
    let is_other = |name: &String| !name.eq_ignore_ascii_case(&own);
    let mut variables: HashMap<_, _> = variables
        .into_iter()
        .filter(|(name, _)| is_other(name))
        .collect();
    variables.insert(own, folder);
    variables
}

/// The `config` crate takes `a[7]`, as a variable or a key of the file's root, for the eighth item of a list, and makes room
/// for as many items as that takes.
fn refuse_items<'a>(
    file: &str,
    roots: impl Iterator<Item = &'a str>,
    lines: &BTreeMap<String, usize>,
    environment: &HashMap<String, String>,
) -> Result<(), Faults> {
    let mut faults = Faults::new(file);
    let own = format!("{PREFIX}{SEPARATOR}").to_lowercase();
    for variable in environment.keys().filter(|name| name.contains('[')) {
        if variable.to_lowercase().starts_with(&own) {
            let message = r#"names an item of a list; write the whole list, A,B or ["A", "B"]"#;
            faults.push(Place::Environment(variable.clone()), "", message.to_owned());
        }
    }
    for root in roots.filter(|name| name.contains('[')) {
        let message = "is an item of a list and no key; write a section, such as [ssh]";
        let place = Place::File(lines.get(root).copied());
        faults.push(place, root, message.to_owned());
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(faults),
    }
}

/// Whole, since instances that are processes run in other folders.
fn folder_of(file: &Path) -> PathBuf {
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    whole.parent().unwrap_or(Path::new("/")).to_path_buf()
}

/// `a.b[0]`, `a.b`, `a`.
fn with_parents(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |part| part.get(..part.rfind(['.', '['])?))
}

/// `ssh.listen` -> `POOLGATE__SSH__LISTEN`.
fn variable_of(key: &str) -> String {
    let path = key.split('[').next().unwrap_or_default();
    let path = path.to_uppercase().replace('.', SEPARATOR);
    format!("{PREFIX}{SEPARATOR}{path}")
}

fn note_table(text: &str, path: &str, table: &dyn TableLike, lines: &mut BTreeMap<String, usize>) {
    for (name, item) in table.iter() {
        let path = join(path, name);
        let key = table.get_key_value(name).map(|(key, _)| key);
        if let Some(span) = key.and_then(Key::span).or_else(|| item.span()) {
            lines.insert(path.clone(), line_at(text, span.start));
        }
        note_item(text, &path, item, lines);
    }
}

fn note_item(text: &str, path: &str, item: &Item, lines: &mut BTreeMap<String, usize>) {
    if let Some(table) = item.as_table_like() {
        note_table(text, path, table, lines);
    }
    if let Some(tables) = item.as_array_of_tables() {
        for (index, table) in tables.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if let Some(span) = table.span() {
                lines.insert(path.clone(), line_at(text, span.start));
            }
            note_table(text, &path, table, lines);
        }
    }
    for (index, value) in item.as_array().into_iter().flatten().enumerate() {
        let path = format!("{path}[{index}]");
        if let Some(span) = value.span() {
            lines.insert(path.clone(), line_at(text, span.start));
        }
        if let Some(table) = value.as_inline_table() {
            note_table(text, &path, table, lines);
        }
    }
}

fn note_environment(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                note_environment(&join(path, name), value, found);
            }
        }
        // The file is read from memory, so only variables have an origin.
        _ if value.origin().is_some() => {
            found.insert(path.to_owned());
        }
        _ => {}
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
