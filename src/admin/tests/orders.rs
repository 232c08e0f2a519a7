//! What operators order over the socket, and what the story then says.

use std::time::SystemTime;

use serde_json::json;

use super::*;
use crate::admin::{Done, ScaleAnswer};
use crate::pool::{AdminState as State, Decider, Decision, LoginRequest};
use crate::shared_pool::Seat;
use crate::telemetry::events::{Event, EventKind};

impl Scene {
    /// An order over the socket.
    async fn order(&self, path: &str, body: Value) -> (u16, Value) {
        let body = body.to_string();
        let head = format!(
            "POST /api/v1/{path} HTTP/1.1\r\nHost: any\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        let (status, body) = exchange(stream, &format!("{head}{body}")).await;
        (status, serde_json::from_str(&body).unwrap())
    }

    async fn done(&self, path: &str, body: Value) -> Done {
        let (status, told) = self.order(path, body).await;
        assert_eq!(status, 200, "{told}");
        serde_json::from_value(told).unwrap()
    }

    async fn refused(&self, path: &str, body: Value) -> (u16, String) {
        let (status, told) = self.order(path, body).await;
        (status, told["detail"].as_str().unwrap().to_owned())
    }

    fn view(&self) -> crate::pool::InstanceView {
        let snapshot = self.state.pool.snapshot();
        snapshot.instance("main", "vm1").unwrap().clone()
    }

    async fn story(&self, query: &str) -> Vec<Event> {
        let (status, told) = self.get(&format!("/api/v1/events{query}")).await;
        assert_eq!(status, 200, "{told}");
        serde_json::from_value(told).unwrap()
    }

    fn log_in(&self, user: &str) -> Seat {
        let request = LoginRequest {
            user: Some(user.to_owned()),
            pool: None,
            instance: None,
            protocol: Protocol::Ssh,
            peer: [127, 0, 0, 1].into(),
            exclude: Vec::new(),
            proved: true,
            patient: false,
        };
        self.state.pool.place(&request).unwrap()
    }
}

fn me() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current());
    user.unwrap().unwrap().name
}

#[tokio::test]
async fn an_operators_decision_is_carried_out_and_told() {
    let scene = Scene::start().await;
    let why = json!({"instance": "vm1", "reason": " new kernel "});
    let told = scene.done("cordon", why.clone()).await;
    assert_eq!(
        told.text,
        "main/vm1 is cordoned: nobody new is sent there; no session is there"
    );
    let view = scene.view();
    assert_eq!(
        (view.admin_state, view.decided_by),
        (State::Cordoned, Decider::Admin)
    );
    assert_eq!(view.reason.as_deref(), Some("new kernel"));
    let drain = json!({"instance": "main/vm1", "reason": "new kernel", "deadline_s": 7200});
    let told = scene.done("drain", drain).await;
    assert!(
        told.text
            .contains("main/vm1 is draining: no session is there; sessions end at "),
        "{}",
        told.text
    );
    let left = scene
        .view()
        .deadline
        .unwrap()
        .duration_since(SystemTime::now())
        .unwrap();
    assert!((7100..=7200).contains(&left.as_secs()), "{left:?}");
    for expected in [
        "main/vm1 takes people again",
        "main/vm1 takes people already",
    ] {
        let told = scene.done("uncordon", json!({"instance": "vm1"})).await;
        assert_eq!(told.text, expected);
    }
    assert_eq!(scene.view().admin_state, State::Ready);
    let story = scene.story("").await;
    let kinds: Vec<_> = story.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [EventKind::Cordon, EventKind::Drain, EventKind::Undrain]
    );
    assert_eq!(story[0].text, format!("{} cordons it: new kernel", me()));
    assert_eq!(
        (&*story[0].pool, story[0].instance.as_deref()),
        ("main", Some("vm1"))
    );
}

