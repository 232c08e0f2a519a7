//! What pages tell of states, decisions and orders.

use super::*;

#[test]
fn what_comes_next_is_told_with_its_reason() {
    let mut scene = scene(Vec::new());
    let told = |scene: &Scene| {
        let slots = Slots::of(View::Overview.parts(scene, false));
        slots.get("pools").to_owned()
    };
    assert!(told(&scene).contains("This pool is not resized"));
    let mut intent = Intent {
        desired: 1,
        machines_max: 4,
        next: Some(Foreseen {
            at: now() + Duration::from_secs(420),
            step: "drain vm2: nobody has been on it for the idle time".into(),
        }),
        ..Intent::default()
    };
    let mut set = |intent: &Intent| {
        let mut snapshot = Snapshot::clone(&scene.snapshot);
        snapshot.pools[0].intent = Some(Arc::new(intent.clone()));
        scene.snapshot = Arc::new(snapshot);
        told(&scene)
    };
    let next = set(&intent);
    assert!(
        next.contains("<strong>At 21:07</strong> (in 7 min)"),
        "{next}"
    );
    assert!(next.contains("drain vm2: nobody has been on it for the idle time."));
    assert!(next.contains("1 machine wanted, at most 4"));
    intent.next = None;
    assert!(set(&intent).contains("Nothing for the next hour"));
    intent.frozen = Some("nothing is changed: the cloud's listing is 200 s old".into());
    let frozen = set(&intent);
    assert!(
        frozen.contains("<strong>Frozen.</strong> Nothing is changed: the cloud&#39;s listing")
    );
    assert!(!frozen.contains("Nothing for the next hour"));
}

#[test]
fn a_machines_state_is_a_word_and_its_reason_stands_beside_it() {
    let scene = scene(Vec::new());
    let slots = Slots::of(View::Machines(machines::Asked::default()).parts(&scene, true));
    let rows = slots.get("rows");
    assert!(rows.contains("<span class=\"pill s-ready\">ready</span>"));
    assert!(rows.contains("<span class=\"pill s-draining\">draining</span>"));
    assert!(rows.contains("by an operator: &#60;img"));
    assert!(rows.contains("aria-label=\"Uncordon vm2\""));
    assert!(rows.contains(
        "<time datetime=\"2026-03-23T19:58:20+09:00\">19:58:20</time> <small>1 h</small>"
    ));
    let only = View::at("/machines", "state=draining&pool=main").unwrap();
    assert_eq!(
        Slots::of(only.parts(&scene, true))
            .get("rows")
            .matches("<tr")
            .count(),
        1
    );
    let of = |state, health| State::of(&machine("x", state, health));
    assert_eq!(of(AdminState::Draining, Health::Down), State::Down);
    assert_eq!(of(AdminState::Cordoned, Health::NoLogins), State::Cordoned);
    assert_eq!(of(AdminState::Ready, Health::Unknown), State::Starting);
}

#[test]
fn a_refused_reload_is_told_with_every_fault() {
    let mut scene = scene(Vec::new());
    let told = |scene: &Scene, id: &str| {
        let slots = Slots::of(View::Overview.parts(scene, true));
        slots.get(id).to_owned()
    };
    let pools = told(&scene, "pools");
    assert!(pools.contains(
        "<strong>A reload was refused</strong> at <time datetime=\"2026-03-23T21:00:00+09:00\">"
    ));
    assert_eq!(pools.matches("<li>line ").count(), 2, "{pools}");
    assert!(told(&scene, "status").contains("The last reload was refused"));
    assert!(
        told(&scene, "status").contains("1 file of the configuration is of no use: see below.")
    );
    assert!(told(&scene, "title").starts_with("! The last reload was refused"));
    scene.gate.config = Some(Arc::new(ConfigState::loaded(&Written::default(), now())));
    assert!(told(&scene, "pools").contains("no configuration file loaded at"));
    assert_eq!(told(&scene, "title"), "Overview · Poolgate");
}

#[test]
fn people_are_moved_only_to_where_people_are_taken() {
    let scene = scene(vec![session(1, "alice")]);
    let id = scene.snapshot.sessions[0].id.to_string();
    let page = |form: &act::Form| act::body(&scene, &viewer(true), form, Vec::new(), None).unwrap();
    // She is on vm1, and vm2 drains.
    let of_session = page(&form(act::Order::Move, "", &id));
    assert!(
        !of_session.contains("<option value=\"main/"),
        "{of_session}"
    );
    let mut form = form(act::Order::Move, "", "");
    (form.user, form.pool) = ("alice".to_owned(), "main".to_owned());
    assert!(page(&form).contains("<option value=\"main/vm1\">vm1: 3 of 8 seats taken</option>"));
    assert_eq!(form.back(&scene), "/explain?user=alice&pool=main");
}

#[test]
fn an_order_that_comes_too_late_says_so() {
    let scene = scene(vec![session(1, "alice")]);
    let form = form(act::Order::Evict, "", "00000000000000ff");
    let told = act::body(&scene, &viewer(true), &form, Vec::new(), None);
    assert_eq!(told.unwrap_err(), "This session has ended already.");
    assert_eq!(form.back(&scene), "/sessions");
}

#[test]
fn the_default_pool_is_looked_at_first() {
    let mut scene = scene(Vec::new());
    let mut snapshot = Snapshot::clone(&scene.snapshot);
    let other = |name: &str| PoolView {
        name: name.into(),
        default: false,
        ..pool()
    };
    snapshot.pools = vec![other("batch"), pool(), other("training")];
    scene.snapshot = Arc::new(snapshot);
    let slots = Slots::of(View::Overview.parts(&scene, false));
    let titles = slots.get("pools").split("<h2><bdi>").skip(1);
    let names: Vec<_> = titles.filter_map(|rest| rest.split('<').next()).collect();
    assert_eq!(names, ["main", "batch", "training"]);
}

#[test]
fn what_concerns_the_gate_as_a_whole_leads_to_no_pool() {
    let mut scene = scene(Vec::new());
    let mut event = scene.events[0].clone();
    (event.pool, event.instance) = (String::new(), None);
    scene.events = Arc::from([event]);
    let view = View::Events(events::Asked::default());
    for (view, id) in [(view, "rows"), (View::Overview, "latest")] {
        let slots = Slots::of(view.parts(&scene, false));
        let told = slots.get(id);
        assert!(told.contains("the gate") && !told.contains("<a "), "{told}");
    }
}
