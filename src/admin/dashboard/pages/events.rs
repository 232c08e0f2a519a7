//! What was done about the pools and why, the newest first.

use askama::Template;
use serde::Deserialize;

use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::words::{Moment, count, in_query, plain};
use super::{Slots, block, machine_path, markup};
use crate::telemetry::events::Event;

pub const PAGE: usize = 100;

/// Which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub pool: String,
    pub kind: String,
    /// What its words or its machine's name hold.
    pub q: String,
    /// From 1.
    pub page: usize,
}

#[derive(Template)]
#[template(path = "events.html")]
struct Body<'a> {
    slots: &'a Slots,
    asked: &'a Asked,
    pools: Vec<String>,
    kinds: Vec<String>,
}

/// One event as it is shown.
pub struct EventRow {
    pub id: String,
    pub time: Moment,
    pub kind: String,
    pub place: String,
    /// `None` for what concerns the gate as a whole.
    pub path: Option<String>,
    pub text: String,
}

#[derive(Template)]
#[template(path = "events_row.html")]
pub struct Line<'a> {
    pub event: &'a EventRow,
}

#[derive(Template)]
#[template(path = "pager.html")]
pub struct Pager {
    pub told: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

pub fn body(slots: &Slots, scene: &Scene, asked: &Asked) -> String {
    let mut kinds: Vec<_> = scene.events.iter().map(kind_of).collect();
    kinds.sort();
    kinds.dedup();
    markup(&Body {
        slots,
        asked,
        pools: scene.pool_names(),
        kinds,
    })
}

pub fn parts(scene: &Scene, asked: &Asked) -> Vec<Part> {
    let wanted = asked.q.to_lowercase();
    let fits = |event: &&Event| {
        let pool = asked.pool.is_empty() || event.pool == asked.pool;
        let kind = asked.kind.is_empty() || kind_of(event) == asked.kind;
        let name = event.instance.as_deref().unwrap_or_default();
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        pool && kind && (wanted.is_empty() || holds(&event.text) || holds(name))
    };
    let found: Vec<_> = scene.events.iter().rev().filter(fits).collect();
    let page = Paged::of(found.len(), asked.page, PAGE);
    let shown = found.iter().skip(page.first).take(PAGE);
    let rows = shown.map(|event| {
        let event = EventRow::of(event, scene);
        (event.id.clone(), markup(&Line { event: &event }))
    });
    let query = format!(
        "/events?pool={}&kind={}&q={}",
        in_query(&asked.pool),
        in_query(&asked.kind),
        in_query(&asked.q)
    );
    vec![
        block("pager", &page.pager(("event", "events"), &query)),
        Part::Rows {
            id: "rows".to_owned(),
            rows: rows.collect(),
        },
    ]
}

/// The last few.
pub fn newest(scene: &Scene, most: usize) -> Vec<EventRow> {
    let newest = scene.events.iter().rev().take(most);
    newest.map(|event| EventRow::of(event, scene)).collect()
}

impl EventRow {
    pub fn of(event: &Event, scene: &Scene) -> Self {
        let path = match &event.instance {
            Some(instance) => Some(machine_path(&event.pool, instance)),
            None if event.pool.is_empty() => None,
            None => Some(format!("/machines?pool={}", in_query(&event.pool))),
        };
        Self {
            id: format!("e-{}", event.number),
            time: scene.clock(&event.pool).moment(event.time),
            kind: kind_of(event),
            place: plain(&event.place()),
            path,
            text: plain(&event.text),
        }
    }
}

fn kind_of(event: &Event) -> String {
    let kind = serde_json::to_value(event.kind).unwrap_or_default();
    kind.as_str().unwrap_or("-").to_owned()
}

/// A long list in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paged {
    total: usize,
    /// From 1.
    page: usize,
    size: usize,
    /// How many come before it.
    pub first: usize,
}

impl Paged {
    pub fn of(total: usize, page: usize, size: usize) -> Self {
        let pages = total.div_ceil(size).max(1);
        let page = page.clamp(1, pages);
        Self {
            total,
            page,
            size,
            first: (page - 1) * size,
        }
    }

    /// What there is, as `one` and as `many`; `path` holds a query already.
    pub fn pager(&self, (one, many): (&str, &str), path: &str) -> Pager {
        let last = self.first.saturating_add(self.size).min(self.total);
        let told = match self.total {
            0 => format!("No {many}"),
            1 => format!("1 {one}"),
            total if self.size >= total => format!("{} {many}", count(total as u64)),
            total => format!(
                "{}–{} of {} {many}",
                count(self.first as u64 + 1),
                count(last as u64),
                count(total as u64)
            ),
        };
        let to = |page: usize| format!("{path}&page={page}");
        Pager {
            told,
            before: (self.page > 1).then(|| to(self.page - 1)),
            after: (last < self.total).then(|| to(self.page + 1)),
        }
    }
}
