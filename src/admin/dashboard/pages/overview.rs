//! The first page: each pool in a strip (machines by state, people, seats, what comes next and why), the day, the last events.

use askama::Template;

use super::super::bar::{Piece, pieces};
use super::super::chart::Chart;
use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::states::{self, State};
use super::super::words::{self, Clock, Moment, count, counted, in_query, plain};
use super::charts::{self, Kind};
use super::events::{EventRow, newest};
use super::{Slots, Title, block, markup};
use crate::admin::ConfigState;
use crate::pool::{Intent, PoolView};

/// What fits beside the pools without scrolling.
const EVENTS: usize = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct Body<'a> {
    slots: &'a Slots,
}

pub fn body(slots: &Slots) -> String {
    markup(&Body { slots })
}

/// What a browser's tab says: trouble, where there is some.
pub fn title(scene: &Scene) -> String {
    let status = Status::of(scene);
    match status.sentences.first() {
        Some(first) if !status.is_well => format!("! {} · Overview", first.trim_end_matches('.')),
        _ => "Overview".to_owned(),
    }
}

pub fn parts(scene: &Scene, may_act: bool) -> Vec<Part> {
    let drawn = [Kind::Sessions, Kind::Machines];
    let drawn = drawn.map(|kind| charts::chart(scene, None, kind));
    vec![
        block("title", &Title::of(&title(scene))),
        block("status", &Status::of(scene)),
        block("pools", &Strips::of(scene, may_act)),
        block(
            "day",
            &Day {
                charts: drawn.to_vec(),
            },
        ),
        block(
            "latest",
            &Latest {
                events: newest(scene, EVENTS),
            },
        ),
    ]
}

/// What is worth being read out: no figures that change all the time.
#[derive(Template)]
#[template(path = "overview_status.html")]
struct Status {
    is_well: bool,
    sentences: Vec<String>,
}

impl Status {
    fn of(scene: &Scene) -> Self {
        let gate = &scene.gate;
        let mut troubles = Vec::new();
        if let Some(trouble) = &gate.trouble {
            troubles.push(format!("The gate is not ready: {trouble}."));
        }
        if gate.is_audit_failing {
            troubles.push(format!(
                "The audit log cannot be written; {} are lost.",
                counted(gate.audit_lines_lost, "line")
            ));
        }
        let refused = gate
            .config
            .as_ref()
            .is_some_and(|config| config.refused.is_some());
        if refused {
            troubles.push("The last reload was refused, and the configuration before it is in force: see below.".to_owned());
        }
        let at_fault = gate
            .config
            .as_ref()
            .map_or(0, |config| config.file_faults.len() as u64);
        if at_fault > 0 {
            let verb = if at_fault == 1 { "is" } else { "are" };
            let files = counted(at_fault, "file");
            troubles.push(format!(
                "{files} of the configuration {verb} of no use: see below."
            ));
        }
        let instances = &scene.snapshot.instances;
        let down = instances
            .iter()
            .filter(|view| State::of(view) == State::Down);
        let down = down.count() as u64;
        if down > 0 {
            let verb = if down == 1 { "is" } else { "are" };
            troubles.push(format!("{} {verb} down.", counted(down, "machine")));
        }
        let frozen = scene.snapshot.pools.iter().filter(|pool| {
            let intent = pool.intent.as_ref();
            intent.is_some_and(|intent| intent.frozen.is_some())
        });
        for pool in frozen {
            troubles.push(format!(
                "Pool {} is not resized for now.",
                plain(&pool.name)
            ));
        }
        let waiting = scene
            .waiters
            .iter()
            .filter(|waiter| waiter.is_there)
            .count();
        if waiting > 0 {
            let verb = if waiting == 1 { "waits" } else { "wait" };
            let people = if waiting == 1 { "person" } else { "people" };
            troubles.push(format!("{waiting} {people} {verb} for a seat."));
        }
        Self {
            is_well: troubles.is_empty(),
            sentences: match troubles.is_empty() {
                true => {
                    vec!["Everything is well: no machine is down, and nobody waits.".to_owned()]
                }
                false => troubles,
            },
        }
    }
}

#[derive(Template)]
#[template(path = "overview_pools.html")]
struct Strips {
    strips: Vec<Strip>,
    gate: GateLine,
}

struct GateLine {
    started: Option<Moment>,
    config: Option<ConfigLine>,
}

/// The configuration in force.
struct ConfigLine {
    /// Empty where there is none.
    file: String,
    loaded: Moment,
    refused: Option<Refused>,
    file_faults: Vec<AtFault>,
}

/// A file whose newest content is not in force.
struct AtFault {
    since: Moment,
    why: String,
}

/// A reload that was not carried out.
struct Refused {
    at: Moment,
    faults: Vec<String>,
}

struct Strip {
    name: String,
    is_default: bool,
    placement: &'static str,
    machines: String,
    routable: String,
    sessions: String,
    capacity: String,
    free: String,
    waiting: String,
    has_waiting: bool,
    bar: Vec<Piece>,
    bar_says: String,
    /// Where a number of machines is ordered.
    scale_path: Option<String>,
    queue: &'static str,
    machines_path: String,
    sessions_path: String,
    next: Next,
}

