//! People without a seat: the page, the line, what watches it, and who is told that their machine is gone.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;

use super::logins::log_in;
use super::support::{Client, Gate, HTML, TestInstance};
use crate::pool::{Health, InstanceView, Prospect, Protocol};

const GO: (&str, &str) = ("sec-fetch-mode", "navigate");

async fn small(name: &str, capacity: u32) -> TestInstance {
    let mut one = TestInstance::start(name).await;
    one.instance.capacity = capacity;
    one
}

/// The next event of the stream that a page watches: its name and its data.
async fn event(stream: &mut Incoming) -> (bool, serde_json::Value) {
    let frame = stream.frame().await.unwrap().unwrap();
    let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
    let data = text.lines().find_map(|line| line.strip_prefix("data: "));
    let data = serde_json::from_str(data.unwrap()).unwrap();
    (text.starts_with("event: ready\n"), data)
}

async fn watch(client: &mut Client) -> http::Response<Incoming> {
    let accept = [("accept", "text/event-stream")];
    let none = Empty::new().boxed();
    client.open("GET", "/.poolgate/wait", &accept, none).await
}

#[tokio::test]
async fn only_people_who_look_get_the_page_and_a_ticket() {
    let one = small("vm1", 8).await;
    let gate = Gate::start(&[&one]).await;
    gate.mark_down(&one).await;
    for (at, mut client) in gate.both().await.into_iter().enumerate() {
        for quiet in [
            [("sec-fetch-mode", "cors"), HTML],
            [("accept", "text/event-stream"), ("x-a", "1")],
            [("accept", "*/*"), ("x-a", "1")],
        ] {
            let reply = client.get("/hub/home", &quiet).await;
            assert_eq!(reply.status, 503);
            assert!(reply.headers.contains_key("retry-after"));
            assert!(reply.body.len() < 100, "cheap: {}", reply.text());
            assert!(reply.set_cookies().is_empty());
        }
        assert_eq!(gate.pool.lines().len("main"), at);
        let japanese = ("accept-language", "ja, en;q=0.5");
        let page = client.get("/hub/home?a=1", &[HTML, GO, japanese]).await;
        assert_eq!(page.status, 503);
        assert_eq!(page.headers["cache-control"], "no-store");
        assert!(page.headers.contains_key("retry-after"));
        assert!(page.text().contains("<html lang=\"ja\">"));
        assert!(
            page.text()
                .contains("data-next=\"/hub/home?a=1\" data-way=\"reload\"")
        );
        assert!(page.text().contains("content=\"5; url=/hub/home?a=1\""));
        let ticket = page.set_cookies()[0].to_owned();
        assert!(ticket.starts_with("__Host-poolgate-wait="), "{ticket}");
        let again = client.get("/hub/home", &[HTML, GO]).await;
        assert!(again.set_cookies().is_empty(), "the ticket is kept");
        assert_eq!(gate.pool.lines().len("main"), at + 1);
    }
    assert_eq!(one.seen().len(), 0);
}

#[tokio::test]
async fn a_form_is_not_sent_again_and_its_page_leads_back_to_it() {
    let one = small("vm1", 8).await;
    let gate = Gate::start(&[&one]).await;
    gate.mark_down(&one).await;
    let mut client = gate.h2().await;
    let form = Bytes::from("username=alice&password=secret");
    let login = "/hub/login?next=%2Fhub%2F";
    let page = client.send("POST", login, &[HTML, GO], form).await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("data-way=\"replace\""));
    assert!(
        page.text()
            .contains("data-next=\"/hub/login?next=%2Fhub%2F\"")
    );
    assert!(page.text().contains("login form comes back"));
    assert!(!page.text().contains("secret"));
    for _ in 0..2 {
        gate.pool
            .observe(&one.instance.id, Protocol::Jupyter, Health::Up);
    }
    gate.published(|_| true).await;
    client.get(login, &[HTML, GO]).await;
    assert_eq!(one.last().method, "GET");
    assert_eq!(one.seen().len(), 1, "the form was sent to nobody");
}

