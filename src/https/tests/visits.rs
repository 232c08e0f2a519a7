//! Guests at another person's server: where their requests go, what they are asked, and whom nobody takes them for.

use bytes::Bytes;

use super::support::{Client, Gate, HTML, TestInstance};
use crate::pool::Protocol;

const GO: (&str, &str) = ("sec-fetch-mode", "navigate");
const CODE: (&str, &str) = ("sec-fetch-mode", "cors");
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
const SHARED: &str = "/.poolgate/visit?person=alice&next=%2Fuser%2Falice%2Flab%3Fa%3D1";

/// alice on one instance, bob on the other, and bob's browser.
struct Scene {
    hers: TestInstance,
    his: TestInstance,
    gate: Gate,
    bob: Client,
    _alice: Client,
}

async fn comes(gate: &Gate, cookie: &'static str) -> (Client, String) {
    let mut client = gate.h2().await;
    let home = client.get("/hub/login", &[HTML]).await.text().to_owned();
    let answer = [HTML, ("x-set-cookie", cookie), ("x-status", "302")];
    client.get("/hub/oauth_callback?code=x", &answer).await;
    (client, home)
}

impl Scene {
    async fn new() -> Self {
        let one = TestInstance::start("vm1").await;
        let other = TestInstance::start("vm2").await;
        let gate = Gate::start(&[&one, &other]).await;
        let (alice, home) = comes(&gate, "jupyterhub-hub-login=alice; Path=/hub/").await;
        let (bob, _) = comes(&gate, "jupyterhub-hub-login=bob; Path=/hub/").await;
        let (hers, his) = match &*home {
            "vm1" => (one, other),
            _ => (other, one),
        };
        Self {
            hers,
            his,
            gate,
            bob,
            _alice: alice,
        }
    }

    async fn lands(&mut self, path: &str, headers: &[(&str, &str)]) -> String {
        self.bob.get(path, headers).await.text().to_owned()
    }

    async fn agrees(&mut self) {
        let reply = self
            .bob
            .send("POST", SHARED, &[HTML, GO, OWN], Bytes::new())
            .await;
        assert_eq!(reply.status, 303);
        assert_eq!(reply.headers["location"], "/user/alice/lab?a=1");
        assert!(
            reply
                .pin_line()
                .is_some_and(|line| line.contains("Max-Age"))
        );
    }

    fn name_of(one: &TestInstance) -> String {
        one.instance.id.name.to_string()
    }
}

#[tokio::test]
async fn a_guest_is_asked_visits_and_comes_home() {
    let mut scene = Scene::new().await;
    let (hers, his) = (Scene::name_of(&scene.hers), Scene::name_of(&scene.his));
    let asked = scene.lands("/user/alice/lab", &[HTML, GO]).await;
    assert!(asked.contains("This server is on another machine"));
    let frame = [HTML, GO, ("sec-fetch-dest", "iframe")];
    assert_eq!(scene.lands("/user/alice/lab", &frame).await, hers);
    assert_eq!(scene.lands("/user/alice/api/kernels", &[CODE]).await, hers);
    assert_eq!(scene.lands("/user/bob/api/kernels", &[CODE]).await, his);
    assert_eq!(scene.lands("/user/nobody/lab", &[HTML, GO]).await, his);

    scene.agrees().await;
    assert_eq!(scene.lands("/user/alice/lab", &[HTML, GO]).await, hers);
    // A login there, and her server's cookie: still bob, and nobody there.
    for (path, cookie) in [
        (
            "/hub/oauth_callback",
            "jupyterhub-hub-login=bob; Path=/hub/",
        ),
        (
            "/user/alice/oauth_callback",
            "jupyterhub-user-alice=x; Path=/user/alice/",
        ),
    ] {
        let answer = [HTML, ("x-set-cookie", cookie), ("x-status", "302")];
        let reply = scene.bob.get(path, &answer).await;
        assert_eq!(reply.set_cookies(), [cookie], "kept, and no new pin");
    }
    let sessions = scene.gate.sessions().await;
    let at_hers: Vec<_> = sessions
        .iter()
        .filter(|one| *one.instance == *hers)
        .map(|one| one.user.as_deref())
        .collect();
    assert_eq!(at_hers, [Some("alice")]);
    // His own tab goes on, and his form would stay.
    assert_eq!(scene.lands("/user/bob/api/kernels", &[CODE]).await, his);
    let form = Bytes::from("_xsrf=t&username=bob&password=x");
    scene.bob.set_cookie("_xsrf", "t");
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let sent = scene
        .bob
        .send("POST", "/hub/login", &[HTML, kind], form)
        .await;
    assert_eq!(sent.text(), hers);

    for own in ["/hub/home", "/user/bob/lab"] {
        let home = scene.bob.get(own, &[HTML, GO]).await;
        assert_eq!(home.status, 303, "{own}");
        assert_eq!(scene.lands(own, &[HTML, GO]).await, his);
        scene.agrees().await;
    }
}

