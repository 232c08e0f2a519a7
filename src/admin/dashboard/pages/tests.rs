//! Pages made of awkward values: nothing of them becomes markup, and what is shown is what there is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;

use super::*;
use crate::admin::dashboard::csv;
use crate::admin::dashboard::history::{History, Look};
use crate::admin::dashboard::parts::Rendering;
use crate::admin::dashboard::scene::GateView;
use crate::admin::dashboard::states::State;
use crate::admin::{ConfigState, RefusedReload, ScalingStory, UserStory};
use crate::config::diff::Written;
use crate::files::FileFault;
use crate::pool::explain::{Candidate, NextLogin, PersonView};
use crate::pool::snapshot::{PoolView, ServicesView, SessionView, Snapshot, WaiterView};
use crate::pool::{
    AdminState, Decider, Foreseen, Health, InstanceView, Intent, PlacementPolicy, Protocol,
    SessionId, Stage,
};
use crate::telemetry::events::{Event, EventKind};

mod told;

const EVIL: &str = "<img src=x onerror=alert(1)>\"'&{{7*7}}\u{202e}";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_774_267_200)
}

fn pool() -> PoolView {
    PoolView {
        name: "main".into(),
        default: true,
        placement: PlacementPolicy::Auto,
        instances: 2,
        instances_routable: 1,
        capacity: 16,
        load: 3,
        headroom: 5,
        sessions: 3,
        prospect: None,
        intent: None,
    }
}

fn machine(name: &str, state: AdminState, health: Health) -> InstanceView {
    InstanceView {
        name: name.into(),
        address: EVIL.to_owned(),
        pool: "main".into(),
        admin_state: state,
        decided_by: Decider::Admin,
        reason: (state != AdminState::Ready).then(|| EVIL.into()),
        deadline: None,
        keep: None,
        is_sealed: false,
        health,
        health_since: now() - Duration::from_secs(3700),
        services: ServicesView {
            ssh: health,
            jupyter: None,
        },
        hub: None,
        measured: None,
        sessions: 3,
        capacity: 8,
        load: 3,
        ssh_port: 22,
        jupyter_port: None,
        generation: 1,
    }
}

fn session(id: u64, user: &str) -> SessionView {
    SessionView {
        id: SessionId(id),
        user: Some(user.into()),
        protocol: Protocol::Ssh,
        pool: "main".into(),
        instance: "vm1".into(),
        peer: "192.0.2.7".parse().unwrap(),
        since: now() - Duration::from_secs(id),
        stage: Stage::Live,
        is_elsewhere: false,
    }
}

/// Of a gate whose last reload was refused.
fn config() -> ConfigState {
    let mut written = Written::default();
    written.file = EVIL.into();
    ConfigState {
        written,
        loaded: now(),
        refused: Some(RefusedReload {
            at: now(),
            why: format!("line 3: {EVIL}\nline 4: unknown key"),
        }),
        file_faults: vec![FileFault {
            key: "ssh.auth.revoked_keys".to_owned(),
            file: EVIL.into(),
            since: now(),
            why: format!("ssh.auth.revoked_keys: {EVIL} is broken"),
        }],
    }
}

fn scene(sessions: Vec<SessionView>) -> Scene {
    let mut history = History::default();
    let look = Look {
        sessions: 3,
        billed: 2,
        states: [(State::Ready, 2)].into(),
        ..Look::default()
    };
    history.note("main", look, now());
    Scene {
        now: now(),
        snapshot: Arc::new(Snapshot {
            pools: vec![pool()],
            instances: vec![
                machine("vm1", AdminState::Ready, Health::Up),
                machine("vm2", AdminState::Draining, Health::Up),
            ],
            sessions,
            older: Vec::new(),
        }),
        waiters: Vec::new(),
        events: Arc::from([Event {
            user: None,
            number: 1,
            time: now(),
            pool: "main".to_owned(),
            instance: Some("vm2".to_owned()),
            kind: EventKind::Drain,
            text: EVIL.to_owned(),
        }]),
        history: Arc::new(history),
        zones: Arc::new(BTreeMap::from([(
            "main".to_owned(),
            TimeZone::fixed(jiff::tz::offset(9)),
        )])),
        kernels: Arc::default(),
        costs: Arc::default(),
        gate: GateView {
            config: Some(Arc::new(config())),
            ..GateView::default()
        },
    }
}

fn viewer(may_act: bool) -> Viewer {
    Viewer {
        name: EVIL.to_owned(),
        role: "viewer",
        may_act,
        csrf: Some("token".to_owned()),
    }
}

