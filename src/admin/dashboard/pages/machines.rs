//! All machines in a table: state and who decided it, health, sessions, load, kernels, and what can be ordered.

use askama::Template;
use serde::Deserialize;

use super::super::bar::share;
use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::states::State;
use super::super::words::{Moment, count, in_query, plain};
use super::events::Paged;
use super::{Slots, block, machine_path, markup};
use crate::pool::{AdminState, Decider, Health, InstanceId, InstanceView};

/// More than any screen is long.
const PAGE: usize = 250;

/// Which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub pool: String,
    /// A state's word.
    pub state: String,
    /// What its name or address holds.
    pub q: String,
    /// From 1.
    pub page: usize,
}

#[derive(Template)]
#[template(path = "machines.html")]
struct Body<'a> {
    slots: &'a Slots,
    asked: &'a Asked,
    pools: Vec<String>,
    states: &'static [State],
    may_act: bool,
    csv: String,
}

/// One machine as it is shown.
#[derive(Template)]
#[template(path = "machines_row.html")]
pub struct MachineRow {
    id: String,
    pub name: String,
    pub pool: Option<String>,
    pub path: String,
    pub address: String,
    pub state: &'static str,
    pub class: &'static str,
    /// Who decided it and why, or what of it does not answer.
    pub why: Vec<String>,
    pub since: Moment,
    pub sessions: String,
    pub seats: String,
    pub fill: String,
    pub is_full: bool,
    pub load: Option<String>,
    pub load_fill: String,
    pub kernels: Option<String>,
    pub actions: Vec<Action>,
}

/// A way to the page that asks for an order's reason.
pub struct Action {
    pub word: &'static str,
    /// With what it is done to, for whoever hears it without the row.
    pub label: String,
    pub path: String,
}

pub fn body(slots: &Slots, scene: &Scene, asked: &Asked, may_act: bool) -> String {
    markup(&Body {
        slots,
        asked,
        pools: scene.pool_names(),
        states: &State::ALL,
        may_act,
        csv: format!(
            "/machines.csv?pool={}&state={}&q={}",
            in_query(&asked.pool),
            in_query(&asked.state),
            in_query(&asked.q)
        ),
    })
}

pub fn parts(scene: &Scene, asked: &Asked, may_act: bool) -> Vec<Part> {
    let found = select(scene, asked);
    let page = Paged::of(found.len(), asked.page, PAGE);
    let shown = found.iter().skip(page.first).take(PAGE);
    let rows = shown.map(|view| {
        let row = MachineRow::of(view, scene, may_act);
        (row.id.clone(), markup(&row))
    });
    let query = format!(
        "/machines?pool={}&state={}&q={}",
        in_query(&asked.pool),
        in_query(&asked.state),
        in_query(&asked.q)
    );
    vec![
        block("pager", &page.pager(("machine", "machines"), &query)),
        Part::Rows {
            id: "rows".to_owned(),
            rows: rows.collect(),
        },
    ]
}

/// In the order people count: `vm2` before `vm10`.
pub fn select<'a>(scene: &'a Scene, asked: &Asked) -> Vec<&'a InstanceView> {
    let wanted = asked.q.to_lowercase();
    let fits = |view: &&InstanceView| {
        let pool = asked.pool.is_empty() || *view.pool == *asked.pool;
        let state = asked.state.is_empty() || State::of(view).name() == asked.state;
        let holds = |text: &str| text.to_lowercase().contains(&wanted);
        pool && state && (wanted.is_empty() || holds(&view.name) || holds(&view.address))
    };
    let mut found: Vec<_> = scene.snapshot.instances.iter().filter(fits).collect();
    found.sort_by_cached_key(|view| (view.pool.clone(), counting_key(&view.name)));
    found
}

/// Digits count as a number.
pub fn counting_key(name: &str) -> Vec<(u64, char)> {
    let mut key = Vec::new();
    let mut number: Option<u64> = None;
    for one in name.chars() {
        match (one.to_digit(10), number) {
            (Some(digit), before) => {
                let before = before.unwrap_or(0).saturating_mul(10);
                number = Some(before.saturating_add(u64::from(digit)));
            }
            (None, before) => {
                key.extend(before.map(|number| (number, '0')));
                number = None;
                key.push((0, one));
            }
        }
    }
    key.extend(number.map(|number| (number, '0')));
    key
}

