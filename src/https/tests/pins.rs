//! A browser belongs to the instance of its first answer, by a cookie nobody else can make.

use bytes::Bytes;

use super::support::{Client, Gate, HTML, TestInstance};
use crate::pool::Health;

async fn two() -> (TestInstance, TestInstance, Gate) {
    let (one, other) = (
        TestInstance::start("vm1").await,
        TestInstance::start("vm2").await,
    );
    let gate = Gate::start(&[&one, &other]).await;
    (one, other, gate)
}

/// The instance that answered, and the one that did not.
fn told_apart<'a>(
    name: &str,
    one: &'a TestInstance,
    other: &'a TestInstance,
) -> (&'a TestInstance, &'a TestInstance) {
    if name == "vm1" {
        (one, other)
    } else {
        (other, one)
    }
}

#[tokio::test]
async fn the_very_first_answer_pins_and_the_instance_never_sees_it() {
    let (one, other, gate) = two().await;
    for mut client in gate.both().await {
        let first = client.get("/hub/login", &[HTML]).await;
        let line = first.pin_line().expect("no pin").to_owned();
        for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(
            !line.contains("Domain") && !line.contains("Max-Age"),
            "{line}"
        );
        let home = first.text().to_owned();
        client.set_cookie("_xsrf", "x");
        for _ in 0..6 {
            let next = client.get("/hub/home", &[HTML]).await;
            assert_eq!(next.text(), home);
            assert!(next.pin_line().is_none(), "set once");
        }
        let (here, _) = told_apart(&home, &one, &other);
        assert_eq!(here.last().headers["cookie"], "_xsrf=x");
    }
}

#[tokio::test]
async fn newcomers_spread_and_everyone_stays() {
    let (one, other, gate) = two().await;
    let mut homes = Vec::new();
    for _ in 0..10 {
        homes.push(
            gate.h1()
                .await
                .get("/hub/login", &[])
                .await
                .text()
                .to_owned(),
        );
    }
    assert_eq!(
        homes.iter().filter(|home| *home == "vm1").count(),
        5,
        "{homes:?}"
    );
    assert_eq!((one.seen().len(), other.seen().len()), (5, 5));
}

#[tokio::test]
async fn forged_pins_have_no_effect() {
    let (_one, _other, gate) = two().await;
    let mut honest = gate.h1().await;
    honest.get("/", &[HTML]).await;
    let sealed = honest.pin().unwrap().to_owned();
    let mut flipped = sealed.clone().into_bytes();
    flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
    let long = "A".repeat(5000);
    for forged in [
        std::str::from_utf8(&flipped).unwrap(),
        "vm1",
        "",
        &sealed[1..],
        &long,
    ] {
        let mut client = gate.h2().await;
        client.set_cookie("__Host-poolgate", forged);
        let reply = client.get("/", &[HTML]).await;
        assert_eq!(reply.status, 200);
        assert!(
            reply.pin_line().is_some(),
            "a forged pin was taken for a good one"
        );
    }
}

#[tokio::test]
async fn instances_cannot_set_pins() {
    let (_one, _other, gate) = two().await;
    for mut client in gate.both().await {
        let forge = [
            HTML,
            ("x-set-cookie", "__Host-poolgate=forged; Path=/; Secure"),
            ("x-set-cookie", "=__Host-poolgate=forged"),
            ("x-set-cookie", "fine=1"),
        ];
        client.get("/", &forge).await;
        let reply = client.get("/", &forge).await;
        assert_eq!(reply.set_cookies(), ["fine=1"]);
    }
}

#[tokio::test]
async fn cookie_crumbs_are_joined() {
    let (one, other, gate) = two().await;
    for mut client in gate.both().await {
        for (name, value) in [
            ("a", "1"),
            ("b", "\"2 3\""),
            ("jupyterhub-session-id", "x=y"),
        ] {
            client.set_cookie(name, value);
        }
        let home = client.get("/", &[HTML]).await.text().to_owned();
        client.get("/", &[HTML]).await;
        let (here, _) = told_apart(&home, &one, &other);
        let lines: Vec<_> = here
            .last()
            .headers
            .get_all("cookie")
            .iter()
            .cloned()
            .collect();
        assert_eq!(lines, ["a=1; b=\"2 3\"; jupyterhub-session-id=x=y"]);
    }
}

/// A browser that has logged in to the hub, on the instance of that name.
async fn logged_in(gate: &Gate) -> (Client, String) {
    let mut client = gate.h2().await;
    let home = client.get("/hub/login", &[HTML]).await.text().to_owned();
    client.set_cookie("jupyterhub-hub-login", "secret");
    (client, home)
}