fn form(order: act::Order, instance: &str, session: &str) -> act::Form {
    act::Form {
        order,
        instance: instance.to_owned(),
        session: session.to_owned(),
        user: String::new(),
        pool: String::new(),
        reason: EVIL.to_owned(),
        text: EVIL.to_owned(),
        until: EVIL.to_owned(),
        deadline_s: String::new(),
        machines: String::new(),
        to: EVIL.to_owned(),
        now: String::new(),
        hold_s: String::new(),
    }
}

/// Of somebody awkward on an awkward machine.
fn story() -> UserStory {
    let candidate = Candidate {
        instance: EVIL.into(),
        is_chosen: true,
        seats: 3,
        capacity: 8,
        score: Some(0.375),
        obstacle: None,
        why: EVIL.to_owned(),
    };
    UserStory {
        person: PersonView {
            user: EVIL.into(),
            pool: "main".into(),
            placement: PlacementPolicy::Auto,
            sessions: Vec::new(),
            servers: Vec::new(),
            memory: None,
            waiting: None,
            next: vec![NextLogin {
                protocol: Protocol::Ssh,
                instance: Some(EVIL.into()),
                reason: None,
                refusal: None,
                wakes: false,
                candidates: vec![candidate],
            }],
        },
        text: vec![EVIL.to_owned()],
    }
}

/// The page of each order.
fn orders(scene: &Scene) -> Vec<String> {
    let id = scene.snapshot.sessions[0].id.to_string();
    let ask = |form: &act::Form| act::body(scene, &viewer(true), form, Vec::new(), None).unwrap();
    let on_machines = [
        act::Order::Cordon,
        act::Order::Uncordon,
        act::Order::Drain,
        act::Order::Keep,
        act::Order::Notice,
    ];
    let on_machines = on_machines.map(|order| ask(&form(order, "main/vm2", "")));
    let mut pages = on_machines.to_vec();
    for order in [act::Order::Evict, act::Order::Move, act::Order::Notice] {
        pages.push(ask(&form(order, "", &id)));
    }
    pages
}

/// The answers to everything.
fn explained(scene: &Scene) -> String {
    explain::body(
        scene,
        &explain::Asked {
            user: EVIL.to_owned(),
            pool: EVIL.to_owned(),
            instance: EVIL.to_owned(),
        },
        &explain::Answers {
            person: Some(Ok(story())),
            machine: Some(Err(EVIL.to_owned())),
            scaling: vec![ScalingStory {
                pool: pool(),
                text: vec![EVIL.to_owned()],
            }],
        },
        true,
    )
}

/// Every page there is, as somebody may see it who may act.
fn all(scene: &Scene) -> Vec<String> {
    let slots = |view: View| Slots::of(view.parts(scene, true));
    let machine = View::Machine {
        pool: "main".to_owned(),
        name: "vm2".to_owned(),
    };
    let view = scene.snapshot.instance("main", "vm2").unwrap();
    let sessions = sessions::Asked {
        q: EVIL.to_owned(),
        ..sessions::Asked::default()
    };
    let mut bodies = vec![
        overview::body(&slots(View::Overview)),
        machines::body(
            &slots(View::Machines(machines::Asked::default())),
            scene,
            &machines::Asked::default(),
            true,
        ),
        machine::body(&slots(machine), scene, view, None, true),
        sessions::body(
            &slots(View::Sessions(sessions::Asked::default())),
            scene,
            &sessions,
            true,
        ),
        queue::body(
            &slots(View::Queue(queue::Asked::default())),
            scene,
            &queue::Asked::default(),
        ),
        events::body(
            &slots(View::Events(events::Asked::default())),
            scene,
            &events::Asked::default(),
        ),
        charts::body(
            &slots(View::Charts(charts::Asked::default())),
            scene,
            &charts::Asked::default(),
        ),
        explained(scene),
    ];
    bodies.extend(orders(scene));
    let flash = Flash {
        is_good: false,
        text: EVIL.to_owned(),
    };
    let frame = Frame {
        viewer: &viewer(true),
        flash: Some(&flash),
        tab: Some(Tab::Overview),
        title: EVIL,
        live: Some(EVIL),
    };
    let pages = bodies.iter().map(|body| shell(scene, &frame, body));
    pages.collect()
}

