//! The dashboard as a browser asks it, over the socket, where orders are taken.

use super::*;
use crate::pool::{AdminState as State, LoginRequest};
use crate::shared_pool::Seat;
use crate::state::Folder;

impl Scene {
    /// Status, head and body.
    async fn browse(&self, request: &str, body: &str) -> (u16, String, String) {
        let head = format!(
            "{request} HTTP/1.1\r\nHost: any\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let asked = format!("{head}{body}");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    async fn page(&self, path: &str) -> String {
        let (status, _, body) = self.browse(&format!("GET {path}"), "").await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The page that an order leads to.
    async fn act(&self, form: &str) -> String {
        let (status, head, body) = self.browse("POST /act", form).await;
        assert_eq!(status, 303, "{body}");
        let to = head
            .lines()
            .find_map(|line| line.strip_prefix("location: "));
        self.page(to.unwrap()).await
    }

    fn seat(&self, user: &str) -> Seat {
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

    /// The minutes of the pool, once there are so many.
    async fn history_of(&self, count: usize) -> Vec<Value> {
        let looking = async {
            loop {
                let history = self.page("/api/v1/history?pool=main").await;
                let history: Value = serde_json::from_str(&history).unwrap();
                let minutes = history[0]["minutes"].as_array().cloned();
                match minutes.filter(|minutes| minutes.len() >= count) {
                    Some(minutes) => return minutes,
                    None => tokio::task::yield_now().await,
                }
            }
        };
        let looked = tokio::time::timeout(Duration::from_secs(20), looking);
        looked.await.expect("a history")
    }

    async fn until(&self, is_so: impl FnMut(&Arc<crate::pool::Snapshot>) -> bool) {
        let mut snapshots = self.state.pool.subscribe();
        let shown = snapshots.wait_for(is_so);
        let waited = tokio::time::timeout(Duration::from_secs(20), shown).await;
        waited.expect("it is shown").unwrap();
    }
}

#[tokio::test]
async fn an_order_is_asked_for_given_and_answered_where_one_came_from() {
    let scene = Scene::start().await;
    let asked = scene.page("/act?order=drain&instance=main%2Fvm1").await;
    assert!(
        asked.contains("Drain vm1") && asked.contains("Nobody is on it."),
        "{asked}"
    );
    let form = "order=drain&instance=main%2Fvm1&reason=new+%3Cdisk%3E&deadline_s=3600";
    let led = scene.act(form).await;
    assert!(
        led.contains("role=\"status\"><strong>Done.</strong> main/vm1 is draining"),
        "{led}"
    );
    let view = scene.state.pool.snapshot().instances[0].clone();
    assert_eq!(view.admin_state, State::Draining);
    assert_eq!(view.reason.as_deref(), Some("new <disk>"));
    assert!(view.deadline.is_some());
    assert!(led.contains("by an operator: new &#60;disk&#62;"), "{led}");
    let events = scene.page("/events").await;
    assert!(events.contains("drains it: new &#60;disk&#62;"), "{events}");
    let led = scene.act("order=uncordon&instance=main%2Fvm1").await;
    assert!(led.contains("main/vm1 takes people again"), "{led}");
    let led = scene.act("order=keep&instance=main%2Fvm1&until=2h").await;
    assert!(led.contains("is kept until"), "{led}");
}

#[tokio::test]
async fn people_are_told_and_made_to_leave_by_form() {
    let scene = Scene::start().await;
    let seat = scene.seat("alice");
    let (mailbox, ended) = (seat.mailbox(), seat.ended());
    scene.until(|snapshot| !snapshot.sessions.is_empty()).await;
    let id = seat.session();
    let sessions = scene.page("/sessions?q=alice").await;
    assert!(
        sessions.contains(&format!("/act?order=evict&#38;session={id}"))
            || sessions.contains(&format!("session={id}")),
        "{sessions}"
    );
    let led = scene
        .act(&format!("order=notice&session={id}&text=lunch"))
        .await;
    assert!(led.contains("The notice was given to 1 session."), "{led}");
    drop(mailbox);
    let going = tokio::spawn(async move {
        ended.cancelled().await;
        drop(seat);
    });
    let led = scene
        .act(&format!("order=evict&session={id}&reason=too+busy"))
        .await;
    assert!(
        led.contains(&format!("session {id} of alice on main/vm1 has ended")),
        "{led}"
    );
    going.await.unwrap();
    let (status, _, late) = scene
        .browse(&format!("GET /act?order=evict&session={id}"), "")
        .await;
    assert_eq!(status, 404);
    assert!(late.contains("This session has ended already."), "{late}");
}

#[tokio::test]
async fn a_person_is_moved_by_form_and_then_it_stands_why() {
    let scene = Scene::start().await;
    let form = "order=move&user=alice&pool=main&to=main%2Fvm1&reason=a+%3Cdisk%3E";
    let (status, _, body) = scene.browse("POST /act", &format!("{form}&dry=1")).await;
    assert_eq!(status, 200, "{body}");
    let would = "the next login of alice, and the next page they go to, would go to main/vm1";
    assert!(body.contains(would), "{body}");
    let led = scene.act(form).await;
    assert!(led.contains("they go to, goes to main/vm1"), "{led}");
    assert!(led.contains("An operator sends alice to vm1"), "{led}");
    assert!(led.contains("chosen</span>"), "{led}");
    let none = scene.page("/explain?user=bob&pool=none").await;
    assert!(none.contains("role=\"alert\""), "{none}");
    let (status, _, body) = scene
        .browse(
            "POST /act",
            "order=move&user=alice&pool=main&to=main%2Fvm9&reason=x",
        )
        .await;
    assert_eq!(status, 404);
    assert!(body.contains("Not done."), "{body}");
}

#[tokio::test]
async fn what_is_missing_is_said_beside_the_form() {
    let scene = Scene::start().await;
    let form = "order=cordon&instance=main%2Fvm1&reason=+";
    let (status, _, body) = scene.browse("POST /act", form).await;
    assert_eq!(status, 400);
    assert!(
        body.contains("role=\"alert\"") && body.contains("reason is empty"),
        "{body}"
    );
    assert!(body.contains("<form method=\"post\" action=\"/act\""));
    let form = "order=scale&pool=main&machines=2&hold_s=3600&dry=1";
    let (status, _, body) = scene.browse("POST /act", form).await;
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("pool main is not resized"), "{body}");
    for form in [
        "order=explode",
        "instance=main%2Fvm1",
        "order=drain&deadline_s=soon&instance=main%2Fvm1&reason=x",
    ] {
        let (status, _, body) = scene.browse("POST /act", form).await;
        assert!((400..500).contains(&status), "{form}: {status} {body}");
    }
    assert_eq!(
        scene.state.pool.snapshot().instances[0].admin_state,
        State::Ready
    );
}

#[tokio::test]
async fn every_page_is_there_and_its_files_are_kept_by_browsers() {
    let scene = Scene::start().await;
    for path in [
        "/",
        "/machines",
        "/machines/main/vm1",
        "/sessions",
        "/queue",
        "/events",
        "/charts",
        "/explain?instance=vm1",
    ] {
        let page = scene.page(path).await;
        assert!(page.contains("<main id=\"main\""), "{path}");
        assert!(
            page.contains("<noscript><meta http-equiv=\"refresh\"") || path.starts_with("/explain"),
            "{path}"
        );
    }
    let (_, head, page) = scene.browse("GET /", "").await;
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    assert!(head.contains("cache-control: no-store"), "{head}");
    let style = page
        .split("href=\"")
        .find(|part| part.starts_with("/dash/style-"))
        .unwrap();
    let style = style.split('"').next().unwrap();
    let (status, head, _) = scene.browse(&format!("GET {style}"), "").await;
    assert_eq!(status, 200);
    assert!(
        head.contains("immutable") && head.contains("text/css"),
        "{head}"
    );
    assert_eq!(scene.browse("GET /dash/style-0.css", "").await.0, 404);
    assert_eq!(scene.browse("GET /machines/main/none", "").await.0, 404);
    let csv = scene.page("/machines.csv").await;
    assert!(csv.contains("main,vm1,10.0.0.4,ready"), "{csv}");
    let history = scene.page("/api/v1/history").await;
    let history: Value = serde_json::from_str(&history).unwrap();
    assert!(history.is_array());
}

#[tokio::test]
async fn a_watched_page_is_told_what_changes_and_only_that() {
    let scene = Scene::start().await;
    let mut stream = UnixStream::connect(&scene.socket).await.unwrap();
    let asked = "GET /dash/live?page=%2Fmachines HTTP/1.1\r\nHost: any\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut told = String::new();
    read_until(&mut stream, &mut told, "\"order\"").await;
    assert!(
        told.contains("text/event-stream") && told.contains("m-main/vm1"),
        "{told}"
    );
    told.clear();
    scene
        .act("order=cordon&instance=main%2Fvm1&reason=why")
        .await;
    read_until(&mut stream, &mut told, "by an operator: why").await;
    assert!(
        !told.contains("\"order\"") && !told.contains("\"blocks\""),
        "{told}"
    );
    let (status, _, body) = scene.browse("GET /dash/live?page=%2Fact", "").await;
    assert_eq!(status, 400, "{body}");
    // An open stream keeps no gate from ending.
    scene.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), scene.serving);
    ended.await.expect("it ends").unwrap();
}

