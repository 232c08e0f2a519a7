//! The dashboard's pages: from a scene to markup, each in a shell that all share. Pure; nothing is asked here.
//!
//! A page's changing parts are rendered by `parts`, the same for a page that is loaded and for one that is kept up to date.
//! Whatever comes from outside goes through `words::plain` and the templates' escaping; `safe` marks what was rendered so.

pub mod act;
pub mod charts;
pub mod events;
pub mod explain;
pub mod machine;
pub mod machines;
pub mod overview;
pub mod queue;
pub mod sessions;

use std::collections::BTreeMap;

use askama::Template;

use super::assets;
use super::parts::Part;
use super::scene::{Scene, Viewer};
use super::words::in_query;

/// A page that is kept up to date, and which one: its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    Overview,
    Machines(machines::Asked),
    Machine { pool: String, name: String },
    Sessions(sessions::Asked),
    Queue(queue::Asked),
    Events(events::Asked),
    Charts(charts::Asked),
}

/// The places of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Overview,
    Machines,
    Sessions,
    Queue,
    Events,
    Charts,
    Explain,
}

impl Tab {
    const ALL: [Self; 7] = [
        Self::Overview,
        Self::Machines,
        Self::Sessions,
        Self::Queue,
        Self::Events,
        Self::Charts,
        Self::Explain,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Machines => "Machines",
            Self::Sessions => "Sessions",
            Self::Queue => "Queue",
            Self::Events => "Events",
            Self::Charts => "Charts",
            Self::Explain => "Explain",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Machines => "/machines",
            Self::Sessions => "/sessions",
            Self::Queue => "/queue",
            Self::Events => "/events",
            Self::Charts => "/charts",
            Self::Explain => "/explain",
        }
    }
}

impl View {
    pub fn parts(&self, scene: &Scene, may_act: bool) -> Vec<Part> {
        match self {
            Self::Overview => overview::parts(scene, may_act),
            Self::Machines(asked) => machines::parts(scene, asked, may_act),
            Self::Machine { pool, name } => machine::parts(scene, pool, name, may_act),
            Self::Sessions(asked) => sessions::parts(scene, asked, may_act),
            Self::Queue(asked) => queue::parts(scene, asked),
            Self::Events(asked) => events::parts(scene, asked),
            Self::Charts(asked) => charts::parts(scene, asked),
        }
    }

    /// Whether hubs are worth asking how many kernels compute.
    pub fn shows_kernels(&self) -> bool {
        matches!(self, Self::Machines(_) | Self::Machine { .. })
    }

    /// The address by which a browser asks to be kept up to date: `None` for what is no such page.
    pub fn at(path: &str, query: &str) -> Option<Self> {
        fn asked<T: serde::de::DeserializeOwned>(query: &str) -> Option<T> {
            let uri = format!("/?{query}").parse().ok()?;
            let parsed = axum::extract::Query::<T>::try_from_uri(&uri).ok()?;
            Some(parsed.0)
        }
        Some(match path {
            "/" => Self::Overview,
            "/machines" => Self::Machines(asked(query)?),
            "/sessions" => Self::Sessions(asked(query)?),
            "/queue" => Self::Queue(asked(query)?),
            "/events" => Self::Events(asked(query)?),
            "/charts" => Self::Charts(asked(query)?),
            other => {
                let (pool, name) = other.strip_prefix("/machines/")?.split_once('/')?;
                let decode = |text: &str| {
                    let text = percent_encoding::percent_decode_str(text).decode_utf8();
                    text.ok().map(|text| text.into_owned())
                };
                Self::Machine {
                    pool: decode(pool)?,
                    name: decode(name)?,
                }
            }
        })
    }
}

/// Rendered parts by their ids, for the page around them.
pub struct Slots(BTreeMap<String, String>);

impl Slots {
    pub fn of(parts: Vec<Part>) -> Self {
        let slots = parts.into_iter().map(|part| match part {
            Part::Block { id, html } => (id, html),
            Part::Rows { id, rows } => {
                let rows = rows.into_iter().map(|(_, html)| html);
                (id, rows.collect())
            }
        });
        Self(slots.collect())
    }

    pub fn get(&self, id: &str) -> &str {
        self.0.get(id).map_or("", String::as_str)
    }
}

/// What a page says beside its own content.
pub struct Frame<'a> {
    pub viewer: &'a Viewer,
    /// What became of the order that led here.
    pub flash: Option<&'a Flash>,
    pub tab: Option<Tab>,
    pub title: &'a str,
    /// The page's own path and query, where it is kept up to date.
    pub live: Option<&'a str>,
}

impl Frame<'_> {
    fn is_at(&self, tab: &Tab) -> bool {
        self.tab == Some(*tab)
    }
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    pub is_good: bool,
    pub text: String,
}

/// The text of a browser's tab.
#[derive(Template)]
#[template(source = "{{ title }} · Poolgate", ext = "html")]
struct Title<'a> {
    title: &'a str,
}

impl<'a> Title<'a> {
    fn of(title: &'a str) -> Self {
        Self { title }
    }
}

#[derive(Template)]
#[template(path = "shell.html")]
struct Shell<'a> {
    frame: &'a Frame<'a>,
    title: String,
    tabs: &'static [Tab],
    body: &'a str,
    zone: String,
    version: &'static str,
    style: &'static str,
    script: &'static str,
    icon: &'static str,
}

/// The whole page.
pub fn shell(scene: &Scene, frame: &Frame<'_>, body: &str) -> String {
    markup(&Shell {
        frame,
        title: markup(&Title::of(frame.title)),
        tabs: &Tab::ALL,
        body,
        zone: scene.house_clock().zone_name(),
        version: scene.gate.version,
        style: assets::style_path(),
        script: assets::script_path(),
        icon: assets::icon_path(),
    })
}

/// Templates render from memory into memory, which does not fail.
pub fn markup(template: &impl Template) -> String {
    template.render().unwrap_or_default()
}

fn block(id: &str, template: &impl Template) -> Part {
    Part::Block {
        id: id.to_owned(),
        html: markup(template),
    }
}

/// Where it stands why somebody is where they are.
fn person_path(user: &str, pool: &str) -> String {
    format!("/explain?user={}&pool={}", in_query(user), in_query(pool))
}

/// Where a machine has its own page.
fn machine_path(pool: &str, name: &str) -> String {
    format!("/machines/{}/{}", in_query(pool), in_query(name))
}

#[cfg(test)]
mod tests;