#[tokio::test]
async fn the_first_in_line_is_called_and_nobody_passes() {
    let one = small("vm1", 1).await;
    let gate = Gate::start(&[&one]).await;
    let mut seated = gate.h2().await;
    log_in(&mut seated).await;
    gate.published(|snapshot| snapshot.sessions.len() == 1)
        .await;
    let [mut first, mut second] = gate.both().await;
    let page = first.get("/hub/login", &[HTML, GO]).await;
    assert!(
        page.text().contains("You are next in line."),
        "{}",
        page.text()
    );
    let page = second.get("/hub/login", &[HTML, GO]).await;
    assert!(page.text().contains("You are number 2 in line."));

    let stream = watch(&mut second).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut stream = stream.into_body();
    let (is_ready, told) = event(&mut stream).await;
    assert!(!is_ready && told["say"] == "You are number 2 in line.");
    let session = gate.sessions().await[0].id;
    gate.pool.evict(session);
    gate.front.presence.sweep(std::time::Instant::now());
    gate.published(|snapshot| snapshot.sessions.is_empty())
        .await;

    // A newcomer, and the second, find the seat free and may not have it.
    let mut newcomer = gate.h1().await;
    let script = newcomer.get("/hub/login", &[]).await;
    assert_eq!(script.status, 503, "scripts pass nobody either");
    let page = newcomer.get("/hub/login", &[HTML, GO]).await;
    assert!(page.text().contains("You are number 3 in line."));
    let mut called = watch(&mut first).await.into_body();
    assert!(event(&mut called).await.0, "the first is called");
    assert!(called.frame().await.is_none(), "and watches no longer");
    assert_eq!(first.get("/hub/login", &[HTML, GO]).await.text(), "vm1");
    let (is_ready, told) = event(&mut stream).await;
    assert!(
        !is_ready && told["say"] == "You are next in line.",
        "{told}"
    );
    assert_eq!(gate.pool.lines().len("main"), 2);
}

#[tokio::test]
async fn the_stream_tells_how_far_the_machine_is() {
    let one = small("vm1", 8).await;
    let gate = Gate::start(&[&one]).await;
    gate.mark_down(&one).await;
    let mut client = gate.h2().await;
    assert_eq!(
        watch(&mut client).await.status(),
        404,
        "no ticket, no stream"
    );
    client.get("/hub/login", &[HTML, GO]).await;
    let mut stream = watch(&mut client).await.into_body();
    assert_eq!(event(&mut stream).await.1["step"], 0);
    let observe = |protocol, health| {
        for _ in 0..3 {
            gate.pool.observe(&one.instance.id, protocol, health);
        }
    };
    observe(Protocol::Ssh, Health::Up);
    assert_eq!(event(&mut stream).await.1["step"], 1);
    observe(Protocol::Jupyter, Health::Up);
    let (is_ready, told) = event(&mut stream).await;
    assert!(is_ready && told["step"] == 2);
    assert_eq!(client.get("/hub/login", &[HTML, GO]).await.text(), "vm1");
    assert!(gate.front.waiting.is_empty());
}

#[tokio::test]
async fn a_pool_that_is_woken_tells_how_far_it_is() {
    let one = small("vm1", 8).await;
    let gate = Gate::start(&[&one]).await;
    let foretell = async |coming, trouble: Option<&str>| {
        let prospect = Prospect {
            coming,
            ready_at: (coming > 0).then(|| SystemTime::now() + Duration::from_secs(48)),
            trouble: trouble.map(Into::into),
        };
        gate.pool.foretell("main", Some(prospect.clone()));
        gate.published(|snapshot| snapshot.pools[0].prospect == Some(prospect.clone()))
            .await;
    };
    gate.pool.sync_instances("main", Vec::new());
    foretell(0, None).await;
    let mut client = gate.h2().await;
    let quiet = client.get("/hub/home", &[("sec-fetch-mode", "cors")]).await;
    assert_eq!(quiet.status, 503);
    assert!(gate.front.waiting.is_empty(), "an open page wakes nothing");
    let page = client.get("/hub/login", &[HTML, GO]).await;
    assert!(
        page.text().contains("The pool is asleep."),
        "{}",
        page.text()
    );
    assert_eq!(gate.pool.lines().len("main"), 1);
    let mut stream = watch(&mut client).await.into_body();
    assert_eq!(event(&mut stream).await.1["step"], 0);
    foretell(1, None).await;
    let told = event(&mut stream).await.1;
    assert_eq!(told["say"], "A machine is starting for you.");
    assert_eq!(told["more"], "About 50 seconds left.");
    foretell(0, Some("boots have <failed> 3 times")).await;
    let told = event(&mut stream).await.1;
    assert_eq!(told["more"], "boots have <failed> 3 times");
    let page = client.get("/hub/login", &[HTML, GO]).await;
    assert!(page.text().contains("boots have &lt;failed&gt; 3 times"));
    foretell(1, None).await;
    gate.pool.sync_instances("main", vec![one.instance.clone()]);
    while event(&mut stream).await.1["say"] != "The machine runs. Its services are starting." {}
    for protocol in [Protocol::Ssh, Protocol::Jupyter] {
        gate.pool.observe(&one.instance.id, protocol, Health::Up);
    }
    while !event(&mut stream).await.0 {}
    assert_eq!(client.get("/hub/login", &[HTML, GO]).await.text(), "vm1");
}

