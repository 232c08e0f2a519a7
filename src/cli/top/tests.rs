//! What keys lead to, and what the screen then shows, text by text. `POOLGATE_GOLDEN=write` writes the screens anew.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};
use serde_json::{Value, json};

use super::looks::Looks;
use super::model::{Effect, Message, Mode, Model, Question};
use super::order::Order;
use super::picture::{Picture, Standing};
use super::view;
use crate::admin::{Me, Role};
use crate::pool::InstanceId;
use crate::telemetry::events::{Event, EventKind};

const NOON: &str = "2026-11-29T12:00:00.000Z";

fn noon() -> SystemTime {
    SystemTime::try_from(NOON.parse::<jiff::Timestamp>().unwrap()).unwrap()
}

fn instance(name: &str, state: &str, health: &str, load: u32) -> Value {
    json!({
        "name": name, "address": "10.0.0.4", "pool": "main", "admin_state": state,
        "decided_by": if state == "ready" { "nobody" } else { "admin" },
        "reason": if state == "ready" { Value::Null } else { json!("new \u{1b}[31mkernel") },
        "health": health, "health_since": "2026-11-29T08:58:00.000Z",
        "services": { "ssh": health, "jupyter": "up" },
        "measured": { "taken": NOON, "load_percent": load * 12, "cpu_percent": 3, "memory_percent": 4,
            "gpu_percent": null, "people": load, "kept": 0, "is_reboot_pending": false, "closed": null },
        "sessions": load, "capacity": 8, "load": load, "ssh_port": 22, "jupyter_port": 8000, "generation": 1
    })
}