#[tokio::test]
async fn a_dead_instance_gets_nothing_new_and_reads_are_moved_by_303() {
    let (one, other, gate) = two().await;
    let (mut client, home) = logged_in(&gate).await;
    let (dead, alive) = told_apart(&home, &one, &other);
    dead.kill().await;

    let early = client.get("/user/alice/lab?a=b", &[HTML]).await;
    assert_eq!(
        early.status, 503,
        "one failed connect moves nobody who has logged in"
    );
    assert!(early.headers.contains_key("retry-after"));
    assert_eq!(early.headers["cache-control"], "no-store");
    assert_eq!(early.headers["content-type"], "text/html; charset=utf-8");

    gate.mark_down(dead).await;
    let seen = alive.seen().len();
    for (method, headers) in [("POST", HTML), ("GET", ("sec-fetch-mode", "cors"))] {
        let body = if method == "POST" {
            Bytes::from("x=1")
        } else {
            Bytes::new()
        };
        let reply = client.send(method, "/hub/login", &[headers], body).await;
        assert_eq!(reply.status, 503, "{method}");
        assert!(reply.pin_line().is_none());
    }
    assert_eq!(alive.seen().len(), seen, "nothing but a read may be moved");

    let moved = client.get("/user/alice/lab?a=b", &[HTML]).await;
    assert_eq!(moved.status, 303);
    assert_eq!(moved.headers["location"], "/user/alice/lab?a=b");
    assert!(moved.pin_line().is_some());
    let there = client.get("/user/alice/lab?a=b", &[HTML]).await;
    assert_eq!(there.text(), &*alive.instance.id.name);
}

#[tokio::test]
async fn newcomers_never_notice_a_dead_instance() {
    let (one, other, gate) = two().await;
    one.kill().await;
    for mut client in [
        gate.h1().await,
        gate.h2().await,
        gate.h1().await,
        gate.h2().await,
    ] {
        let reply = client.get("/hub/login", &[HTML]).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text()),
            (200, &*other.instance.id.name)
        );
        assert_eq!(client.get("/hub/login", &[HTML]).await.text(), "vm2");
    }
    let posted = gate
        .h1()
        .await
        .send("POST", "/echo", &[], Bytes::from("kept whole"))
        .await;
    assert!(
        gate.sessions()
            .await
            .iter()
            .all(|session| *session.instance == *"vm2"),
        "a seat was left on the dead instance"
    );
    assert_eq!(
        posted.text(),
        "kept whole",
        "what was never written may go elsewhere"
    );
}

#[tokio::test]
async fn with_nobody_up_people_get_a_page_and_code_gets_json() {
    let (one, other, gate) = two().await;
    gate.mark_down(&one).await;
    gate.mark_down(&other).await;
    for mut client in gate.both().await {
        let page = client.get("/", &[HTML]).await;
        assert_eq!(page.status, 503);
        assert!(page.text().contains(">Your machine is being prepared</h1>"));
        assert!(page.headers.contains_key("retry-after"));
        let code = client
            .get("/user/a/api/kernels", &[("accept", "application/json")])
            .await;
        assert_eq!(code.status, 503);
        let body: serde_json::Value = serde_json::from_slice(&code.body).unwrap();
        assert_eq!(body["status"], 503);
    }
    assert_eq!(gate.audit_lines()[0]["event"], "refused");
}

#[tokio::test]
async fn a_hung_hub_keeps_its_people() {
    let (one, other, gate) = two().await;
    let (mut client, home) = logged_in(&gate).await;
    let (hung, _) = told_apart(&home, &one, &other);
    for _ in 0..3 {
        gate.pool.observe(
            &hung.instance.id,
            crate::pool::Protocol::Jupyter,
            Health::NoLogins,
        );
    }
    gate.published(|_| true).await;
    assert_eq!(client.get("/user/alice/lab", &[HTML]).await.text(), home);
}

#[tokio::test]
async fn a_reimaged_instance_voids_its_pins() {
    let (one, other, gate) = two().await;
    let (mut client, home) = logged_in(&gate).await;
    let (reimaged, _) = told_apart(&home, &one, &other);
    let mut listing = vec![one.instance.clone(), other.instance.clone()];
    for instance in &mut listing {
        instance.generation += u64::from(instance.id == reimaged.instance.id);
    }
    gate.pool.sync_instances("main", listing.clone());
    for instance in &listing {
        gate.pool
            .observe(&instance.id, crate::pool::Protocol::Jupyter, Health::Up);
    }
    let stale_tab = client.get("/user/alice/api/kernels", &[]).await;
    assert_eq!(stale_tab.status, 503);
    assert!(client.get("/hub/home", &[HTML]).await.pin_line().is_some());
}

