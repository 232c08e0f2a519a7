//! Why something is as it is, in sentences: asked by a form, answered on the page.

use askama::Template;
use serde::Deserialize;

use super::super::scene::Scene;
use super::super::words::plain;
use super::machine::IdleView;
use super::markup;
use crate::pool::idle::Idle;

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// `POOL/NAME`.
    pub instance: String,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct Body<'a> {
    asked: &'a Asked,
    machines: Vec<String>,
    idle: Option<IdleView>,
    fault: Option<String>,
}

/// `answer`: what was found out about what was asked for, or why not.
pub fn body(scene: &Scene, asked: &Asked, answer: Option<&Result<Idle, String>>) -> String {
    let mut machines = super::machines::select(scene, &super::machines::Asked::default());
    machines.truncate(10_000);
    let name = |view: &&crate::pool::InstanceView| format!("{}/{}", view.pool, view.name);
    markup(&Body {
        asked,
        machines: machines.iter().map(name).collect(),
        idle: answer.and_then(|answer| answer.as_ref().ok().map(IdleView::of)),
        fault: answer.and_then(|answer| answer.as_ref().err().map(|fault| plain(fault))),
    })
}