#[tokio::test]
async fn somebody_is_held_for_a_moment_where_a_seat_is_likely() {
    let one = small("vm1", 8).await;
    let gate = Gate::start(&[&one]).await;
    let no_logins = |view: &InstanceView| view.services.jupyter == Some(Health::NoLogins);
    for _ in 0..3 {
        gate.pool
            .observe(&one.instance.id, Protocol::Jupyter, Health::NoLogins);
    }
    gate.published(|snapshot| snapshot.instances.iter().all(no_logins))
        .await;
    let (mut client, pool, id) = (gate.h2().await, gate.pool.clone(), one.instance.id.clone());
    let asking = tokio::spawn(async move {
        client
            .get("/hub/login", &[HTML, GO])
            .await
            .text()
            .to_owned()
    });
    // On this runtime's one thread: it is asking by then.
    tokio::task::yield_now().await;
    for _ in 0..2 {
        pool.observe(&id, Protocol::Jupyter, Health::Up);
    }
    assert_eq!(asking.await.unwrap(), "vm1", "without a page in between");
}

#[tokio::test]
async fn who_had_work_on_a_machine_that_is_gone_is_told_once() {
    let (one, other) = (small("vm1", 8).await, small("vm2", 8).await);
    for is_removed in [true, false] {
        let gate = Gate::start(&[&one, &other]).await;
        let mut client = gate.h2().await;
        let home = log_in(&mut client).await;
        let (gone, left) = match home.as_str() {
            "vm1" => (&one, &other),
            _ => (&other, &one),
        };
        if is_removed {
            gate.pool
                .sync_instances("main", vec![left.instance.clone()]);
            gate.published(|snapshot| snapshot.instances.len() == 1)
                .await;
        } else {
            gate.mark_down(gone).await;
        }
        let quiet = client
            .get("/user/alice/api/kernels", &[("sec-fetch-mode", "cors")])
            .await;
        assert_eq!(quiet.status, 503, "open pages see nothing of it");
        let page = client.get("/user/alice/lab?x=1", &[HTML, GO]).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("Your machine was lost"));
        assert!(page.text().contains("href=\"/user/alice/lab?x=1\""));
        let goes_on = page.text().contains("http-equiv=\"refresh\"");
        assert!(!goes_on, "it stays until it was read");
        assert!(page.pin_line().is_some());
        let next = client.get("/user/alice/lab?x=1", &[HTML, GO]).await;
        assert_eq!(next.text(), &*left.instance.id.name, "once");
    }
}

#[tokio::test]
async fn a_host_name_chooses_the_pool_and_a_pin_holds_in_its_own_pool_only() {
    let (one, mut other) = (small("vm1", 8).await, small("g1", 8).await);
    other.instance.id.pool = "gpu".into();
    let named = |config: &mut crate::config::HttpsConfig| {
        let hosts = [("gpu.localhost".to_owned(), "gpu".to_owned())];
        config.hosts.pools = hosts.into();
    };
    let gate = Gate::with(&[&one], named).await;
    gate.add_pool("gpu", &[&other]);
    for mut client in gate.both().await {
        assert_eq!(client.get("/hub/login", &[HTML, GO]).await.text(), "vm1");
        let pin = client.pin().unwrap().to_owned();
        client.host = Some("gpu.localhost".to_owned());
        let there = client.get("/hub/login", &[HTML, GO]).await;
        assert_eq!(there.text(), "g1", "the other pool's pin is void");
        assert_ne!(client.pin().unwrap(), pin);
        assert_eq!(client.get("/hub/login", &[HTML, GO]).await.text(), "g1");
        client.host = Some("GPU.localhost.".to_owned());
        assert_eq!(client.get("/hub/home", &[HTML, GO]).await.text(), "g1");
        client.host = Some("unknown.localhost".to_owned());
        assert_eq!(client.get("/hub/home", &[HTML, GO]).await.text(), "vm1");
    }
}

