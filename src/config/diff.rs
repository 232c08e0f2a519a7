//! What a configuration says, key by key, and in what two of them differ: what an operator reads before a reload and after it.
//!
//! Only what is written is compared; a key that is not has its default. Secrets are in files of their own, so that nothing here
//! is one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;

use ::config::{Value, ValueKind};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was written, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Written {
    /// Empty where there is no file.
    #[schema(value_type = String)]
    pub file: PathBuf,
    /// As `pools.main.capacity`; the items of a list that have names stand for themselves, as `....instances.vm1`.
    pub keys: BTreeMap<String, String>,
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
    /// Not before the gate is started anew; of `state_dir` a reload is refused.
    Restart,
}

impl Written {
    pub(super) fn of(file: PathBuf, tree: &HashMap<String, Value>) -> Self {
        let mut keys = BTreeMap::new();
        for (key, value) in tree {
            flatten(key, value, &mut keys);
        }
        Self { file, keys }
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
        let parts: Vec<_> = key.split('.').collect();
        match parts.as_slice() {
            ["state_dir"]
            | ["https", "threads"]
            | [
                "log",
                "format" | "to" | "file" | "rotate_size" | "rotate_age" | "keep" | "keep_age",
            ]
            | ["audit", ..]
            | ["admin", "socket" | "tokens_file" | "metrics" | "hosts"]
            | ["admin", "oidc", ..] => Effect::Restart,
            ["pools", pool, "fleet", ..]
            | ["pools", pool, "capacity" | "ssh_port" | "jupyter_port"]
                if self.is_of_processes(pool) =>
            {
                Effect::Restart
            }
            ["ssh" | "https" | "admin", "listen" | "redirect_listen"] => Effect::Listeners,
            ["ssh" | "https", ..]
            | ["admin", "tls", ..]
            | ["pools", _, "ssh" | "recording", ..] => Effect::NewConnections,
            _ => Effect::AtOnce,
        }
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
        write!(f, "{}: {before} -> {after}  [{}]", self.key, self.effect)
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