#[tokio::test]
async fn a_drain_keeps_its_deadline_until_another_is_given_or_it_is_undone() {
    let scene = Scene::start().await;
    let plain = |reason: &str| json!({"instance": "vm1", "reason": reason});
    let dated = |after: u64| json!({"instance": "vm1", "reason": "kernel", "deadline_s": after});
    scene.done("drain", dated(7200)).await;
    let first = scene.view().deadline;
    assert!(first.is_some());
    let mut dry = plain("disk");
    dry["is_dry_run"] = true.into();
    for order in [dry, plain("disk")] {
        let told = scene.done("drain", order).await;
        assert!(told.text.contains("; sessions end at "), "{}", told.text);
        assert_eq!(scene.view().deadline, first);
    }
    assert_eq!(scene.view().reason.as_deref(), Some("disk"));
    scene.done("drain", dated(60)).await;
    let sooner = scene.view().deadline;
    assert!(sooner.is_some() && sooner < first);
    // What ends a drain ends its deadline too.
    for undo in ["uncordon", "cordon"] {
        scene.done("drain", dated(60)).await;
        scene.done(undo, plain("no")).await;
        assert_eq!(scene.view().deadline, None);
        let told = scene.done("drain", plain("kernel")).await;
        assert!(
            told.text.ends_with("; no session is ended"),
            "{}",
            told.text
        );
        assert_eq!(scene.view().deadline, None);
    }
    // The policy's is not an operator's.
    let mut by_policy = Decision::by_policy(State::Draining, "fewer are needed");
    by_policy.deadline = first;
    let vm1 = InstanceId {
        pool: "main".into(),
        name: "vm1".into(),
    };
    scene.done("uncordon", plain("")).await;
    assert!(scene.state.pool.decide(&vm1, by_policy));
    scene.done("drain", plain("kernel")).await;
    assert_eq!(scene.view().deadline, None);
}

#[tokio::test]
async fn an_instance_is_kept_by_the_pools_clock() {
    let mut scene = Scene::start().await;
    let told = scene
        .done("keep", json!({"instance": "vm1", "until": "2h"}))
        .await;
    assert!(
        told.text.starts_with("main/vm1 is kept until "),
        "{}",
        told.text
    );
    assert!(told.text.ends_with(" JST"), "{}", told.text);
    let keep = scene.view().keep.unwrap();
    assert_eq!(&*keep.by, me());
    let told = scene
        .done("keep", json!({"instance": "vm1", "until": "off"}))
        .await;
    assert_eq!(told.text, "main/vm1 is not kept any more");
    assert_eq!(scene.view().keep, None);
    for until in ["soon", "33d", ""] {
        let (status, detail) = scene
            .refused("keep", json!({"instance": "vm1", "until": until}))
            .await;
        assert_eq!(status, 400, "{detail}");
        assert!(detail.contains("18:00"), "{detail}");
    }
    assert_eq!(scene.story("").await.len(), 2);
    scene.shutdown.cancel();
    (&mut scene.serving).await.unwrap();
}

#[tokio::test]
async fn a_session_is_ended_and_its_person_told_why() {
    let scene = Scene::start().await;
    let seat = scene.log_in("alice");
    let session = seat.session();
    let mut snapshots = scene.state.pool.subscribe();
    let is_there = snapshots.wait_for(|snapshot| snapshot.session(session).is_some());
    is_there.await.unwrap();
    let ended = seat.ended();
    tokio::spawn(async move {
        ended.cancelled().await;
        drop(seat);
    });
    let order = json!({"session": session, "reason": "the machine is on fire"});
    let told = scene.done("evict", order.clone()).await;
    assert_eq!(
        told.text,
        format!("session {session} of alice on main/vm1 has ended")
    );
    let (status, detail) = scene.refused("evict", order).await;
    assert_eq!(status, 404);
    assert!(detail.contains("`poolgate sessions`"), "{detail}");
    let story = scene.story("").await;
    assert_eq!(story.len(), 1);
    let text = format!(
        "{} ends the ssh session {session} of alice: the machine is on fire",
        me()
    );
    assert_eq!((story[0].kind, &*story[0].text), (EventKind::Evict, &*text));
}

