//! Every verb's printer, given nasty texts wherever somebody else's may stand.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::tests::{NASTY, assert_harmless};
use crate::admin::{ScaleAnswer, ScaleRequest, Status, UserStory};
use crate::cli::args::ListOutput;
use crate::cli::doctor::{self, Check};
use crate::cli::{csv, events, explain, instances, print, queue, scale, sessions, status};
use crate::pool::WaiterView;
use crate::pool::snapshot::{InstanceView, SessionView};
use crate::telemetry::events::Event;

const TIME: &str = "2026-11-29T10:00:00Z";

fn of<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn session(text: &str) -> Value {
    json!({
        "id": "4f1d2c3b4a596877", "user": text, "protocol": "ssh", "pool": text, "instance": text,
        "peer": "192.0.2.7", "since": TIME, "stage": "live",
    })
}

fn waiter(text: &str) -> Value {
    json!({
        "pool": text, "place": 1, "user": text, "by": ["ssh"], "source": "192.0.2.7", "since": TIME, "is_there": true,
    })
}

fn instance(text: &str) -> Value {
    json!({
        "name": text, "address": text, "pool": text, "admin_state": "draining", "decided_by": "admin", "reason": text,
        "keep": { "by": text, "until": TIME }, "health": "up", "health_since": TIME,
        "services": { "ssh": "up", "jupyter": "down" }, "sessions": 1, "capacity": 8, "load": 1, "ssh_port": 22,
        "jupyter_port": 8000, "generation": 1,
        "measured": {
            "taken": TIME, "load_percent": 7, "cpu_percent": null, "memory_percent": null, "gpu_percent": null,
            "people": 0, "kept": 0, "is_reboot_pending": false, "closed": text,
        },
    })
}

fn pool(text: &str) -> Value {
    json!({
        "name": text, "default": true, "placement": "auto", "instances": 0, "instances_routable": 0,
        "capacity": 0, "load": 0, "headroom": 0, "sessions": 0,
    })
}

fn event(text: &str) -> Value {
    json!({ "number": 1, "time": TIME, "pool": text, "instance": text, "user": text, "kind": "drain", "text": text })
}

fn gate(text: &str) -> Value {
    json!({
        "version": text, "ready": false, "reason": text, "started": TIME, "uptime_s": 1, "pools": [pool(text)],
        "sessions": 0, "older": [{ "pid": 7, "version": text, "sessions": 1, "is_heard": false }],
        "audit_failing": true, "audit_lines_lost": 1,
        "config": {
            "file": text, "keys": {}, "loaded": TIME, "refused": { "at": TIME, "why": text },
            "file_faults": [{ "key": text, "file": text, "since": TIME, "why": text }],
        },
    })
}

fn story(text: &str) -> Value {
    let candidate = json!({ "instance": text, "is_chosen": true, "seats": 1, "capacity": 8, "score": 0.5, "why": text });
    json!({
        "user": text, "pool": text, "placement": "auto", "sessions": [], "servers": [], "memory": null, "waiting": null,
        "next": [{ "protocol": "ssh", "instance": text, "wakes": false, "candidates": [candidate] }], "text": [text],
    })
}

/// What each verb shows where everything is this text.
fn shown(nasty: &str) -> Vec<(&'static str, String)> {
    let text = nasty.to_owned();
    let request = ScaleRequest {
        pool: text.clone(),
        machines: 1,
        hold_s: 60,
        is_dry_run: false,
    };
    let answer = ScaleAnswer {
        steps: vec![text.clone()],
        notes: vec![text.clone()],
    };
    let told: Vec<Event> = vec![of(event(nasty))];
    let whole = |output| events::whole(output, &told).unwrap();
    let sessions: Vec<SessionView> = vec![of(session(nasty))];
    let queue: Vec<WaiterView> = vec![of(waiter(nasty))];
    let instances: Vec<InstanceView> = vec![of(instance(nasty))];
    vec![
        ("sessions", sessions::to_table(sessions)),
        ("queue", queue::to_table(queue)),
        ("instances", instances::to_table(instances)),
        ("status", status::to_table(of::<Status>(gate(nasty)))),
        ("events", whole(ListOutput::Table)),
        ("events as JSON", whole(ListOutput::Json)),
        ("events as CSV", whole(ListOutput::Csv)),
        ("explain", explain::to_text(of::<UserStory>(story(nasty)))),
        ("explain health", explain::paragraph(&[text])),
        ("scale", scale::to_text(&request, &answer)),
        ("doctor", doctor::line(&Check::fail(nasty, nasty, nasty))),
        ("JSON", print::json(&instance(nasty)).unwrap()),
        ("CSV", csv::lines(&["name", "reason"], &[instance(nasty)])),
    ]
}

#[test]
fn no_verb_lets_a_text_act_on_the_terminal() {
    for nasty in NASTY {
        for (verb, told) in shown(nasty) {
            assert!(told.len() > 4, "{verb} shows nothing");
            assert_harmless(verb, &told);
        }
    }
}
