//! One machine: what it is, why it is in use, its people, its events.

use askama::Template;

use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::states::State;
use super::super::words::{Moment, count, in_query, plain};
use super::events::EventRow;
use super::explain::MachineStory;
use super::machines::{self, Action, MachineRow};
use super::sessions::SessionRow;
use super::{Slots, Title, block, markup};
use crate::pool::InstanceView;
use crate::pool::idle::Idle;

/// People on one machine are few; a machine for more shows them on the page of sessions.
const SESSIONS: usize = 100;
const EVENTS: usize = 20;

#[derive(Template)]
#[template(path = "machine.html")]
struct Body<'a> {
    slots: &'a Slots,
    name: String,
    pool: String,
    /// As of when, and what was found: what its probes see, and why it is in use.
    story: Option<(Moment, Vec<String>, IdleView)>,
    may_act: bool,
    sessions_path: String,
}

/// Why it is in use, in sentences.
pub struct IdleView {
    pub is_idle: bool,
    pub title: String,
    pub reasons: Vec<String>,
}

impl IdleView {
    pub fn of(idle: &Idle) -> Self {
        let text = idle.to_string();
        let mut lines = text.lines();
        Self {
            is_idle: idle.is_idle,
            title: plain(lines.next().unwrap_or_default()),
            reasons: lines
                .map(|line| plain(line.trim_start_matches("- ")))
                .collect(),
        }
    }
}

/// What a browser's tab says.
pub fn title(view: &InstanceView) -> String {
    format!("{}: {}", plain(&view.name), State::of(view).name())
}

pub fn find<'a>(scene: &'a Scene, pool: &str, name: &str) -> Option<&'a InstanceView> {
    scene.snapshot.instance(pool, name)
}

/// `story`: what was found out for this page, if anything could be.
pub fn body(
    slots: &Slots,
    scene: &Scene,
    view: &InstanceView,
    story: Option<&MachineStory>,
    may_act: bool,
) -> String {
    markup(&Body {
        slots,
        name: plain(&view.name),
        pool: plain(&view.pool),
        story: story.map(|story| {
            let health = story.health.iter().map(|line| plain(line)).collect();
            let at = scene.clock(&view.pool).moment(scene.now);
            (at, health, IdleView::of(&story.idle))
        }),
        may_act,
        sessions_path: format!("/sessions?q={}", in_query(&view.name)),
    })
}

#[derive(Template)]
#[template(path = "machine_facts.html")]
struct Facts {
    row: MachineRow,
    ports: String,
    services: String,
    hub: Option<String>,
    measured: Vec<(&'static str, String)>,
    generation: u64,
    actions: Vec<Action>,
}

#[derive(Template)]
#[template(path = "machine_gone.html")]
struct Gone;

pub fn parts(scene: &Scene, pool: &str, name: &str, may_act: bool) -> Vec<Part> {
    let Some(view) = find(scene, pool, name) else {
        return vec![
            block("facts", &Gone),
            rows("rows", Vec::new()),
            rows("story", Vec::new()),
        ];
    };
    let sessions = scene.snapshot.sessions.iter().rev();
    let sessions = sessions.filter(|session| *session.pool == *pool && *session.instance == *name);
    let sessions = sessions.take(SESSIONS).map(|session| {
        let row = SessionRow::of(session, scene, may_act);
        (format!("s-{}", session.id), markup(&row))
    });
    let events = scene.events.iter().rev();
    let events =
        events.filter(|event| event.pool == pool && event.instance.as_deref() == Some(name));
    let events = events.take(EVENTS).map(|event| {
        let event = EventRow::of(event, scene);
        let html = markup(&super::events::Line { event: &event });
        (event.id, html)
    });
    vec![
        block("title", &Title::of(&title(view))),
        block("facts", &Facts::of(view, scene, may_act)),
        rows("rows", sessions.collect()),
        rows("story", events.collect()),
    ]
}

fn rows(id: &str, rows: Vec<(String, String)>) -> Part {
    Part::Rows {
        id: id.to_owned(),
        rows,
    }
}

impl Facts {
    fn of(view: &InstanceView, scene: &Scene, may_act: bool) -> Self {
        let services = view.services;
        let hub = view.hub.map(|hub| {
            let stale = if hub.is_stale {
                "; it does not answer, this is its last word"
            } else {
                ""
            };
            format!(
                "{} with a server, {} of them past the gate, {} starting or stopping{stale}",
                hub.people, hub.direct, hub.pending
            )
        });
        let mut measured = Vec::new();
        if let Some(told) = &view.measured {
            let percent = |name, value: Option<u32>| Some((name, format!("{} %", value?)));
            measured.extend(percent("Processors", told.cpu_percent));
            measured.extend(percent("Memory", told.memory_percent));
            measured.extend(percent("GPU", told.gpu_percent));
            measured.push(("People logged in", count(u64::from(told.people))));
            measured.push(("Left running", count(u64::from(told.kept))));
        }
        Self {
            row: MachineRow::of(view, scene, may_act),
            ports: match view.jupyter_port {
                Some(port) => format!("ssh {}, JupyterHub {port}", view.ssh_port),
                None => format!("ssh {}, no JupyterHub", view.ssh_port),
            },
            services: match services.jupyter {
                Some(jupyter) => format!("ssh {}, JupyterHub {jupyter}", services.ssh),
                None => format!("ssh {}", services.ssh),
            },
            hub,
            measured,
            actions: match may_act {
                true => machines::actions(view, true),
                false => Vec::new(),
            },
            generation: view.generation,
        }
    }
}
