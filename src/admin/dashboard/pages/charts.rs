//! The charts of the last 24 hours: sessions, machines by state, people waiting and their waits, and machine-hours.

use std::time::Duration;

use askama::Template;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::chart::{Chart, Plan, Series, draw};
use super::super::history::Minute;
use super::super::parts::Part;
use super::super::scene::Scene;
use super::super::states::State;
use super::super::words::{age_of, count, plain};
use super::{Slots, block, markup};

/// Of which pool; of all where none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// All of them where none is named.
    #[param(max_length = 63, example = "main")]
    pub pool: Option<String>,
}

impl Asked {
    fn pool(&self) -> Option<&str> {
        self.pool.as_deref().filter(|pool| !pool.is_empty())
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Sessions,
    Machines,
    Waiting,
    Waits,
}

#[derive(Template)]
#[template(path = "charts.html")]
struct Body<'a> {
    slots: &'a Slots,
    pools: Vec<String>,
    asked: &'a str,
}

pub fn body(slots: &Slots, scene: &Scene, asked: &Asked) -> String {
    markup(&Body {
        slots,
        pools: scene.pool_names(),
        asked: asked.pool().unwrap_or_default(),
    })
}

pub fn parts(scene: &Scene, asked: &Asked) -> Vec<Part> {
    let kinds = [Kind::Sessions, Kind::Machines, Kind::Waiting, Kind::Waits];
    let charts = kinds.map(|kind| chart(scene, asked.pool(), kind));
    vec![
        block("hours", &Hours::of(scene, asked.pool())),
        block(
            "day",
            &Grid {
                charts: charts.to_vec(),
            },
        ),
    ]
}

#[derive(Template)]
#[template(path = "charts_grid.html")]
struct Grid {
    charts: Vec<Chart>,
}

pub fn chart(scene: &Scene, pool: Option<&str>, kind: Kind) -> Chart {
    let minutes = scene.history.minutes(pool);
    let clock = pool.map_or_else(|| scene.house_clock(), |pool| scene.clock(pool));
    draw(&plan(kind, &minutes), &minutes, &clock)
}

fn plan(kind: Kind, minutes: &[Minute]) -> Plan {
    match kind {
        Kind::Sessions => Plan {
            id: "chart-sessions",
            title: "Sessions",
            unit: "at once, and seats there are",
            series: vec![
                series("seats", "l-soft", |one| Some(one.capacity)),
                series("sessions", "l-main", |one| Some(one.sessions)),
            ],
            is_stacked: false,
        },
        Kind::Machines => {
            let seen = |state: &State| minutes.iter().any(|one| one.states.contains_key(state));
            let states = State::ALL.into_iter().filter(seen);
            let series = states.map(|state| Series {
                name: state.name(),
                class: state.class(),
                value: Box::new(move |one: &Minute| {
                    Some(one.states.get(&state).copied().unwrap_or(0))
                }),
            });
            Plan {
                id: "chart-machines",
                title: "Machines by state",
                unit: "those that are off included",
                series: series.collect(),
                is_stacked: true,
            }
        }
        Kind::Waiting => Plan {
            id: "chart-waiting",
            title: "People waiting for a seat",
            unit: "at once",
            series: vec![series("waiting", "l-main", |one| Some(one.waiting))],
            is_stacked: false,
        },
        Kind::Waits => Plan {
            id: "chart-waits",
            title: "How long people waited",
            unit: "seconds, 95 of 100 waited less",
            series: vec![series("wait", "l-main", |one| {
                Some(one.wait_p95_s.unwrap_or(0))
            })],
            is_stacked: false,
        },
    }
}

fn series(
    name: &'static str,
    class: &'static str,
    value: impl Fn(&Minute) -> Option<u32> + 'static,
) -> Series {
    Series {
        name,
        class,
        value: Box::new(value),
    }
}

/// Machine-hours of the day, and what as many machines as there may be would have had.
#[derive(Template)]
#[template(path = "charts_hours.html")]
struct Hours {
    billed: String,
    always_on: Option<String>,
    saved: Option<String>,
    saved_percent: Option<String>,
    seen: String,
    ledger: Vec<LedgerLine>,
}

/// Since the pool's machine-hours are counted.
struct LedgerLine {
    pool: String,
    billed_h: String,
    used_h: String,
    idle_h: String,
    saved_h: String,
    since: String,
}

impl Hours {
    fn of(scene: &Scene, pool: Option<&str>) -> Self {
        let minutes = scene.history.minutes(pool);
        let hours = |of: &dyn Fn(&Minute) -> u32| {
            let sum: u64 = minutes.iter().map(|one| u64::from(of(one))).sum();
            sum as f64 / 60.0
        };
        let billed = hours(&|one| one.billed);
        let is_resized = minutes.iter().any(|one| one.machines_max.is_some());
        let always = hours(&|one| one.machines_max.unwrap_or(one.billed));
        let saved = (always - billed).max(0.0);
        let costs = scene.costs.iter();
        let costs = costs.filter(|cost| pool.is_none_or(|pool| *cost.pool == *pool));
        let ledger = costs.map(|cost| LedgerLine {
            pool: plain(&cost.pool),
            billed_h: tenths(cost.hours.billed_h),
            used_h: tenths(cost.hours.used_h),
            idle_h: tenths(cost.hours.idle_h),
            saved_h: tenths(cost.saved_h),
            since: scene.clock(&cost.pool).moment(cost.since).clock,
        });
        Self {
            billed: tenths(billed),
            always_on: is_resized.then(|| tenths(always)),
            saved: is_resized.then(|| tenths(saved)),
            saved_percent: (is_resized && always > 0.0)
                .then(|| format!("{:.0} %", saved / always * 100.0)),
            seen: age_of(Duration::from_secs(minutes.len() as u64 * 60)),
            ledger: ledger.collect(),
        }
    }
}

/// `1,234.5`.
fn tenths(hours: f64) -> String {
    let tenths = (hours * 10.0).round();
    let whole = (tenths / 10.0).trunc();
    let rest = (tenths - whole * 10.0).abs();
    let sign = if whole == 0.0 && tenths < 0.0 || whole < 0.0 {
        "−"
    } else {
        ""
    };
    format!("{sign}{}.{rest:.0}", count(whole.abs() as u64))
}
