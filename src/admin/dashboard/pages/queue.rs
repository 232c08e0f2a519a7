//! Who waits for a seat, the first in line first.

use askama::Template;

use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::words::{Moment, plain, wait_of};
use super::events::Paged;
use super::{Slots, block, markup};
use crate::pool::WaiterView;

/// Whoever stands farther back is counted, not listed.
const SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "queue.html")]
struct Body<'a> {
    slots: &'a Slots,
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

pub fn body(slots: &Slots) -> String {
    markup(&Body { slots })
}

pub fn parts(scene: &Scene) -> Vec<Part> {
    let page = Paged::of(scene.waiters.len(), 1, SHOWN);
    let rows = scene.waiters.iter().take(SHOWN).map(|waiter| {
        let row = Row::of(waiter, scene);
        (row.id.clone(), markup(&row))
    });
    let mut pager = page.pager("ticket", "/queue?");
    pager.after = None;
    vec![
        block("pager", &pager),
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
            id: format!("w-{}-{}", super::in_query(&waiter.pool), waiter.place),
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