async fn read_until(stream: &mut UnixStream, told: &mut String, what: &str) {
    let reading = async {
        while !told.contains(what) {
            let mut part = [0; 4096];
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "it ended: {told}");
            told.push_str(&String::from_utf8_lossy(&part[..count]));
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
    assert!(read.is_ok(), "no {what} in {told}");
}

#[tokio::test]
async fn no_more_browsers_are_kept_up_to_date_than_may_be() {
    let scene = Scene::start().await;
    let mut streams = Vec::new();
    for _ in 0..32 {
        let mut stream = UnixStream::connect(&scene.socket).await.unwrap();
        let asked = "GET /dash/live?page=%2F HTTP/1.1\r\nHost: any\r\n\r\n";
        stream.write_all(asked.as_bytes()).await.unwrap();
        let mut told = String::new();
        read_until(&mut stream, &mut told, "data:").await;
        streams.push(stream);
    }
    let (status, _, body) = scene.browse("GET /dash/live?page=%2F", "").await;
    assert_eq!(status, 503, "{body}");
    assert_eq!(scene.page("/").await.matches("<h1>").count(), 1);
}

#[tokio::test]
async fn a_viewer_is_offered_no_orders_and_gives_none() {
    let scene = Scene::start().await;
    let (status, body) = scene.ask("GET /machines", "Host: localhost\r\n").await;
    assert_eq!(status, 200);
    assert!(!body.contains("/act?"), "{body}");
    let form = "order=cordon&instance=vm1&reason=x";
    let head = format!(
        "Host: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        scene.token,
        form.len()
    );
    let stream = TcpStream::connect(scene.address).await.unwrap();
    let asked = format!("POST /act HTTP/1.1\r\n{head}Connection: close\r\n\r\n{form}");
    let (status, _) = exchange(stream, &asked).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn charts_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.json");
    let keep = |state: &mut AdminState| state.folder = Some(Folder::new(folder.path()));
    let first = Scene::start_with(keep).await;
    first.history_of(1).await;
    first.shutdown.cancel();
    first.serving.await.unwrap();
    assert!(file.exists());
    // Of yesterday, and of a minute ago.
    let text = std::fs::read_to_string(&file).unwrap();
    let mut kept: Value = serde_json::from_str(&text).unwrap();
    let minutes = kept["pools"]["main"].as_array_mut().unwrap();
    let minute = minutes[0]["minute"].as_u64().unwrap();
    for ago in [1, 2000] {
        let mut older = minutes[0].clone();
        older["minute"] = (minute - ago).into();
        minutes.insert(0, older);
    }
    std::fs::write(&file, kept.to_string()).unwrap();
    let second = Scene::start_with(keep).await;
    let minutes = second.history_of(2).await;
    assert!(minutes.len() <= 3, "{minutes:?}");
}
