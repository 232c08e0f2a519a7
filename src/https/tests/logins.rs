//! Names are learned from the proof alone, people are counted once, and what was learned holds for ssh too.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::support::{Client, Gate, HTML, TestInstance};
use crate::pool::{AdminState, Decision, LoginRequest, Protocol, Stage};

const CALLBACK: &str = "/user/alice/oauth_callback?code=x&state=y";
const PROOF: (&str, &str) = (
    "x-set-cookie",
    "jupyterhub-user-alice=\"2|1:0|10:x\"; HttpOnly; Path=/user/alice/",
);

pub async fn log_in(client: &mut Client) -> String {
    let home = client.get("/hub/login", &[HTML]).await.text().to_owned();
    let reply = client
        .get(CALLBACK, &[HTML, PROOF, ("x-status", "302")])
        .await;
    assert_eq!(reply.status, 302);
    assert!(reply.pin_line().is_some(), "the pin carries the name");
    home
}

/// A hub's answer at the end of a login.
async fn hub_lets_in(client: &mut Client, cookie: &'static str) -> String {
    let answer = [HTML, ("x-set-cookie", cookie), ("x-status", "302")];
    let reply = client.get("/hub/oauth_callback?code=x", &answer).await;
    reply
        .pin_line()
        .expect("the pin carries the name")
        .to_owned()
}

fn ssh(user: &str, proved: bool) -> LoginRequest {
    LoginRequest {
        pool: None,
        instance: None,
        user: Some(user.to_owned()),
        proved,
        protocol: Protocol::Ssh,
        peer: IpAddr::from([127, 0, 0, 1]),
        exclude: Vec::new(),
        patient: false,
    }
}

async fn pool_of(count: usize) -> (Vec<TestInstance>, Gate) {
    let mut instances = Vec::new();
    for at in 0..count {
        instances.push(TestInstance::start(&format!("vm{at}")).await);
    }
    let gate = Gate::start(&instances.iter().collect::<Vec<_>>()).await;
    for one in &instances {
        gate.pool
            .observe(&one.instance.id, Protocol::Ssh, crate::pool::Health::Up);
    }
    (instances, gate)
}

#[tokio::test]
async fn a_proved_name_is_counted_and_ssh_follows() {
    let (_instances, gate) = pool_of(4).await;
    for (at, mut client) in gate.both().await.into_iter().enumerate() {
        let home = log_in(&mut client).await;
        let seat = gate.pool.place(&ssh("alice", true)).unwrap();
        if at == 0 {
            assert_eq!(*seat.instance().id.name, *home);
        }
    }
    let line = &gate.audit_lines()[0];
    assert_eq!(
        (&line["event"], &line["user"]),
        (&"login".into(), &"alice".into())
    );
    assert_eq!(line["proof"], "jupyterhub oauth");
    assert_eq!(line["reason"], "least-loaded");
    assert_eq!(line["protocol"], "jupyter");
}

#[tokio::test]
async fn nothing_but_the_proof_teaches_a_name() {
    let (_instances, gate) = pool_of(2).await;
    let mut client = gate.h2().await;
    // The first request has no pin yet: whatever it says, it was not pinned to who answers.
    client.get(CALLBACK, &[HTML, PROOF]).await;
    for (path, cookie, status) in [
        ("/user/alice/lab", PROOF.1, "200"),
        ("/user/mallory/oauth_callback", PROOF.1, "302"),
        ("/user/mallory/files/oauth_callback", PROOF.1, "302"),
        ("/hub/login", PROOF.1, "302"),
        (CALLBACK, "jupyterhub-user-alice=; Max-Age=0", "302"),
        (CALLBACK, PROOF.1, "403"),
        (CALLBACK, "jupyterhub-user-bob=x", "302"),
    ] {
        client
            .get(
                path,
                &[HTML, ("x-set-cookie", cookie), ("x-status", status)],
            )
            .await;
    }
    client.send("POST", CALLBACK, &[PROOF], "x".into()).await;
    let sessions = gate.sessions().await;
    assert!(
        sessions.iter().all(|session| session.user.is_none()),
        "{sessions:?}"
    );
    assert!(
        sessions
            .iter()
            .all(|session| session.stage == Stage::Provisional)
    );
    assert!(gate.audit_lines().is_empty());
}