#[tokio::test]
async fn a_form_of_a_machine_that_is_gone_leads_to_the_form_of_another() {
    let (one, other) = (small("vm1", 8).await, small("vm2", 8).await);
    let gate = Gate::start(&[&one, &other]).await;
    let mut client = gate.h2().await;
    let home = client
        .get("/hub/login", &[HTML, GO])
        .await
        .text()
        .to_owned();
    let left = if home == "vm1" { &other } else { &one };
    gate.pool
        .sync_instances("main", vec![left.instance.clone()]);
    let form = Bytes::from("username=alice");
    let login = "/hub/login?next=%2Fhub%2F";
    let moved = client.send("POST", login, &[HTML, GO], form).await;
    assert_eq!(
        (moved.status.as_u16(), &moved.headers["location"]),
        (303, &login.parse().unwrap())
    );
    assert!(left.seen().is_empty(), "no hub gets another one's form");
    assert_eq!(
        client.get(login, &[HTML, GO]).await.text(),
        &*left.instance.id.name
    );
}

#[tokio::test]
async fn a_person_who_waits_by_ssh_and_with_a_browser_has_one_ticket() {
    let one = TestInstance::start("vm1").await;
    let gate = Gate::start(&[&one]).await;
    let mut alice = gate.h2().await;
    log_in(&mut alice).await;
    // Her machine is gone, and the only other one is full.
    let mut other = one.instance.clone();
    other.id.name = "vm2".into();
    other.capacity = 1;
    gate.pool.sync_instances("main", vec![other.clone()]);
    for _ in 0..2 {
        gate.pool.observe(&other.id, Protocol::Jupyter, Health::Up);
        gate.pool.observe(&other.id, Protocol::Ssh, Health::Up);
    }
    let bob = crate::pool::LoginRequest {
        user: Some("bob".to_owned()),
        proved: true,
        pool: None,
        instance: None,
        protocol: Protocol::Ssh,
        peer: [127, 0, 0, 1].into(),
        exclude: Vec::new(),
        patient: false,
    };
    let seat = gate.pool.place(&bob).unwrap();
    gate.published(|snapshot| snapshot.sessions.iter().any(|one| *one.instance == *"vm2"))
        .await;
    assert_eq!(alice.get("/hub/home", &[HTML, GO]).await.status, 503);
    let lines = gate.pool.lines();
    let waiter = crate::pool::Waiter::Person("alice".into());
    let by = (Protocol::Ssh, [127, 0, 0, 1].into());
    let stand = lines.join(&"main".into(), &waiter, by, &gate.pool.snapshot());
    assert_eq!(stand.unwrap().ahead, Some(0));
    let views = lines.views();
    assert_eq!(views.len(), 1, "{views:?}");
    assert_eq!(views[0].by, [Protocol::Ssh, Protocol::Jupyter]);
    drop(seat);
}

#[tokio::test]
async fn a_gate_that_takes_nothing_new_lets_pages_watch_elsewhere() {
    let one = small("vm1", 8).await;
    let gate = Gate::start(&[&one]).await;
    gate.mark_down(&one).await;
    let mut streams = Vec::new();
    for mut client in gate.both().await {
        client.get("/hub/home", &[HTML, GO]).await;
        let mut stream = watch(&mut client).await.into_body();
        event(&mut stream).await;
        streams.push((client, stream));
    }
    gate.close();
    for (_client, stream) in streams {
        let rest = stream.collect().await.unwrap().to_bytes();
        assert_eq!(rest, Bytes::new());
    }
}