impl MachineRow {
    pub fn of(view: &InstanceView, scene: &Scene, may_act: bool) -> Self {
        let state = State::of(view);
        let (pool, name) = (in_query(&view.pool), in_query(&view.name));
        let id = InstanceId {
            pool: view.pool.clone(),
            name: view.name.clone(),
        };
        let kernels = scene.kernels.get(&id);
        let percent = view.measured.as_ref().map(|told| told.load_percent);
        Self {
            id: format!("m-{pool}/{name}"),
            name: plain(&view.name),
            pool: scene.has_pools().then(|| plain(&view.pool)),
            path: machine_path(&view.pool, &view.name),
            address: plain(&view.address),
            state: state.name(),
            class: state.class(),
            why: why(view, scene),
            since: scene.clock(&view.pool).moment(view.health_since),
            sessions: count(u64::from(view.load)),
            seats: count(u64::from(view.capacity)),
            fill: share(view.load, view.capacity),
            is_full: view.load >= view.capacity,
            load: percent.map(|percent| format!("{percent} %")),
            load_fill: share(percent.unwrap_or(0), 100),
            kernels: kernels.map(|kernels| count(u64::from(*kernels))),
            actions: match may_act {
                true => actions(view, false),
                false => Vec::new(),
            },
        }
    }
}

/// What its state does not say.
fn why(view: &InstanceView, scene: &Scene) -> Vec<String> {
    let clock = scene.clock(&view.pool);
    let mut lines = Vec::new();
    if let Some(reason) = &view.reason {
        let by = match view.decided_by {
            Decider::Policy => "the policy",
            Decider::Admin => "an operator",
            Decider::Nobody => "nobody",
        };
        lines.push(format!("by {by}: {}", plain(reason)));
    }
    if let Some(deadline) = view.deadline {
        lines.push(format!("sessions end at {}", clock.moment(deadline).clock));
    }
    if let Some(keep) = &view.keep {
        let until = clock.moment(keep.until).clock;
        lines.push(format!("kept until {until} by {}", plain(&keep.by)));
    }
    if view.is_sealed {
        lines.push("about to be removed".to_owned());
    }
    if State::of(view) != State::of_health(view.health) && view.health != Health::Up {
        lines.push(format!("health: {}", view.health));
    }
    if let Some(jupyter) = view.services.jupyter
        && jupyter != view.services.ssh
    {
        lines.push(format!("ssh {}, JupyterHub {jupyter}", view.services.ssh));
    }
    if let Some(told) = &view.measured {
        if let Some(closed) = &told.closed {
            lines.push(format!("it takes nobody: {}", plain(closed)));
        }
        if told.is_reboot_pending {
            lines.push("a reboot is pending".to_owned());
        }
    }
    lines
}

/// What makes sense in its state; on its own page, what is seldom needed too.
pub fn actions(view: &InstanceView, is_own_page: bool) -> Vec<Action> {
    let on = format!("{}%2F{}", in_query(&view.pool), in_query(&view.name));
    let action = |word: &'static str, order: &str| Action {
        word,
        label: format!("{word} {}", plain(&view.name)),
        path: format!("/act?order={order}&instance={on}"),
    };
    let mut actions = match view.admin_state {
        AdminState::Ready => vec![action("Cordon", "cordon"), action("Drain", "drain")],
        AdminState::Cordoned => vec![action("Uncordon", "uncordon"), action("Drain", "drain")],
        AdminState::Draining => vec![action("Uncordon", "uncordon")],
    };
    if is_own_page {
        let notice = Action {
            label: format!("Notice to the people on {}", plain(&view.name)),
            ..action("Notice", "notice")
        };
        actions.extend([action("Keep", "keep"), notice]);
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::counting_key;

    #[test]
    fn machines_are_counted_as_people_do() {
        let mut names = ["vm10", "vm2", "gpu", "vm1", "vm02b", "vm"];
        names.sort_by_cached_key(|name| counting_key(name));
        assert_eq!(names, ["gpu", "vm", "vm1", "vm2", "vm02b", "vm10"]);
    }
}
