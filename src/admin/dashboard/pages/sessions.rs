//! Who is where: searched and paged on the gate, since a browser need not be sent a thousand rows.

use askama::Template;
use serde::Deserialize;

use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::words::{Moment, in_query, plain};
use super::events::Paged;
use super::machines::Action;
use super::{Slots, block, machine_path, markup, person_path};
use crate::pool::{Protocol, SessionView, Stage};

pub const PAGE: usize = 100;

/// Which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub pool: String,
    /// A protocol's word.
    pub protocol: String,
    /// What the person's or the machine's name, the address or the id holds.
    pub q: String,
    /// `old` for the oldest first.
    pub order: String,
    /// From 1.
    pub page: usize,
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct Body<'a> {
    slots: &'a Slots,
    asked: &'a Asked,
    pools: Vec<String>,
    protocols: [&'static str; 2],
    may_act: bool,
    csv: String,
}

/// One session as it is shown.
#[derive(Template)]
#[template(path = "sessions_row.html")]
pub struct SessionRow {
    element: String,
    pub id: String,
    pub user: Option<String>,
    /// Where it stands why they are there.
    pub person_path: String,
    pub protocol: &'static str,
    pub machine: String,
    pub path: String,
    pub peer: String,
    pub since: Moment,
    pub stage: &'static str,
    pub actions: Vec<Action>,
}

pub fn body(slots: &Slots, scene: &Scene, asked: &Asked, may_act: bool) -> String {
    markup(&Body {
        slots,
        asked,
        pools: scene.pool_names(),
        protocols: Protocol::ALL.map(Protocol::name),
        may_act,
        csv: format!("/sessions.csv?{}", query(asked)),
    })
}

fn query(asked: &Asked) -> String {
    format!(
        "pool={}&protocol={}&q={}&order={}",
        in_query(&asked.pool),
        in_query(&asked.protocol),
        in_query(&asked.q),
        in_query(&asked.order)
    )
}

pub fn parts(scene: &Scene, asked: &Asked, may_act: bool) -> Vec<Part> {
    let found = select(scene, asked);
    let page = Paged::of(found.len(), asked.page, PAGE);
    let shown = found.iter().skip(page.first).take(PAGE);
    let rows = shown.map(|view| {
        let row = SessionRow::of(view, scene, may_act);
        (row.element.clone(), markup(&row))
    });
    let path = format!("/sessions?{}", query(asked));
    vec![
        block("pager", &page.pager(("session", "sessions"), &path)),
        Part::Rows {
            id: "rows".to_owned(),
            rows: rows.collect(),
        },
    ]
}

/// The newest first, unless the oldest are asked for.
pub fn select<'a>(scene: &'a Scene, asked: &Asked) -> Vec<&'a SessionView> {
    let wanted = asked.q.to_lowercase();
    let fits = |view: &&SessionView| {
        let pool = asked.pool.is_empty() || *view.pool == *asked.pool;
        let protocol = asked.protocol.is_empty() || view.protocol.name() == asked.protocol;
        pool && protocol && (wanted.is_empty() || holds(view, &wanted))
    };
    let sessions = scene.snapshot.sessions.iter().filter(fits);
    match &*asked.order {
        "old" => sessions.collect(),
        _ => sessions.rev().collect(),
    }
}

fn holds(view: &SessionView, wanted: &str) -> bool {
    let user = view.user.as_deref().unwrap_or_default();
    user.to_lowercase().contains(wanted)
        || view.instance.to_lowercase().contains(wanted)
        || view.protocol.name() == wanted
        || view.peer.to_string().contains(wanted)
        || view.id.to_string().contains(wanted)
}

impl SessionRow {
    pub fn of(view: &SessionView, scene: &Scene, may_act: bool) -> Self {
        let id = view.id.to_string();
        Self {
            user: view.user.as_deref().map(plain),
            person_path: person_path(view.user.as_deref().unwrap_or_default(), &view.pool),
            protocol: view.protocol.name(),
            machine: match scene.has_pools() {
                true => plain(&format!("{}/{}", view.pool, view.instance)),
                false => plain(&view.instance),
            },
            path: machine_path(&view.pool, &view.instance),
            peer: view.peer.to_string(),
            since: scene.clock(&view.pool).moment(view.since),
            stage: match view.stage {
                Stage::Provisional => "logging in",
                Stage::Reserved => "on its way",
                Stage::Live => "live",
            },
            actions: match may_act {
                true => actions(view),
                false => Vec::new(),
            },
            element: format!("s-{id}"),
            id,
        }
    }
}

fn actions(view: &SessionView) -> Vec<Action> {
    let whose = plain(view.user.as_deref().unwrap_or("nobody known"));
    let action = |word: &'static str, order: &str, label: String| Action {
        word,
        label,
        path: format!("/act?order={order}&session={}", view.id),
    };
    let mut actions = vec![action("Notice", "notice", format!("Notice to {whose}"))];
    if view.user.is_some() {
        actions.push(action("Move", "move", format!("Move {whose}")));
    }
    let evict = format!("Evict the session of {whose}");
    actions.push(action("Evict", "evict", evict));
    actions
}
