//! A login form goes where its person belongs, whole and once, or stays whole where its browser is.
//!
//! An instance's login page here is its name, and so is its token: `x-set-cookie` makes it a cookie.

use bytes::Bytes;

use super::support::{Client, Gate, HTML, Reply, TestInstance};
use crate::pool::{Health, LoginRequest, Protocol};
use crate::shared_pool::Seat;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const NEW_TOKEN: (&str, &str) = ("x-set-cookie", "_xsrf=vm2; Path=/hub/");
const LET_IN: [(&str, &str); 2] = [
    ("x-set-cookie", "jupyterhub-hub-login=new; Path=/hub/"),
    ("x-post-status", "302"),
];
const ALICE: &str = "_xsrf=old&username=Alice&password=x%20y";

/// alice has an ssh session on vm2; the browser is on vm1, with a form of vm1's.
struct Scene {
    vm1: TestInstance,
    vm2: TestInstance,
    gate: Gate,
    browser: Client,
    seat: Seat,
}

impl Scene {
    async fn new() -> Self {
        let vm1 = TestInstance::start("vm1").await;
        let vm2 = TestInstance::start("vm2").await;
        let gate = Gate::start(&[&vm1, &vm2]).await;
        for one in [&vm1, &vm2] {
            gate.pool
                .observe(&one.instance.id, Protocol::Ssh, Health::Up);
        }
        let seat = gate.pool.place(&by_ssh("alice", "vm2")).unwrap();
        seat.set_live();
        let mut browser = gate.h2().await;
        assert_eq!(browser.get("/hub/login", &[HTML]).await.text(), "vm1");
        browser.set_cookie("_xsrf", "old");
        browser.set_cookie("jupyterhub-session-id", "s");
        Self {
            vm1,
            vm2,
            gate,
            browser,
            seat,
        }
    }

    async fn post(&mut self, headers: &[(&str, &str)], form: &str) -> Reply {
        let body = Bytes::from(form.to_owned());
        let path = "/hub/login?next=%2Fhub%2Fhome";
        self.browser.send("POST", path, headers, body).await
    }

    /// What vm1 got is what was sent, and vm2 got no form.
    async fn stays(&mut self, headers: &[(&str, &str)], form: &str) {
        let reply = self.post(headers, form).await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "vm1"));
        let seen = self.vm1.last();
        assert_eq!((&*seen.method, &*seen.body), ("POST", form));
        assert!(self.vm2.seen().iter().all(|seen| seen.method == "GET"));
        assert_eq!(self.browser.get("/hub/home", &[HTML]).await.text(), "vm1");
    }
}

fn by_ssh(user: &str, instance: &str) -> LoginRequest {
    LoginRequest {
        pool: None,
        instance: Some(instance.to_owned()),
        user: Some(user.to_owned()),
        proved: true,
        protocol: Protocol::Ssh,
        peer: [127, 0, 0, 1].into(),
        exclude: Vec::new(),
        patient: false,
    }
}

