//! Why something is as it is, in sentences: asked by a form, answered on the page.
//!
//! The sentences are those of the API and of `poolgate explain`; nothing is judged here.

use askama::Template;
use serde::Deserialize;

use super::super::scene::Scene;
use super::super::words::{count, in_query, plain};
use super::machine::IdleView;
use super::machines::{self, Action};
use super::{machine_path, markup};
use crate::admin::{ScalingStory, UserStory};
use crate::pool::explain::{Candidate, NextLogin};
use crate::pool::idle::Idle;

/// Candidates beyond these are counted, not listed.
const CANDIDATES: usize = 100;

/// What is asked; each form of the page asks one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// Why somebody is where they are, in `pool` or where people go who name none.
    pub user: String,
    pub pool: String,
    /// `POOL/NAME`: what its probes see, and why it is in use.
    pub instance: String,
}

/// What was found out of what was asked, or why not.
#[derive(Default)]
pub struct Answers {
    pub person: Option<Result<UserStory, String>>,
    pub machine: Option<Result<MachineStory, String>>,
    /// Of each pool: this is told unasked.
    pub scaling: Vec<ScalingStory>,
}

/// What can be told of a machine.
pub struct MachineStory {
    /// Sentences.
    pub health: Vec<String>,
    pub idle: Idle,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Body<'a> {
    asked: &'a Asked,
    pools: Vec<String>,
    machines: Vec<String>,
    person: Option<PersonView>,
    person_fault: Option<String>,
    health: Vec<String>,
    idle: Option<IdleView>,
    machine_fault: Option<String>,
    scaling: Vec<ScalingView>,
}

/// What comes next in a pool.
struct ScalingView {
    pool: String,
    sentences: Vec<String>,
}

/// Somebody's whereabouts.
struct PersonView {
    sentences: Vec<String>,
    next: Vec<NextView>,
    action: Option<Action>,
}

/// What their next login by one protocol would do.
struct NextView {
    protocol: &'static str,
    rows: Vec<CandidateRow>,
    more: Option<String>,
}

struct CandidateRow {
    name: String,
    path: String,
    is_chosen: bool,
    seats: String,
    score: String,
    why: String,
}

pub fn body(scene: &Scene, asked: &Asked, answers: &Answers, may_act: bool) -> String {
    let found = machines::select(scene, &machines::Asked::default());
    let name = |view: &crate::pool::InstanceView| format!("{}/{}", view.pool, view.name);
    let (person, person_fault) = halves(answers.person.as_ref());
    let (machine, machine_fault) = halves(answers.machine.as_ref());
    let scaling = answers.scaling.iter().map(|story| ScalingView {
        pool: plain(&story.pool.name),
        sentences: lines(&story.text),
    });
    markup(&Body {
        asked,
        pools: scene.pool_names(),
        machines: found.into_iter().map(name).collect(),
        person: person.map(|story| PersonView::of(story, may_act)),
        person_fault,
        health: machine.map(|told| lines(&told.health)).unwrap_or_default(),
        idle: machine.map(|told| IdleView::of(&told.idle)),
        machine_fault,
        scaling: scaling.collect(),
    })
}

fn lines(text: &[String]) -> Vec<String> {
    text.iter().map(|line| plain(line)).collect()
}

/// What was found, and what is said where nothing was.
fn halves<T>(answer: Option<&Result<T, String>>) -> (Option<&T>, Option<String>) {
    match answer {
        None => (None, None),
        Some(Ok(found)) => (Some(found), None),
        Some(Err(fault)) => (None, Some(plain(fault))),
    }
}

impl PersonView {
    fn of(story: &UserStory, may_act: bool) -> Self {
        let person = &story.person;
        let (user, pool) = (in_query(&person.user), in_query(&person.pool));
        let next = person.next.iter();
        Self {
            sentences: lines(&story.text),
            next: next.map(|next| NextView::of(next, &person.pool)).collect(),
            action: may_act.then(|| Action {
                word: "Move",
                label: format!("Move {}", plain(&person.user)),
                path: format!("/act?order=move&user={user}&pool={pool}"),
            }),
        }
    }
}

impl NextView {
    fn of(next: &NextLogin, pool: &str) -> Self {
        let candidates = &next.candidates;
        let hidden = candidates.len().saturating_sub(CANDIDATES);
        let shown = candidates.iter().enumerate();
        let shown = shown.filter(|(at, one)| *at < CANDIDATES || one.is_chosen);
        let mut shown: Vec<_> = shown.map(|(_, one)| one).collect();
        // Who is bound to a machine goes there however it compares: where, is what is looked for.
        shown.sort_by_key(|one| !one.is_chosen);
        Self {
            protocol: next.protocol.name(),
            rows: shown
                .into_iter()
                .map(|one| CandidateRow::of(one, pool))
                .collect(),
            more: (hidden > 0).then(|| count(hidden as u64)),
        }
    }
}

impl CandidateRow {
    fn of(one: &Candidate, pool: &str) -> Self {
        let score = one.score.map(|score| format!("{score:.3}"));
        Self {
            name: plain(&one.instance),
            path: machine_path(pool, &one.instance),
            is_chosen: one.is_chosen,
            seats: format!("{} / {}", one.seats, one.capacity),
            score: score.unwrap_or_else(|| "–".to_owned()),
            why: plain(&one.why),
        }
    }
}