#[tokio::test]
async fn what_is_no_order_is_refused_and_changes_nothing() {
    let scene = Scene::start().await;
    let long = "x".repeat(501);
    for (path, body, status) in [
        ("cordon", json!({"instance": "vm1"}), 422),
        ("cordon", json!({"instance": "vm1", "reason": " "}), 400),
        ("cordon", json!({"instance": "vm1", "reason": long}), 400),
        (
            "cordon",
            json!({"instance": "vm1", "reason": "\u{1b}[2J"}),
            400,
        ),
        (
            "cordon",
            json!({"instance": "vm1", "reason": "x", "why": "y"}),
            422,
        ),
        ("cordon", json!({"instance": "vm9", "reason": "x"}), 404),
        (
            "drain",
            json!({"instance": "vm1", "reason": "x", "deadline_s": 3_000_000}),
            400,
        ),
        ("evict", json!({"session": "vm1", "reason": "x"}), 422),
        ("scale", json!({"pool": "gpu", "machines": 1}), 404),
        ("scale", json!({"pool": "main", "machines": 10_001}), 400),
        (
            "scale",
            json!({"pool": "main", "machines": 1, "hold_s": 1}),
            400,
        ),
        ("scale", json!({"pool": "main", "machines": 1}), 409),
    ] {
        let (found, detail) = scene.refused(path, body.clone()).await;
        assert_eq!(found, status, "{path} {body}: {detail}");
    }
    let (_, detail) = scene
        .refused("cordon", json!({"instance": "vm9", "reason": "x"}))
        .await;
    assert!(detail.contains("there is main/vm1;"), "{detail}");
    assert_eq!(scene.view().admin_state, State::Ready);
    assert!(scene.story("").await.is_empty());
    // Over TCP nobody gives orders.
    let order = "POST /api/v1/cordon";
    assert_eq!(scene.ask(order, "Host: localhost\r\n").await.0, 403);
    let stream = UnixStream::connect(&scene.socket).await.unwrap();
    let request = "GET /api/v1/cordon HTTP/1.1\r\nHost: any\r\nConnection: close\r\n\r\n";
    let (status, body) = exchange(stream, request).await;
    assert!(
        status == 405 && body.contains("use POST"),
        "{status} {body}"
    );
}

#[tokio::test]
async fn a_wish_for_machines_reaches_who_resizes() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = asked.clone();
    let scene = Scene::start_with(move |state| {
        state.ask_scale = Arc::new(move |wish| {
            seen.lock().unwrap().push(wish);
            let answer = ScaleAnswer {
                steps: vec!["grow by 2".to_owned()],
                notes: Vec::new(),
            };
            Box::pin(std::future::ready(Ok(answer)))
        });
    })
    .await;
    let order = json!({"pool": "main", "machines": 3, "is_dry_run": true});
    let (status, told) = scene.order("scale", order).await;
    assert_eq!(
        (status, &told["steps"][0]),
        (200, &"grow by 2".into()),
        "{told}"
    );
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(
        (
            asked[0].machines,
            asked[0].hold.as_secs(),
            asked[0].is_dry_run
        ),
        (3, 3600, true)
    );
    assert_eq!(asked[0].by, me());
    assert_eq!(scene.get("/api/v1/cost").await, (200, json!([])));
}

#[tokio::test]
async fn the_story_is_followed_and_ends_with_the_gate() {
    let scene = Scene::start().await;
    let events = scene.state.events.clone();
    events.tell("main", None, EventKind::Grow, "one".to_owned());
    assert_eq!(scene.story("?after=0&wait_s=30").await.len(), 1);
    // Of a run that is over: answered at once.
    assert!(scene.story("?after=7&wait_s=30").await.is_empty());
    let follow = scene.story("?after=1&wait_s=30&pool=main");
    let tell = async {
        tokio::task::yield_now().await;
        events.tell("gpu", None, EventKind::Grow, "of another pool".to_owned());
        events.tell("main", None, EventKind::Up, "two".to_owned());
    };
    let (found, ()) = tokio::join!(follow, tell);
    assert_eq!(
        (found.len(), &*found[0].text, found[0].number),
        (1, "two", 3)
    );
    let follow = scene.story("?after=3&wait_s=30");
    let end = async {
        // The gate takes no request any more that comes after its end.
        while events.followers() == 0 {
            tokio::task::yield_now().await;
        }
        scene.shutdown.cancel();
    };
    let (found, ()) = tokio::join!(follow, end);
    assert!(found.is_empty());
}