#[tokio::test]
async fn a_login_form_goes_where_its_person_is() {
    let mut scene = Scene::new().await;
    let before = scene.vm1.seen().len();
    let headers = [FORM, NEW_TOKEN, LET_IN[0], LET_IN[1]];
    scene.browser.set_cookie("jupyterhub-hub-login", "stale");
    let reply = scene.post(&headers, ALICE).await;
    assert_eq!(reply.status, 302);
    let cookies = reply.set_cookies();
    assert_eq!(cookies.len(), 3, "{cookies:?}");
    assert!(cookies[1].starts_with("jupyterhub-hub-login=new"));
    assert!(reply.pin_line().is_some());

    let [page, form, asked] = &scene.vm2.seen()[..] else {
        panic!("{:?}", scene.vm2.seen())
    };
    assert_eq!((&*page.method, &*page.target), ("GET", "/hub/login"));
    assert_eq!(page.headers["cookie"], "jupyterhub-session-id=s");
    assert_eq!(page.headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(form.target, "/hub/login?next=%2Fhub%2Fhome");
    assert_eq!(form.headers["cookie"], "jupyterhub-session-id=s; _xsrf=vm2");
    assert_eq!(form.body, "_xsrf=vm2&username=Alice&password=x%20y");
    assert_eq!(&*asked.target, "/hub/api/user", "who it has let in");
    assert_eq!(scene.vm1.seen().len(), before, "vm1 saw nothing of it");

    assert_eq!(scene.browser.get("/hub/home", &[HTML]).await.text(), "vm2");
    let sessions = scene.gate.sessions().await;
    let on_vm1 = sessions.iter().any(|session| *session.instance == *"vm1");
    assert!(!on_vm1, "nothing is left behind: {sessions:?}");
}

#[tokio::test]
async fn a_refusal_looks_like_the_first_hubs_and_moves_nobody() {
    let mut scene = Scene::new().await;
    let headers = [FORM, NEW_TOKEN, ("x-post-status", "403")];
    let reply = scene.post(&headers, ALICE).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.text(), "old", "the page has the first hub's token");
    assert!(reply.set_cookies().is_empty(), "{:?}", reply.set_cookies());
    assert_eq!(scene.browser.get("/hub/home", &[HTML]).await.text(), "vm1");
    // The second try, with the same form.
    let headers = [FORM, NEW_TOKEN, LET_IN[1]];
    assert_eq!(scene.post(&headers, ALICE).await.status, 302);
    assert_eq!(scene.browser.get("/hub/home", &[HTML]).await.text(), "vm2");
}

#[tokio::test]
async fn forms_of_people_who_belong_nowhere_else_stay() {
    let mut scene = Scene::new().await;
    let bob = "_xsrf=old&username=bob&password=x";
    scene.stays(&[FORM], bob).await;
    // Who is on both stays where the browser is.
    let _second = scene.gate.pool.place(&by_ssh("alice", "vm1")).unwrap();
    scene.stays(&[FORM], ALICE).await;
}

#[tokio::test]
async fn memory_is_enough_and_a_hub_that_is_not_up_gets_nobody() {
    let mut scene = Scene::new().await;
    let seat = std::mem::replace(
        &mut scene.seat,
        scene.gate.pool.place(&by_ssh("carol", "vm1")).unwrap(),
    );
    drop(seat);
    for health in [Health::NoLogins, Health::Up] {
        for _ in 0..3 {
            let id = &scene.vm2.instance.id;
            scene.gate.pool.observe(id, Protocol::Jupyter, health);
        }
        if health == Health::NoLogins {
            scene.stays(&[FORM], ALICE).await;
        }
    }
    let reply = scene.post(&[FORM, NEW_TOKEN, LET_IN[1]], ALICE).await;
    assert_eq!(reply.status, 302);
    assert_eq!(scene.browser.get("/hub/home", &[HTML]).await.text(), "vm2");
}

#[tokio::test]
async fn what_is_no_plain_form_of_this_page_stays_whole() {
    let mut scene = Scene::new().await;
    let long = format!("{ALICE}&filler={}", "x".repeat(5000));
    let cross_site = ("sec-fetch-site", "cross-site");
    for (headers, form) in [
        (vec![FORM], long.as_str()),
        (
            vec![("content-type", "multipart/form-data; boundary=b")],
            ALICE,
        ),
        (vec![], ALICE),
        (vec![FORM], "username=alice&password=x"),
        (vec![FORM], "_xsrf=forged&username=alice&password=x"),
        (vec![FORM, cross_site], ALICE),
    ] {
        scene.stays(&headers, form).await;
        assert!(scene.vm2.seen().is_empty(), "{form}");
    }
}

