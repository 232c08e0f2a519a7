//! Who waits for a seat, the first in line first.

use askama::Template;
use serde::Deserialize;

use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::words::{Moment, count, in_query, plain, wait_of};
use super::events::Paged;
use super::{Slots, Title, block, markup};
use crate::pool::WaiterView;

pub const PAGE: usize = 200;

/// Which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub pool: String,
    /// From 1.
    pub page: usize,
}

#[derive(Template)]
#[template(path = "queue.html")]
struct Body<'a> {
    slots: &'a Slots,
    asked: &'a Asked,
    pools: Vec<String>,
}

#[derive(Template)]
#[template(path = "queue_row.html")]
struct Row {
    id: String,
    pool: String,
    place: usize,
    user: Option<String>,
    by: String,
    source: String,
    since: Moment,
    waits: String,
    is_there: bool,
}

pub fn body(slots: &Slots, scene: &Scene, asked: &Asked) -> String {
    markup(&Body {
        slots,
        asked,
        pools: scene.pool_names(),
    })
}

/// What a browser's tab says.
pub fn title(scene: &Scene) -> String {
    match scene.waiters.len() {
        0 => "Queue".to_owned(),
        waiting => format!("{} waiting · Queue", count(waiting as u64)),
    }
}

pub fn parts(scene: &Scene, asked: &Asked) -> Vec<Part> {
    let waiters = scene.waiters.iter();
    let found = waiters.filter(|one| asked.pool.is_empty() || *one.pool == *asked.pool);
    let found: Vec<_> = found.collect();
    let page = Paged::of(found.len(), asked.page, PAGE);
    let shown = found.into_iter().skip(page.first).take(PAGE);
    let rows = shown.map(|waiter| {
        let row = Row::of(waiter, scene);
        (row.id.clone(), markup(&row))
    });
    let path = format!("/queue?pool={}", in_query(&asked.pool));
    vec![
        block("title", &Title::of(&title(scene))),
        block("pager", &page.pager(("person", "people"), &path)),
        Part::Rows {
            id: "rows".to_owned(),
            rows: rows.collect(),
        },
    ]
}

impl Row {
    fn of(waiter: &WaiterView, scene: &Scene) -> Self {
        let by: Vec<_> = waiter.by.iter().map(|by| by.name()).collect();
        let age = scene.now.duration_since(waiter.since).unwrap_or_default();
        Self {
            id: format!("w-{}-{}", in_query(&waiter.pool), waiter.place),
            pool: plain(&waiter.pool),
            place: waiter.place,
            user: waiter.user.as_deref().map(plain),
            by: by.join(", "),
            source: waiter.source.to_string(),
            since: scene.clock(&waiter.pool).moment(waiter.since),
            waits: wait_of(age),
            is_there: waiter.is_there,
        }
    }
}