#[tokio::test]
async fn a_removed_instance_voids_its_pins_and_forms_are_not_carried_from_it() {
    let (one, other, gate) = two().await;
    let (mut client, home) = logged_in(&gate).await;
    let (removed, left) = told_apart(&home, &one, &other);
    gate.pool
        .sync_instances("main", vec![left.instance.clone()]);
    let before = removed.seen().len();
    let stale_tab = client.get("/user/alice/api/kernels", &[]).await;
    assert_eq!(
        (stale_tab.status.as_u16(), stale_tab.pin_line()),
        (503, None)
    );
    let told = client.get("/hub/home", &[HTML]).await;
    assert!(told.pin_line().is_some(), "placed anew");
    let page = client.get("/hub/home", &[HTML]).await;
    assert_eq!(page.text(), &*left.instance.id.name);
    assert_eq!(removed.seen().len(), before);
}

#[tokio::test]
async fn a_page_without_a_pin_spoils_no_login() {
    let (_one, _other, gate) = two().await;
    let mut tab = gate.h2().await;
    tab.set_cookie("jupyterhub-hub-login", "of some hub");
    let spoil = [
        ("sec-fetch-mode", "cors"),
        (
            "x-set-cookie",
            "jupyterhub-hub-login=; Max-Age=0; Path=/hub/",
        ),
        ("x-set-cookie", "jupyterhub-session-id=new; Path=/"),
        ("x-set-cookie", "_xsrf=new; Path=/hub/"),
        ("x-set-cookie", "theme=dark"),
    ];
    let reply = tab.get("/hub/api/users", &spoil).await;
    assert_eq!(reply.set_cookies(), ["theme=dark"]);
}

#[tokio::test]
async fn a_late_answer_of_the_old_instance_cannot_log_out() {
    let (one, other, gate) = two().await;
    let (mut client, home) = logged_in(&gate).await;
    let stale_pin = client.pin().unwrap().to_owned();
    let (old, _) = told_apart(&home, &one, &other);
    gate.mark_down(old).await;
    assert_eq!(client.get("/hub/home", &[HTML]).await.status, 303);
    for _ in 0..2 {
        gate.pool
            .observe(&old.instance.id, crate::pool::Protocol::Jupyter, Health::Up);
    }
    gate.published(|snapshot| {
        snapshot
            .instances
            .iter()
            .all(|view| view.services.jupyter == Some(Health::Up))
    })
    .await;
    let mut late = gate.h2().await;
    late.set_cookie("__Host-poolgate", &stale_pin);
    let clears = [
        ("sec-fetch-mode", "cors"),
        (
            "x-set-cookie",
            "jupyterhub-hub-login=; expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/hub/",
        ),
        ("x-set-cookie", "other=1"),
    ];
    let reply = late.get("/hub/api/x", &clears).await;
    assert_eq!(reply.text(), home);
    assert_eq!(reply.set_cookies(), ["other=1"]);
    let own = client.get("/hub/home", &[HTML, clears[1]]).await;
    assert_eq!(own.set_cookies().len(), 1, "the pinned one may");
}

#[tokio::test]
async fn a_hung_hub_keeps_no_newcomer_waiting() {
    let (one, other) = (
        TestInstance::start("vm1").await,
        TestInstance::start("vm2").await,
    );
    let instant = |config: &mut crate::config::HttpsConfig| {
        config.answer_timeout = std::time::Duration::from_millis(200);
    };
    let gate = Gate::with(&[&one, &other], instant).await;
    for mut client in gate.both().await {
        let first = client.get("/hang", &[HTML]).await;
        assert_eq!(first.status, 303, "the first time, another is asked");
        assert_eq!(first.headers["location"], "/hang");
        let again = client.get("/hang", &[HTML]).await;
        assert_eq!(again.status, 503, "nobody is sent round and round");
        assert!(again.headers.contains_key("retry-after"));
        assert_eq!(client.get("/hub/login", &[HTML]).await.status, 200);
    }
    for one in [&one, &other] {
        let hung = one
            .seen()
            .iter()
            .filter(|seen| seen.target == "/hang")
            .count();
        assert_eq!(hung, 2, "each was asked once by each client");
    }
}