#[tokio::test]
async fn a_form_without_a_length_is_read_no_further_than_it_may_be() {
    let mut scene = Scene::new().await;
    let mut browser = scene.gate.h1().await;
    std::mem::swap(&mut browser.cookies, &mut scene.browser.cookies);
    for len in [10, 100_000] {
        let form = format!("{ALICE}&filler={}", "x".repeat(len));
        let (chunks, queue) = tokio::sync::mpsc::channel(1);
        let parts: Vec<Bytes> = form
            .as_bytes()
            .chunks(3000)
            .map(Bytes::copy_from_slice)
            .collect();
        tokio::spawn(async move {
            for part in parts {
                chunks.send(part).await.unwrap();
            }
        });
        let headers = [FORM, ("x-post-status", "403"), NEW_TOKEN];
        let body = super::support::chunked(queue);
        let reply = browser.open("POST", "/hub/login", &headers, body).await;
        assert_eq!(reply.status(), 403);
        let taker = if len == 10 { &scene.vm2 } else { &scene.vm1 };
        let seen = taker.last();
        assert_eq!(seen.method, "POST");
        assert_eq!(
            seen.body_len,
            form.len() - "old".len() + if len == 10 { "vm2".len() } else { 3 }
        );
    }
}

#[tokio::test]
async fn a_torn_form_never_looks_whole() {
    let scene = Scene::new().await;
    let pin = scene.browser.pin().unwrap();
    let torn = format!(
        "POST /hub/login HTTP/1.1\r\nHost: localhost\r\nCookie: __Host-poolgate={pin}; _xsrf=old\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{ALICE}\r\nnonsense\r\n",
        ALICE.len()
    );
    let answer = scene.gate.raw(&torn).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let all = [scene.vm1.seen(), scene.vm2.seen()].concat();
    assert!(all.iter().all(|seen| seen.method == "GET"), "{all:?}");
}

#[tokio::test]
async fn a_hub_that_gives_no_token_or_is_gone_gets_no_form() {
    let mut scene = Scene::new().await;
    scene.stays(&[FORM], ALICE).await;
    // A token that is not in the page: no form there would send it.
    let other = ("x-set-cookie", "_xsrf=unseen; Path=/hub/");
    let reply = scene.post(&[FORM, other], ALICE).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "vm1"));
    scene.browser.set_cookie("_xsrf", "old");
    assert_eq!(scene.vm2.seen().len(), 2, "it was asked for its page only");
    scene.vm2.kill().await;
    scene.stays(&[FORM], ALICE).await;
}

#[tokio::test]
async fn who_signs_in_elsewhere_is_pinned_to_their_machine_with_the_answer() {
    let mut scene = Scene::new().await;
    let back = "/hub/oauth_callback?code=x&state=y";
    let came = |name| match name {
        "alice" => ("x-set-cookie", "jupyterhub-hub-login=alice; Path=/hub/"),
        _ => ("x-set-cookie", "jupyterhub-hub-login=bob; Path=/hub/"),
    };
    let redirect = ("x-status", "302");
    // Nobody else's: stays, with all cookies, and a pin that has the name.
    let bob = scene
        .browser
        .get(back, &[HTML, came("bob"), redirect])
        .await;
    assert_eq!((bob.status.as_u16(), bob.set_cookies().len()), (302, 2));
    assert_eq!(scene.browser.get("/hub/home", &[HTML]).await.text(), "vm1");
    let alice = scene
        .browser
        .get(back, &[HTML, came("alice"), redirect])
        .await;
    assert_eq!(alice.status, 302);
    assert_eq!(alice.set_cookies().len(), 1, "{:?}", alice.set_cookies());
    assert!(alice.pin_line().is_some());
    assert_eq!(scene.browser.get("/hub/spawn", &[HTML]).await.text(), "vm2");
    // There, the same goes no further.
    scene
        .browser
        .get(back, &[HTML, came("alice"), redirect])
        .await;
    assert_eq!(scene.browser.get("/hub/spawn", &[HTML]).await.text(), "vm2");
}

#[tokio::test]
async fn a_form_that_was_written_is_never_written_again() {
    let mut scene = Scene::new().await;
    let before = scene.vm1.seen().len();
    let reply = scene
        .post(&[FORM, NEW_TOKEN, ("x-post-dies", "yes")], ALICE)
        .await;
    assert_eq!(reply.status, 503);
    assert_eq!(scene.vm1.seen().len(), before);
    let posts = scene.vm2.seen();
    let posts = posts.iter().filter(|seen| seen.method == "POST").count();
    assert_eq!(posts, 1);
}