#[tokio::test]
async fn the_hub_that_let_somebody_in_says_who_it_was() {
    let (instances, gate) = pool_of(4).await;
    let mut bob = gate.h2().await;
    let home = bob.get("/hub/login", &[HTML]).await.text().to_owned();
    let pin = hub_lets_in(&mut bob, "jupyterhub-hub-login=bob; Path=/hub/").await;
    assert!(pin.contains("; Max-Age="), "as old as the login: {pin}");
    let seat = gate.pool.place(&ssh("bob", true)).unwrap();
    assert_eq!(*seat.instance().id.name, *home, "ssh follows at once");
    let line = &gate.audit_lines()[0];
    assert_eq!(
        (&line["user"], &line["proof"]),
        (&"bob".into(), &"jupyterhub login".into())
    );
    // A guest at alice's server gets her server's cookie, and is not her.
    let reply = bob.get(CALLBACK, &[HTML, PROOF, ("x-status", "302")]).await;
    assert!(reply.pin_line().is_none());
    let sessions = gate.sessions().await;
    let users: Vec<_> = sessions.iter().map(|one| one.user.as_deref()).collect();
    assert!(!users.contains(&Some("alice")), "{users:?}");

    // Where the gate saw no login, the hub is asked when a server is asked for.
    let mut carol = gate.h1().await;
    let home = carol.get("/hub/login", &[HTML]).await.text().to_owned();
    carol.set_cookie("jupyterhub-hub-login", "carol");
    let asks = "/hub/api/oauth2/authorize?client_id=x";
    let reply = carol.get(asks, &[HTML, ("x-status", "302")]).await;
    assert!(reply.pin_line().is_some());
    let seat = gate.pool.place(&ssh("carol", true)).unwrap();
    assert_eq!(*seat.instance().id.name, *home);
    let asked = |one: &TestInstance| {
        let seen = one.seen().into_iter();
        seen.filter(|seen| seen.target == "/hub/api/user").count()
    };
    carol.get(asks, &[HTML, ("x-status", "302")]).await;
    let asked: usize = instances.iter().map(asked).sum();
    assert_eq!(asked, 2, "once each");
}