/// What the controller is about.
struct Next {
    is_resized: bool,
    frozen: Option<String>,
    steps: Vec<String>,
    /// When, in how long, what.
    ahead: Option<(String, String, String)>,
    wanted: Option<String>,
    coming: Option<String>,
    trouble: Option<String>,
    notes: Vec<String>,
}

impl Strips {
    fn of(scene: &Scene, may_act: bool) -> Self {
        let clock = scene.house_clock();
        let mut pools: Vec<_> = scene.snapshot.pools.iter().collect();
        // Where most people go first; the others keep their order.
        pools.sort_by_key(|pool| !pool.default);
        let config = scene.gate.config.as_ref();
        Self {
            strips: pools
                .into_iter()
                .map(|pool| Strip::of(scene, pool, may_act))
                .collect(),
            gate: GateLine {
                started: scene.gate.started.map(|at| clock.moment(at)),
                config: config.map(|config| ConfigLine::of(config, &clock)),
            },
        }
    }
}

impl ConfigLine {
    fn of(config: &ConfigState, clock: &Clock) -> Self {
        let refused = config.refused.as_ref();
        let file_faults = config.file_faults.iter().map(|fault| AtFault {
            since: clock.moment(fault.since),
            why: plain(&fault.why),
        });
        Self {
            file: plain(&config.written.file.display().to_string()),
            loaded: clock.moment(config.loaded),
            refused: refused.map(|refused| Refused {
                at: clock.moment(refused.at),
                faults: refused.why.lines().map(plain).collect(),
            }),
            file_faults: file_faults.collect(),
        }
    }
}

impl Strip {
    fn of(scene: &Scene, pool: &PoolView, may_act: bool) -> Self {
        let views = scene.snapshot.instances_of(&pool.name);
        let states = states::count(pool, views);
        let number = |state: &State| states.get(state).copied().unwrap_or(0);
        let bar = State::ALL
            .iter()
            .map(|state| (state.name(), state.class(), number(state)));
        let bar = pieces(bar);
        let machines: u32 = states.values().sum();
        let said = bar.iter().map(|one| format!("{} {}", one.count, one.name));
        let said = said.collect::<Vec<_>>().join(", ");
        let waiters = scene.waiters.iter();
        let waiting = waiters.filter(|one| one.pool == pool.name && one.is_there);
        let waiting = waiting.count();
        let query = in_query(&pool.name);
        Self {
            name: plain(&pool.name),
            is_default: pool.default,
            placement: match pool.placement {
                crate::pool::PlacementPolicy::Spread => "spreads people",
                crate::pool::PlacementPolicy::Pack => "packs people",
                crate::pool::PlacementPolicy::Auto => "spreads and packs by need",
            },
            machines: count(u64::from(machines)),
            routable: count(u64::from(pool.instances_routable)),
            sessions: count(u64::from(pool.sessions)),
            capacity: count(u64::from(pool.capacity)),
            free: count(u64::from(pool.headroom)),
            waiting: count(waiting as u64),
            has_waiting: waiting > 0,
            bar_says: format!("{}: {said}", counted(u64::from(machines), "machine")),
            bar,
            scale_path: (may_act && pool.intent.is_some())
                .then(|| format!("/act?order=scale&pool={query}")),
            queue: "/queue",
            machines_path: format!("/machines?pool={query}"),
            sessions_path: format!("/sessions?pool={query}"),
            next: Next::of(scene, pool),
        }
    }
}

impl Next {
    fn of(scene: &Scene, pool: &PoolView) -> Self {
        let clock = scene.clock(&pool.name);
        let intent = pool.intent.as_deref();
        let lines = |of: &dyn Fn(&Intent) -> Vec<String>| intent.map(of).unwrap_or_default();
        let prospect = pool.prospect.as_ref();
        let coming = prospect.filter(|prospect| prospect.coming > 0);
        Self {
            is_resized: prospect.is_some() || intent.is_some(),
            frozen: intent.and_then(|intent| intent.frozen.as_deref().map(sentence)),
            steps: lines(&|intent| intent.steps.iter().map(|step| sentence(step)).collect()),
            ahead: intent.and_then(|intent| {
                let next = intent.next.as_ref()?;
                let ago = clock.moment(next.at).ago;
                Some((clock.short(next.at), ago, plain(&next.step)))
            }),
            wanted: intent.map(|intent| {
                let wanted = u64::from(intent.desired);
                format!(
                    "{} wanted, at most {}",
                    counted(wanted, "machine"),
                    intent.machines_max
                )
            }),
            coming: coming.map(|prospect| {
                let coming = counted(u64::from(prospect.coming), "machine");
                match prospect.ready_at {
                    Some(at) => format!("{coming} on the way, the first by {}", clock.short(at)),
                    None => format!("{coming} on the way"),
                }
            }),
            trouble: prospect.and_then(|prospect| prospect.trouble.as_deref().map(sentence)),
            notes: lines(&|intent| intent.notes.iter().map(|note| plain(note)).collect()),
        }
    }
}

/// With a capital and a full stop.
fn sentence(words: &str) -> String {
    let words = words::plain(words);
    let mut letters = words.chars();
    let first: String = letters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    let rest = letters.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}

#[derive(Template)]
#[template(path = "charts_grid.html")]
struct Day {
    charts: Vec<Chart>,
}

#[derive(Template)]
#[template(path = "overview_latest.html")]
struct Latest {
    events: Vec<EventRow>,
}