#[tokio::test]
async fn a_guest_whose_host_is_gone_goes_home_and_whoever_lets_somebody_else_in_is_no_guest() {
    let mut scene = Scene::new().await;
    let (hers, his) = (Scene::name_of(&scene.hers), Scene::name_of(&scene.his));
    scene.agrees().await;
    // carol logs in with bob's browser.
    let answer = [
        HTML,
        ("x-set-cookie", "jupyterhub-hub-login=carol; Path=/hub/"),
        ("x-status", "302"),
    ];
    assert!(scene.bob.get("/hub/x", &answer).await.pin_line().is_some());
    assert_eq!(scene.lands("/hub/home", &[HTML, GO]).await, hers);

    let (mut bob, _) = comes(&scene.gate, "jupyterhub-hub-login=bob; Path=/hub/").await;
    std::mem::swap(&mut scene.bob, &mut bob);
    scene.agrees().await;
    for _ in 0..3 {
        let id = &scene.hers.instance.id;
        scene
            .gate
            .pool
            .observe(id, Protocol::Jupyter, crate::pool::Health::Down);
    }
    scene.gate.mark_down(&scene.hers).await;
    let moved = scene.bob.get("/user/alice/lab", &[HTML, GO]).await;
    assert_eq!(moved.status, 303);
    assert_eq!(scene.lands("/hub/home", &[HTML, GO]).await, his);
}

#[tokio::test]
async fn links_without_a_name_are_asked_about_and_strangers_learn_nothing() {
    let mut scene = Scene::new().await;
    let link = "/hub/accept-share?code=x";
    let gone = [HTML, GO, ("x-status", "404")];
    let asked = scene.bob.get(link, &gone).await;
    assert_eq!(asked.status, 404);
    assert!(asked.text().contains("Whose server does this link open?"));
    for (name, text) in [
        ("alice", "This server is on another machine"),
        ("bob", "Nobody of this name"),
        ("", "Whose server"),
    ] {
        let path = format!("/.poolgate/visit?person={name}&next=%2Fhub%2Faccept-share");
        let told = scene.lands(&path, &[HTML, GO]).await;
        assert!(told.contains(text), "{name}: {told}");
    }
    let foreign = [HTML, GO, ("sec-fetch-site", "cross-site")];
    let refused = scene.bob.send("POST", SHARED, &foreign, Bytes::new()).await;
    assert_eq!(refused.status, 400);

    let mut stranger = scene.gate.h1().await;
    stranger.get("/hub/login", &[HTML]).await;
    for method in ["GET", "POST"] {
        let reply = stranger
            .send(method, SHARED, &[HTML, GO, OWN], Bytes::new())
            .await;
        assert_eq!(reply.status, 404, "{method}");
    }
    let lab = stranger.get("/user/alice/lab", &[HTML, GO]).await;
    assert!(lab.text().starts_with("vm"), "no question: {}", lab.text());
    let reply = stranger.get(link, &gone).await;
    assert!(reply.text().starts_with("vm"));
}