fn session(number: u64, user: &str, instance: &str) -> Value {
    json!({
        "id": format!("{number:016x}"), "user": user, "protocol": "ssh", "pool": "main",
        "instance": instance, "peer": "192.0.2.7", "since": "2026-11-29T11:15:30.000Z", "stage": "live"
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn picture() -> Picture {
    let status = json!({
        "version": "0.1.0", "ready": true, "reason": null, "started": NOON, "uptime_s": 10920, "sessions": 6,
        "audit_failing": false, "audit_lines_lost": 0, "older": [],
        "config": { "file": "/etc/poolgate/poolgate.toml", "keys": {}, "loaded": NOON },
        "pools": [{
            "name": "main", "default": true, "placement": "spread", "instances": 3, "instances_routable": 1,
            "capacity": 24, "load": 6, "headroom": 5, "sessions": 6, "prospect": null,
            "intent": { "desired": 2, "machines_max": 4, "machines": {}, "steps": [],
                "next": { "at": "2026-11-29T12:20:00.000Z", "step": "drain vm10: nobody was there for 15 min" },
                "notes": [], "frozen": null }
        }]
    });
    Picture {
        at: noon(),
        status: read(status),
        instances: read(json!([
            instance("vm10", "ready", "up", 3),
            instance("vm2", "cordoned", "up", 2),
            instance("vm3", "ready", "down", 1),
        ])),
        sessions: read(json!([
            session(1, "alice", "vm10"),
            session(2, "bob", "vm10"),
            session(3, "Zo\u{eb}", "vm10"),
            session(4, "dave", "vm2"),
            session(5, "erin\u{202e}", "vm2"),
            session(6, "frank", "vm3"),
        ])),
        waiters: read(json!([{
            "pool": "main", "place": 1, "user": "gina", "by": ["jupyter"], "source": "192.0.2.9",
            "since": "2026-11-29T11:59:12.000Z", "is_there": true
        }])),
        kernels: [(id("vm10"), 2)].into(),
        config: Standing::Differs(2),
    }
}

fn id(name: &str) -> InstanceId {
    InstanceId {
        pool: "main".into(),
        name: name.into(),
    }
}

const FULL: Looks = Looks {
    has_colours: true,
    has_unicode: true,
};
const PLAIN: Looks = Looks {
    has_colours: false,
    has_unicode: false,
};

fn model_of(role: Role, looks: Looks) -> Model {
    let me = Me {
        name: "ada".to_owned(),
        role,
        via: "socket".to_owned(),
    };
    let mut model = Model::new(looks, TimeZone::UTC, me, picture());
    let event = |number, text: &str| Event {
        number,
        time: noon() - Duration::from_secs(600 / number),
        pool: "main".to_owned(),
        instance: Some("vm2".to_owned()),
        user: None,
        kind: EventKind::Cordon,
        text: text.to_owned(),
    };
    let events = vec![
        event(1, "ada cordons it: new kernel"),
        event(2, "a second\none"),
    ];
    model.update(Message::Events(events));
    model
}

fn model() -> Model {
    model_of(Role::Operator, FULL)
}

/// Types keys: each character is one, and `\n`, `\t`, `\u{1b}` are Enter, Tab and Escape.
fn press(model: &mut Model, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for one in keys.chars() {
        let code = match one {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            one => KeyCode::Char(one),
        };
        effect = model.update(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    effect
}

fn draw(model: &Model, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(model, frame)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let rows = buffer.content().chunks(usize::from(buffer.area().width));
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    };
    rows.map(line).collect()
}

fn screen(model: &Model) -> String {
    text(&draw(model, 80, 24))
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses")]
#[track_caller]
fn assert_golden(name: &str, shown: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/top/{name}.txt"));
    if std::env::var("POOLGATE_GOLDEN").is_ok_and(|order| order == "write") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, shown).unwrap();
    }
    let golden = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        golden == shown,
        "{}:\n{golden}\nis now\n{shown}",
        file.display()
    );
}

#[test]
fn screens_look_as_they_are_kept() {
    let mut model = model();
    assert_golden("80x24", &screen(&model));
    assert_golden("200x60", &text(&draw(&model, 200, 60)));
    press(&mut model, "?");
    assert_golden("help", &screen(&model));
    press(&mut model, "q\tsss/bo\n");
    assert_golden("sessions", &screen(&model));
    let mut model = model_of(Role::Viewer, PLAIN);
    model.update(Message::Away(noon() + Duration::from_secs(30)));
    assert_golden("ascii_away", &screen(&model));
    let small = text(&draw(&model, 30, 8));
    assert!(
        small.starts_with("make this window larger: 40 by"),
        "{small}"
    );
}

#[test]
fn every_size_is_drawn() {
    let mut model = model();
    for keys in ["", "?", "\u{1b}c", "\u{1b}\n"] {
        press(&mut model, keys);
        for width in (1..120).step_by(7) {
            for height in 1..40 {
                draw(&model, width, height);
            }
        }
    }
}

#[test]
fn what_is_chosen_is_seen_without_colours_and_colours_are_only_there_if_wanted() {
    let chosen = |buffer: &Buffer| {
        let cells = buffer.content().iter();
        cells
            .filter(|cell| cell.modifier.contains(Modifier::REVERSED))
            .count()
    };
    for looks in [FULL, PLAIN] {
        let buffer = draw(&model_of(Role::Operator, looks), 80, 24);
        assert!(chosen(&buffer) > 80, "a row and the list's name");
        let is_coloured = buffer.content().iter().any(|cell| cell.fg != Color::Reset);
        assert_eq!(is_coloured, looks.has_colours);
        assert_eq!(text(&buffer).is_ascii(), !looks.has_unicode);
    }
}

#[test]
fn a_machine_is_cordoned_after_a_reason_and_a_yes() {
    let mut model = model();
    press(&mut model, "jc");
    assert!(
        screen(&model).contains("Cordon main/vm2"),
        "{}",
        screen(&model)
    );
    assert_eq!(press(&mut model, "\n"), None, "no order without a reason");
    assert!(screen(&model).contains("write why"));
    let tried = press(&mut model, "q d\n");
    let Some(Effect::Try(number, Order::Cordon(order))) = tried else {
        panic!("{tried:?}")
    };
    assert_eq!((&*order.instance, &*order.reason), ("main/vm2", "q d"));
    assert!(order.is_dry_run);
    model.update(Message::Tried(
        number - 1,
        Ok("of another question".to_owned()),
    ));
    assert!(!screen(&model).contains("of another question"));
    model.update(Message::Tried(
        number,
        Ok("would be\u{1b}[2J cordoned".to_owned()),
    ));
    assert_golden("confirm", &screen(&model));
    assert_eq!(press(&mut model, "\n"), None, "only a yes is a yes");
    let given = press(&mut model, "y");
    let Some(Effect::Give(number, Order::Cordon(order))) = given else {
        panic!("{given:?}")
    };
    assert!(!order.is_dry_run);
    model.update(Message::Given(number, Ok("vm2 is cordoned".to_owned())));
    assert_eq!(model.mode, Mode::Looking);
    assert!(screen(&model).contains("vm2 is cordoned"));
    press(&mut model, "k");
    assert!(!screen(&model).contains("vm2 is cordoned"));
}

#[test]
fn a_refused_order_is_written_again_and_escape_orders_nothing() {
    let mut model = model();
    press(&mut model, "dreason\n");
    let tried = press(&mut model, "soon\n");
    assert_eq!(tried, None, "that is no time");
    assert!(
        screen(&model).contains("write a time such as"),
        "{}",
        screen(&model)
    );
    let clear = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    model.update(Message::Key(clear));
    let Some(Effect::Try(number, _)) = press(&mut model, "2h\n") else {
        panic!("{}", screen(&model))
    };
    model.update(Message::Tried(number, Err("there is no vm10".to_owned())));
    assert!(screen(&model).contains("there is no vm10"));
    assert_eq!(press(&mut model, "\u{1b}"), None);
    assert_eq!(model.mode, Mode::Looking);
    assert!(screen(&model).contains("nothing was ordered"));
}

#[test]
fn orders_are_for_what_is_chosen_and_for_who_may() {
    let mut model = model();
    press(&mut model, "e");
    assert!(screen(&model).contains("choose a session first"));
    press(&mut model, "\tc");
    assert!(screen(&model).contains("choose a machine first"));
    let tried = press(&mut model, "jeenough\n");
    assert!(matches!(tried, Some(Effect::Try(_, Order::Evict(order))) if order.session.0 == 2));
    press(&mut model, "\u{1b}Nnoon");
    model.update(Message::Paste("\nq\n".to_owned()));
    let tried = press(&mut model, "\n");
    let Some(Effect::Try(_, Order::Notify(notice))) = tried else {
        panic!("{tried:?}")
    };
    assert_eq!((&*notice.text, notice.session), ("noon q", None));
    let mut viewer = model_of(Role::Viewer, FULL);
    assert_eq!(press(&mut viewer, "c"), None);
    assert_eq!(viewer.mode, Mode::Looking);
    assert!(screen(&viewer).contains("orders take an operator's"));
    press(&mut viewer, "k");
    assert!(
        !screen(&viewer).contains("cordon  u"),
        "{}",
        screen(&viewer)
    );
}

#[test]
fn details_are_asked_for_and_long_ones_are_turned() {
    let mut model = model();
    let asked = press(&mut model, "\t\n");
    let Some(Effect::Explain(number, Question::Person { user, pool })) = asked else {
        panic!("{asked:?}")
    };
    assert_eq!((&*user, &*pool), ("alice", "main"));
    assert!(screen(&model).contains("the gate is asked"));
    let told = (1..40)
        .map(|line| format!("sentence {line}\u{7}"))
        .collect();
    model.update(Message::Explained(number, Ok(told)));
    let shown = screen(&model);
    assert!(
        shown.contains("sentence 9\u{27e8}U+0007\u{27e9}"),
        "{shown}"
    );
    assert!(!shown.contains("sentence 39"), "{shown}");
    for _ in 0..60 {
        press(&mut model, "j");
    }
    assert!(screen(&model).contains("sentence 39"));
    assert_eq!(
        press(&mut model, "q"),
        None,
        "it ends the window, not the program"
    );
    assert_eq!(press(&mut model, "q"), Some(Effect::Stop));
}

#[test]
fn rows_are_filtered_ordered_and_narrowed_to_a_machine() {
    let mut model = model();
    press(&mut model, "s");
    let shown = screen(&model);
    let at = |name: &str| shown.find(name).unwrap();
    assert!(
        at("\nvm2") < at("\nvm3") && at("\nvm3") < at("\nvm10"),
        "{shown}"
    );
    press(&mut model, "S/VM1\n");
    let shown = screen(&model);
    assert!(shown.contains("Machines 1 of 3"), "{shown}");
    press(&mut model, "a");
    let shown = screen(&model);
    assert!(
        shown.contains("Sessions 3 of 6") && shown.contains("on main/vm10"),
        "{shown}"
    );
    press(&mut model, "\u{1b}a");
    assert!(screen(&model).contains("Sessions 6"));
    // The picture changes under whoever looks.
    press(&mut model, "j");
    let chosen = model.chosen(super::pane::Pane::Machines).unwrap().key;
    let mut fewer = picture();
    fewer
        .instances
        .retain(|view| &*view.name != "vm10" || chosen.ends_with("vm10"));
    model.update(Message::Picture(Box::new(fewer)));
    assert_eq!(
        model.chosen(super::pane::Pane::Machines).unwrap().key,
        chosen
    );
}

#[test]
fn control_c_ends_it_wherever_one_is() {
    for keys in ["", "/x", "creason", "?", "\n"] {
        let mut model = model();
        press(&mut model, keys);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(
            model.update(Message::Key(key)),
            Some(Effect::Stop),
            "{keys}"
        );
    }
    assert_eq!(model().update(Message::Stop), Some(Effect::Stop));
}
