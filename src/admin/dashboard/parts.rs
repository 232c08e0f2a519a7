//! The parts of a page that change while somebody looks at it, and what changed between two of them. Pure.
//!
//! A part is a block whose inside is written anew, or the rows of a table, each by its id. What goes out is what differs: a
//! browser that has the first rendering and every change since shows what a page loaded now would show.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Serialize;

/// Something of a page that has an id there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The inside of an element.
    Block { id: String, html: String },
    /// The rows of a table's body, each a whole element with the id that stands beside it.
    Rows {
        id: String,
        rows: Vec<(String, String)>,
    },
}

/// What a browser is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// By id, the new inside.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub blocks: BTreeMap<String, String>,
    /// By id, the new row.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rows: BTreeMap<String, String>,
    /// By the body's id, all of its rows in order, where that has changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub order: BTreeMap<String, Vec<String>>,
}

/// One rendering of a page's parts.
#[derive(Clone, Debug, Default)]
pub struct Rendering {
    blocks: BTreeMap<String, Stamped>,
    rows: BTreeMap<String, Stamped>,
    order: BTreeMap<String, Vec<String>>,
}

/// Markup, and a figure that differs where the markup does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamped {
    html: String,
    stamp: u64,
}

impl Stamped {
    fn new(html: String) -> Self {
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        let stamp = hasher.finish();
        Self { html, stamp }
    }
}

impl Rendering {
    pub fn of(parts: Vec<Part>) -> Self {
        let mut rendering = Self::default();
        for part in parts {
            match part {
                Part::Block { id, html } => {
                    rendering.blocks.insert(id, Stamped::new(html));
                }
                Part::Rows { id, rows } => {
                    let order = rows.iter().map(|(id, _)| id.clone()).collect();
                    rendering.order.insert(id, order);
                    let rows = rows.into_iter();
                    rendering
                        .rows
                        .extend(rows.map(|(id, html)| (id, Stamped::new(html))));
                }
            }
        }
        rendering
    }

    /// All of it, for a browser of which nobody knows what it shows.
    pub fn whole(&self) -> Change {
        self.since(&Self::default())
    }

    /// `None` where nothing has changed.
    pub fn changed_since(&self, before: &Self) -> Option<Change> {
        let change = self.since(before);
        (change != Change::default()).then_some(change)
    }

    fn since(&self, before: &Self) -> Change {
        let differing = |now: &BTreeMap<String, Stamped>, then: &BTreeMap<String, Stamped>| {
            let differs = |(id, one): &(&String, &Stamped)| {
                then.get(*id).is_none_or(|old| old.stamp != one.stamp)
            };
            let changed = now.iter().filter(differs);
            changed
                .map(|(id, one)| (id.clone(), one.html.clone()))
                .collect()
        };
        let order = self.order.iter();
        let order = order.filter(|(id, rows)| before.order.get(*id) != Some(rows));
        Change {
            blocks: differing(&self.blocks, &before.blocks),
            rows: differing(&self.rows, &before.rows),
            order: order.map(|(id, rows)| (id.clone(), rows.clone())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendering(status: &str, rows: &[(&str, &str)]) -> Rendering {
        let rows = rows
            .iter()
            .map(|(id, html)| ((*id).to_owned(), (*html).to_owned()));
        Rendering::of(vec![
            Part::Block {
                id: "status".to_owned(),
                html: status.to_owned(),
            },
            Part::Rows {
                id: "list".to_owned(),
                rows: rows.collect(),
            },
        ])
    }

    #[test]
    fn only_what_differs_is_sent() {
        let before = rendering("calm", &[("a", "1"), ("b", "1")]);
        assert_eq!(before.changed_since(&before.clone()), None);
        let after = rendering("calm", &[("a", "1"), ("b", "2")]);
        let change = serde_json::to_value(after.changed_since(&before)).unwrap();
        assert_eq!(change, serde_json::json!({"rows": {"b": "2"}}));
        let grown = rendering("busy", &[("c", "1"), ("a", "1"), ("b", "2")]);
        let change = serde_json::to_value(grown.changed_since(&after)).unwrap();
        assert_eq!(
            change,
            serde_json::json!({"blocks": {"status": "busy"}, "rows": {"c": "1"}, "order": {"list": ["c", "a", "b"]}})
        );
        let gone = rendering("busy", &[("c", "1")]);
        let change = serde_json::to_value(gone.changed_since(&grown)).unwrap();
        assert_eq!(change, serde_json::json!({"order": {"list": ["c"]}}));
    }

    #[test]
    fn whoever_comes_anew_is_sent_all() {
        let one = rendering("calm", &[("a", "1")]);
        let change = serde_json::to_value(one.whole()).unwrap();
        assert_eq!(
            change,
            serde_json::json!({"blocks": {"status": "calm"}, "rows": {"a": "1"}, "order": {"list": ["a"]}})
        );
    }
}