#[test]
fn nothing_from_outside_becomes_markup() {
    let mut scene = scene(vec![session(1, EVIL)]);
    scene.waiters = vec![WaiterView {
        pool: "main".into(),
        place: 1,
        user: Some(EVIL.into()),
        by: vec![Protocol::Ssh],
        source: "192.0.2.9".parse().unwrap(),
        since: now(),
        is_there: true,
    }];
    for page in all(&scene) {
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>"));
        assert!(!page.contains("<img src=x"), "{page}");
        assert!(!page.contains("\"'&{"), "{page}");
        assert!(
            !page.contains('\u{202e}') || page.contains("value="),
            "{page}"
        );
        for never in [
            "style=\"",
            "onclick",
            "javascript:",
            "http://",
            "https://",
            "<script>",
        ] {
            assert!(!page.contains(never), "{never} in {page}");
        }
    }
    let shown = all(&scene).concat();
    assert!(shown.contains("&#60;img src=x onerror=alert(1)&#62;&#34;&#39;&#38;{{7*7}}⟨U+202E⟩"));
}

#[test]
fn whoever_may_only_look_sees_no_orders() {
    let scene = scene(vec![session(1, "alice")]);
    for view in [
        View::Machines(machines::Asked::default()),
        View::Sessions(sessions::Asked::default()),
        View::Machine {
            pool: "main".to_owned(),
            name: "vm1".to_owned(),
        },
    ] {
        let offered = |may_act| format!("{:?}", view.parts(&scene, may_act)).contains("/act?");
        assert!(offered(true) && !offered(false), "{view:?}");
    }
    let slots = Slots::of(View::Sessions(sessions::Asked::default()).parts(&scene, false));
    let body = sessions::body(&slots, &scene, &sessions::Asked::default(), false);
    assert!(!body.contains("/act?") && !body.contains("Orders"));
}

#[test]
fn a_search_is_made_here_and_paged() {
    let people = (1..=250).map(|at| session(at, &format!("person{at:03}")));
    let scene = scene(people.collect());
    let shown = |query: &str| {
        let view = View::at("/sessions", query).unwrap();
        Slots::of(view.parts(&scene, false))
    };
    let first = shown("");
    assert!(first.get("pager").contains("1–100 of 250 sessions"));
    assert!(first.get("rows").contains("person250") && !first.get("rows").contains("person150"));
    assert!(first.get("pager").contains("page=2") && !first.get("pager").contains("Before"));
    let last = shown("page=3");
    assert!(last.get("pager").contains("201–250 of 250") && !last.get("pager").contains("After"));
    assert_eq!(last.get("rows").matches("<tr").count(), 50);
    let beyond = shown("page=99");
    assert_eq!(beyond.get("rows"), last.get("rows"));
    let found = shown("q=PERSON007");
    assert!(
        found.get("pager").contains("1 session"),
        "{}",
        found.get("pager")
    );
    assert!(shown("q=nobody").get("pager").contains("No sessions"));
    assert_eq!(shown("q=vm1&protocol=jupyter").get("rows"), "");
    let oldest = shown("order=old");
    assert!(oldest.get("rows").contains("person001"));
    let asked = sessions::Asked {
        q: "person00".to_owned(),
        ..sessions::Asked::default()
    };
    assert_eq!(csv::sessions(&scene, &asked).lines().count(), 10);
    assert_eq!(
        csv::machines(&scene, &machines::Asked::default())
            .lines()
            .count(),
        3
    );
}

#[test]
fn every_address_of_a_page_that_changes_is_known() {
    for path in [
        "/",
        "/machines",
        "/sessions",
        "/queue",
        "/events",
        "/charts",
        "/machines/main/vm%201",
    ] {
        assert!(View::at(path, "q=a%20b&page=1").is_some(), "{path}");
    }
    let one = View::at("/machines/main/vm%2F1", "").unwrap();
    let wanted = View::Machine {
        pool: "main".to_owned(),
        name: "vm/1".to_owned(),
    };
    assert_eq!(one, wanted);
    for path in ["", "/explain", "/machines/main", "/act", "//"] {
        assert_eq!(View::at(path, ""), None, "{path}");
    }
    assert_eq!(View::at("/machines", "page=x"), None);
}

#[test]
fn the_same_scene_changes_nothing() {
    let scene = scene(vec![session(1, "alice")]);
    for view in [
        View::Overview,
        View::Machines(machines::Asked::default()),
        View::Charts(charts::Asked::default()),
    ] {
        let first = Rendering::of(view.parts(&scene, true));
        let second = Rendering::of(view.parts(&scene, true));
        assert_eq!(second.changed_since(&first), None, "{view:?}");
    }
}