#[tokio::test]
async fn two_browsers_of_one_person_count_once() {
    let (_instances, gate) = pool_of(1).await;
    let [mut one, mut other] = gate.both().await;
    log_in(&mut one).await;
    log_in(&mut other).await;
    let sessions = gate
        .published(|snapshot| snapshot.sessions.len() == 1)
        .await
        .sessions
        .clone();
    assert_eq!(sessions[0].user.as_deref(), Some("alice"));
    assert_eq!(sessions[0].stage, Stage::Live);
    assert_eq!(gate.front.presence.count(), 1);

    one.get("/hub/logout", &[HTML]).await;
    assert_eq!(
        gate.sessions().await.len(),
        1,
        "the other browser is still there"
    );
    other.get("/hub/logout", &[HTML]).await;
    gate.published(|snapshot| snapshot.sessions.is_empty())
        .await;
    let lines = gate.audit_lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[2]["event"], "end");
    assert_eq!(lines[2]["cause"], "logged out");
    assert!(lines[2]["bytes_out"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn who_is_not_heard_of_is_no_longer_counted() {
    let (_instances, gate) = pool_of(1).await;
    let mut guest = gate.h1().await;
    guest.get("/hub/login", &[HTML]).await;
    let mut alice = gate.h2().await;
    log_in(&mut alice).await;
    gate.front.presence.sweep(Instant::now());
    assert_eq!(gate.front.presence.count(), 2);
    gate.front
        .presence
        .sweep(Instant::now() + Duration::from_secs(70));
    assert_eq!(
        gate.front.presence.count(),
        1,
        "a minute for who has proved nothing"
    );
    gate.front
        .presence
        .sweep(Instant::now() + Duration::from_secs(901));
    assert_eq!(gate.front.presence.count(), 0);
    gate.published(|snapshot| snapshot.sessions.is_empty())
        .await;
    assert_eq!(gate.audit_lines()[1]["cause"], "not heard of for a while");

    // The same pin is worth the same seat again, with the name it proved.
    let stale_tab = [("sec-fetch-mode", "cors"), ("x-status", "404")];
    alice.get("/user/alice/api/kernels", &stale_tab).await;
    assert_eq!(
        gate.front.presence.count(),
        0,
        "a stale tab counts for nothing"
    );
    alice.get("/user/alice/lab", &[HTML]).await;
    let sessions = gate
        .published(|snapshot| snapshot.sessions.len() == 1)
        .await
        .sessions
        .clone();
    assert_eq!(sessions[0].user.as_deref(), Some("alice"));
    let again = &gate.audit_lines()[2];
    assert_eq!(
        (&again["event"], &again["user"]),
        (&"login".into(), &"alice".into())
    );
    assert_eq!(again["proof"], "pin of an earlier jupyterhub login");
}

#[tokio::test]
async fn another_person_on_the_same_browser_is_another_session() {
    let (_instances, gate) = pool_of(1).await;
    let mut browser = gate.h1().await;
    log_in(&mut browser).await;
    hub_lets_in(&mut browser, "jupyterhub-hub-login=bob; Path=/hub/").await;
    let is_bob = |session: &crate::pool::SessionView| session.user.as_deref() == Some("bob");
    let sessions = gate.sessions().await;
    assert!(sessions.len() == 1 && is_bob(&sessions[0]), "{sessions:?}");
    let events: Vec<_> = gate
        .audit_lines()
        .iter()
        .map(|line| line["event"].clone())
        .collect();
    assert_eq!(events, ["login", "end", "login", "login"]);
}

#[tokio::test]
async fn proving_twice_is_one_login() {
    let (_instances, gate) = pool_of(1).await;
    let mut browser = gate.h1().await;
    log_in(&mut browser).await;
    let named = ("x-set-cookie", "jupyterhub-user-alice-gpu=x");
    browser
        .get(
            "/user/alice/gpu/oauth_callback",
            &[HTML, named, ("x-status", "302")],
        )
        .await;
    assert_eq!(gate.audit_lines().len(), 1);
    assert_eq!(gate.sessions().await.len(), 1);
}

#[tokio::test]
async fn a_cordoned_instance_serves_its_own_people_on() {
    let (instances, gate) = pool_of(2).await;
    let mut alice = gate.h2().await;
    let home = log_in(&mut alice).await;
    gate.front
        .presence
        .sweep(Instant::now() + Duration::from_secs(10_000));
    for one in &instances {
        gate.pool.decide(
            &one.instance.id,
            Decision::by_admin(AdminState::Cordoned, "a test"),
        );
    }
    let reply = alice.get("/user/alice/lab", &[HTML]).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, &*home));
    let newcomer = gate.h1().await.get("/", &[HTML]).await;
    assert_eq!(newcomer.status, 503);
}

#[tokio::test]
async fn an_evicted_session_ends() {
    let (_instances, gate) = pool_of(1).await;
    let mut alice = gate.h2().await;
    log_in(&mut alice).await;
    let sessions = gate
        .published(|snapshot| snapshot.sessions.len() == 1)
        .await
        .sessions
        .clone();
    assert!(gate.pool.evict(sessions[0].id));
    gate.front.presence.sweep(Instant::now());
    gate.published(|snapshot| snapshot.sessions.is_empty())
        .await;
    assert_eq!(gate.audit_lines()[1]["event"], "end");
}