#[tokio::test]
async fn a_person_is_sent_to_an_instance_and_their_next_login_explained() {
    let scene = Scene::start().await;
    let (status, told) = scene.get("/api/v1/explain/user?user=alice").await;
    assert_eq!(
        (status, &told["next"][0]["instance"]),
        (200, &"vm1".into()),
        "{told}"
    );
    assert!(
        told["text"][0].as_str().unwrap().contains("goes to vm1"),
        "{told}"
    );
    for (user, status) in [("alice%2Bgpu", 404), ("..", 400)] {
        let path = format!("/api/v1/explain/user?user={user}");
        assert_eq!(scene.get(&path).await.0, status, "{user}");
    }
    let order =
        |dry: bool| json!({"user": "alice", "to": "vm1", "reason": "disk", "is_dry_run": dry});
    let (status, told) = scene.order("move", order(true)).await;
    assert_eq!((status, &told["is_dry_run"]), (200, &true.into()), "{told}");
    assert!(
        told["text"]
            .as_str()
            .unwrap()
            .contains("would go to main/vm1"),
        "{told}"
    );
    assert!(scene.story("").await.is_empty());
    assert_eq!(scene.order("move", order(false)).await.0, 200);
    let (_, told) = scene.get("/api/v1/explain/user?user=alice").await;
    assert_eq!(told["next"][0]["reason"], "sent", "{told}");
    let story = scene.story("").await;
    let text = format!("{} sends alice there: disk", me());
    assert_eq!((story[0].kind, &*story[0].text), (EventKind::Move, &*text));
    scene
        .done("drain", json!({"instance": "vm1", "reason": "x"}))
        .await;
    let (status, detail) = scene.refused("move", order(false)).await;
    assert!(
        status == 409 && detail.contains("uncordon it first"),
        "{detail}"
    );
    let neither = json!({"to": "vm1", "reason": "x"});
    assert_eq!(scene.refused("move", neither).await.0, 400);
}

#[tokio::test]
async fn health_and_scaling_are_explained_for_one_or_for_all() {
    let scene = Scene::start().await;
    let (status, all) = scene.get("/api/v1/explain/health").await;
    let count = all.as_array().unwrap().len();
    assert!(
        status == 200 && count == scene.state.pool.snapshot().instances.len(),
        "{all}"
    );
    let (_, one) = scene.get("/api/v1/explain/health?instance=main/vm1").await;
    assert_eq!(one.as_array().unwrap().len(), 1);
    assert_eq!(one[0]["services"][0]["service"], "ssh", "{one}");
    assert!(
        one[0]["text"][0]
            .as_str()
            .unwrap()
            .starts_with("main/vm1 is ")
    );
    let (_, pools) = scene.get("/api/v1/explain/scaling?pool=main").await;
    assert_eq!(pools[0]["name"], "main");
    let told = pools[0]["text"][0].as_str().unwrap();
    assert!(told.starts_with("Pool main is not resized"), "{told}");
    for path in ["health?instance=vm9", "scaling?pool=vm9"] {
        let path = format!("/api/v1/explain/{path}");
        assert_eq!(scene.get(&path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let scene = Scene::start().await;
    let seat = scene.log_in("alice");
    let mut snapshots = scene.state.pool.subscribe();
    let is_there = snapshots.wait_for(|snapshot| snapshot.session(seat.session()).is_some());
    is_there.await.unwrap();
    let before = scene.view();
    for (path, body, says) in [
        (
            "cordon",
            json!({"instance": "vm1", "reason": "x"}),
            "1 session goes on: alice",
        ),
        (
            "drain",
            json!({"instance": "vm1", "reason": "x", "deadline_s": 60}),
            "sessions end at",
        ),
        (
            "keep",
            json!({"instance": "vm1", "until": "2h"}),
            "would be kept until",
        ),
        (
            "evict",
            json!({"session": seat.session(), "reason": "x"}),
            "would be ended",
        ),
    ] {
        let mut body = body;
        body["is_dry_run"] = true.into();
        let told = scene.done(path, body).await;
        assert!(
            told.is_dry_run && told.text.contains(says),
            "{path}: {}",
            told.text
        );
    }
    let notice = json!({"text": "hello", "is_dry_run": true});
    assert_eq!(scene.order("notices", notice).await.1["sessions"], 1);
    assert_eq!(scene.view(), before);
    assert!(scene.story("").await.is_empty());
    assert!(!seat.ended().is_cancelled());
}
