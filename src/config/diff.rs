//! What a configuration says, key by key, and in what two of them differ: what an operator reads before a reload and after it.
//!
//! Only what is written is compared; a key that is not has its default. Secrets are in files of their own, so that nothing here
//! is one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use ::config::{Value, ValueKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::faults::Place;
use super::source::Source;
use super::taking::{self, When};

/// What was written, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Written {
    /// Empty where there is no file.
    #[schema(value_type = String)]
    pub file: PathBuf,
    /// As `pools.main.capacity`; the items of a list that have names stand for themselves, as `....instances.vm1`.
    pub keys: BTreeMap<String, String>,
    #[serde(skip)]
    places: Places,
}

/// Where keys were written. It is no part of what they say, so that two of them are as good as each other.
#[derive(Clone, Default)]
struct Places(Option<Arc<Source>>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Places {}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Places")
    }
}

/// A key that is to have another value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    pub key: String,
    /// `None` where it was not written.
    pub before: Option<String>,
    /// `None` where it is not written any more.
    pub after: Option<String>,
    pub effect: Effect,
}

/// When a changed key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// For everybody, without ending anything.
    AtOnce,
    /// For those who come from then on; sessions go on as they began.
    NewConnections,
    /// Listeners open and close; what is open goes on.
    Listeners,
    /// Not before the gate is started anew.
    Restart,
}

impl From<When> for Effect {
    fn from(when: When) -> Self {
        match when {
            When::AtOnce => Self::AtOnce,
            When::NewConnections => Self::NewConnections,
            When::Listeners => Self::Listeners,
            When::Restart => Self::Restart,
        }
    }
}

impl Written {
    pub(super) fn of(file: PathBuf, source: &Arc<Source>) -> Self {
        let mut keys = BTreeMap::new();
        for (key, value) in &source.tree {
            flatten(key, value, &mut keys);
        }
        Self {
            file,
            keys,
            places: Places(Some(source.clone())),
        }
    }

    /// What is wrong with a key, beginning with that, told with the place where it was written; a line each.
    pub fn located(&self, faults: &str) -> String {
        let lines: Vec<_> = faults.lines().map(|line| self.located_line(line)).collect();
        lines.join("\n")
    }

    fn located_line(&self, fault: &str) -> String {
        let is_key = |word: &&str| !word.is_empty() && !word.contains([' ', '/', ':']);
        let key = fault.split_once(": ").map(|(word, _)| word).filter(is_key);
        let place = key
            .zip(self.places.0.as_ref())
            .map(|(key, source)| source.place(key));
        let file = self.file.display();
        match place {
            Some(Place::File(Some(line))) => format!("{file}:{line}: {fault}"),
            Some(Place::Environment(variable)) => format!("environment {variable}: {fault}"),
            Some(Place::File(None)) | None => fault.to_owned(),
        }
    }

    /// What changes when the other takes the place of this one, by key.
    pub fn changes_to(&self, other: &Self) -> Vec<Change> {
        let keys: BTreeSet<_> = self.keys.keys().chain(other.keys.keys()).collect();
        let changed = keys.into_iter().filter_map(|key| {
            let (before, after) = (self.keys.get(key), other.keys.get(key));
            (before != after).then(|| Change {
                key: key.clone(),
                before: before.cloned(),
                after: after.cloned(),
                effect: self.effect_of(key),
            })
        });
        changed.collect()
    }

    /// `self` is what runs.
    fn effect_of(&self, key: &str) -> Effect {
        taking::when(key, |pool| self.is_of_processes(pool)).into()
    }

    fn is_of_processes(&self, pool: &str) -> bool {
        let provider = self.keys.get(&format!("pools.{pool}.fleet.provider"));
        provider.is_some_and(|provider| provider == "\"process\"")
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or("(not written)".to_owned());
        let (before, after) = (value(&self.before), value(&self.after));
        let (key, effect) = (&self.key, self.effect);
        match effect {
            Effect::Restart => {
                let reason = taking::reason(key);
                write!(f, "{key}: {before} -> {after}  [{effect}: {reason}]")
            }
            _ => write!(f, "{key}: {before} -> {after}  [{effect}]"),
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "at once",
            Self::NewConnections => "for those who come from then on",
            Self::Listeners => "listeners open and close, sessions go on",
            Self::Restart => "not before a restart",
        })
    }
}

fn flatten(key: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                flatten(&format!("{key}.{name}"), value, keys);
            }
        }
        ValueKind::Array(items) => match names(items) {
            Some(names) => {
                for (name, item) in names.into_iter().zip(items) {
                    keys.insert(format!("{key}.{name}"), show(item));
                }
            }
            None => drop(keys.insert(key.to_owned(), show(value))),
        },
        _ => drop(keys.insert(key.to_owned(), show(value))),
    }
}

/// The name of each item, if all have one and no two the same.
fn names(items: &[Value]) -> Option<Vec<String>> {
    let name = |item: &Value| match &item.kind {
        ValueKind::Table(table) => table.get("name").map(ToString::to_string),
        _ => None,
    };
    let names: Vec<_> = items.iter().map(name).collect::<Option<_>>()?;
    let distinct: BTreeSet<_> = names.iter().collect();
    (!names.is_empty() && distinct.len() == names.len()).then_some(names)
}

/// As it could be written in a file.
fn show(value: &Value) -> String {
    match &value.kind {
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::Array(items) => {
            let items: Vec<_> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(table) => {
            let table: BTreeMap<_, _> = table.iter().collect();
            let keys = table.into_iter();
            let keys: Vec<_> = keys
                .map(|(key, value)| format!("{key} = {}", show(value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    use crate::config::parse;
    use std::path::Path;

    fn written(more: &str) -> Written {
        let text = format!(
            "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n[pools.main]\n{more}\n"
        );
        let parsed = parse(Path::new("/etc/x.toml"), &text, HashMap::new());
        parsed.unwrap_or_else(|faults| panic!("{faults}")).written
    }

    const LIST: &str = "[pools.main.fleet]\nprovider = \"static\"\ninstances = [{ name = \"vm1\", address = \"10.0.0.1\" }]";

    #[test]
    fn changes_name_the_key_both_values_and_when_they_count() {
        let one = written(&format!("capacity = 4\n{LIST}"));
        let two = written(&format!(
            "placement = \"pack\"\n{}",
            LIST.replace("}]", "}, { name = \"vm2\", address = \"10.0.0.2\" }]")
        ));
        let changes: Vec<_> = one
            .changes_to(&two)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            changes,
            [
                "pools.main.capacity: 4 -> (not written)  [at once]",
                "pools.main.fleet.instances.vm2: (not written) -> { address = \"10.0.0.2\", name = \"vm2\" }  [at once]",
                "pools.main.placement: (not written) -> \"pack\"  [at once]",
            ]
        );
        assert_eq!(one.changes_to(&one), []);
    }

    #[test]
    fn what_waits_for_a_restart_is_told() {
        let processes = |count| {
            written(&format!(
                "[pools.main.fleet]\nprovider = \"process\"\ncount = {count}\ncommand = [\"x\"]"
            ))
        };
        let change = &processes(1).changes_to(&processes(2))[0];
        assert_eq!(
            (&*change.key, change.effect),
            ("pools.main.fleet.count", Effect::Restart)
        );
        let listing = Written::default().effect_of("ssh.listen");
        assert_eq!(listing, Effect::Listeners);
    }
}
