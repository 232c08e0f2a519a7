//! Operators' notices in browsers, an administrator's choice of instance, and the access log.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::logins::log_in;
use super::support::{Client, Gate, HTML, TestInstance};
use crate::config::{AccessLogConfig, AccessLogFormat};
use crate::pool::{AdminState, Decision};
use crate::shared_pool::Audience;

const GO: (&str, &str) = ("sec-fetch-mode", "navigate");
const WHOLE: (&str, &str) = ("sec-fetch-dest", "document");
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

async fn two(change: impl FnOnce(&mut crate::config::HttpsConfig)) -> (Gate, [TestInstance; 2]) {
    let both = [
        TestInstance::start("vm1").await,
        TestInstance::start("vm2").await,
    ];
    let gate = Gate::with(&[&both[0], &both[1]], change).await;
    (gate, both)
}

fn is_notice(text: &str) -> bool {
    text.contains("A message from the operators")
}

#[tokio::test]
async fn a_notice_is_shown_once_and_only_on_the_way_to_a_page() {
    let (gate, _both) = two(|_| {}).await;
    let mut client = gate.h2().await;
    let home = log_in(&mut client).await;
    let hour = Some(Duration::from_secs(3600));
    let text = "restart at <noon> & \"later\"";
    gate.pool.announce(&Audience::Everybody, text, hour);
    for (path, headers) in [
        (
            "/user/alice/api/kernels",
            [("sec-fetch-mode", "cors"), WHOLE],
        ),
        ("/user/alice/lab", [GO, ("sec-fetch-dest", "iframe")]),
        ("/user/alice/files/a.html", [GO, WHOLE]),
        ("/hub/oauth_callback?code=1&state=2", [GO, WHOLE]),
        ("/hub/api/oauth2/authorize", [GO, WHOLE]),
    ] {
        let reply = client.get(path, &[HTML, headers[0], headers[1]]).await;
        assert_eq!(reply.text(), home, "{path}");
    }
    let form = Bytes::from("username=alice");
    let sent = client
        .send("POST", "/hub/login", &[HTML, GO, WHOLE], form)
        .await;
    assert_eq!(sent.text(), home, "no form is held up");
    let page = client.get("/hub/home?a=1", &[HTML, GO, WHOLE]).await;
    assert_eq!(page.status, 200);
    assert!(is_notice(page.text()));
    assert!(
        page.text()
            .contains("restart at &lt;noon&gt; &amp; &quot;later&quot;")
    );
    assert!(page.text().contains("<time datetime=\""));
    assert!(page.text().contains("href=\"/hub/home?a=1\""));
    assert_eq!(page.headers["cache-control"], "no-store");
    let next = client.get("/hub/home?a=1", &[HTML, GO, WHOLE]).await;
    assert_eq!(next.text(), home, "once");

    // Another one is new, and the first is not shown again with it.
    let user = Audience::User("alice".to_owned());
    gate.pool.announce(&user, "for alice", None);
    let page = client.get("/user/alice/lab", &[HTML, GO, WHOLE]).await;
    assert!(page.text().contains("for alice") && !page.text().contains("noon"));
    assert_eq!(client.get("/", &[HTML, GO, WHOLE]).await.text(), home);

    // A browser without a pin may keep no cookies and would see nothing else; the next time it does.
    let mut stranger = gate.h1().await;
    let first = stranger.get("/hub/login", &[HTML, GO, WHOLE]).await;
    assert!(!is_notice(first.text()));
    let page = stranger.get("/hub/login", &[HTML, GO, WHOLE]).await;
    assert!(page.text().contains("noon") && !page.text().contains("for alice"));
}

#[tokio::test]
async fn people_of_a_drained_instance_are_told() {
    let (gate, both) = two(|_| {}).await;
    let mut client = gate.h2().await;
    let home = log_in(&mut client).await;
    let id = both.iter().map(|one| one.instance.id.clone());
    let id = id.into_iter().find(|id| *id.name == *home).unwrap();
    gate.pool
        .decide(&id, Decision::by_admin(AdminState::Draining, "a test"));
    let page = client.get("/hub/home", &[HTML, GO, WHOLE]).await;
    assert!(page.text().contains("is being taken out of service"));
    assert!(page.text().contains("out of service: a test"));
    assert_eq!(client.get("/hub/home", &[HTML, GO]).await.text(), home);

    // Taken back before another browser of hers sees it, which then sees nothing; and a new drain is a new notice.
    gate.pool.decide(&id, Decision::none());
    assert!(!gate.pool.has_notices());
    let by_policy = Decision::by_policy(AdminState::Draining, "one machine too many");
    gate.pool.decide(&id, by_policy);
    let page = client.get("/hub/home", &[HTML, GO, WHOLE]).await;
    assert!(page.text().contains("Nothing you run here ends"));
    assert!(!page.text().contains("too many"));
    assert_eq!(client.get("/hub/home", &[HTML, GO]).await.text(), home);
    assert!(gate.pool.reopen(&id) && !gate.pool.has_notices());
}

async fn chosen(client: &mut Client, name: &str, from: (&str, &str)) -> u16 {
    let path = format!("/.poolgate/go?instance={name}");
    let reply = client.send("POST", &path, &[from], Bytes::new()).await;
    reply.status.as_u16()
}

#[tokio::test]
async fn a_listed_administrator_chooses_an_instance_and_nobody_else_does() {
    let admins = |config: &mut crate::config::HttpsConfig| {
        config.admins = vec!["alice".to_owned()];
    };
    let (gate, _both) = two(admins).await;
    let mut client = gate.h2().await;
    client.get("/hub/login", &[HTML, GO]).await;
    let page = client.get("/.poolgate/admin", &[HTML, GO]).await;
    assert_eq!(page.status, 404, "proved nothing");
    let home = log_in(&mut client).await;
    let other = if home == "vm1" { "vm2" } else { "vm1" };
    let page = client.get("/.poolgate/admin", &[HTML, GO]).await;
    assert_eq!(page.status, 200);
    assert!(
        page.text()
            .contains("action=\"/.poolgate/go?instance=vm1\"")
    );

    let cross = ("sec-fetch-site", "cross-site");
    assert_eq!(chosen(&mut client, other, cross).await, 400);
    let evil = ("origin", "https://evil.example");
    assert_eq!(chosen(&mut client, other, evil).await, 400);
    assert_eq!(chosen(&mut client, "vm9", OWN).await, 404);
    assert_eq!(chosen(&mut client, other, OWN).await, 303);
    assert_eq!(client.get("/hub/admin", &[HTML, GO]).await.text(), other);
    // The name was proved to the other instance: the voucher carries it.
    let page = client.get("/.poolgate/admin", &[HTML, GO]).await;
    assert_eq!(page.status, 200);
    assert_eq!(chosen(&mut client, &home, OWN).await, 303);
    assert_eq!(client.get("/hub/admin", &[HTML, GO]).await.text(), home);

    // A voucher is good in its own browser only, and not against a name proved since.
    let voucher = client.cookies.iter();
    let mut voucher = voucher.filter(|(name, _)| name == "__Host-poolgate-admin");
    let (name, value) = voucher.next().unwrap().clone();
    let mut thief = gate.h1().await;
    thief.get("/hub/login", &[HTML, GO]).await;
    thief.set_cookie(&name, &value);
    let page = thief.get("/.poolgate/admin", &[HTML, GO]).await;
    assert_eq!(page.status, 404);
    thief.cookies.retain(|(name, _)| name == "__Host-poolgate");
    thief.set_cookie("__Host-poolgate", &value);
    let page = thief.get("/.poolgate/admin", &[HTML, GO]).await;
    assert_eq!(page.status, 404, "a voucher is no pin");
    client.get("/hub/logout", &[HTML, GO]).await;
    let page = client.get("/.poolgate/admin", &[HTML, GO]).await;
    assert_eq!(page.status, 404, "logged out");
}

#[tokio::test]
async fn the_access_log_tells_who_got_what_and_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    for format in [AccessLogFormat::Json, AccessLogFormat::Combined] {
        let file = folder.path().join(format!("{format:?}.log"));
        let log = AccessLogConfig {
            file: file.clone(),
            format,
        };
        let (gate, _both) = two(|config| config.access_log = Some(log)).await;
        let mut client = gate.h2().await;
        let home = log_in(&mut client).await;
        let from = ("referer", "https://localhost/x?token=secret");
        client
            .get("/user/alice/lab?token=secret&a=1", &[HTML, GO, from])
            .await;
        client.get("/metrics", &[HTML]).await;
        let text = logged(&gate, &file, 4);
        assert!(!text.contains("secret"), "{text}");
        if format == AccessLogFormat::Combined {
            let line = text.lines().nth(2).unwrap();
            assert!(line.starts_with("127.0.0.1 - alice ["), "{line}");
            let asked = "\"GET /user/alice/lab?token=REDACTED&a=1 HTTP/2.0\" 200 3 ";
            assert!(line.contains(asked), "{line}");
            continue;
        }
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            lines[1]["target"],
            "/user/alice/oauth_callback?code=REDACTED&state=REDACTED"
        );
        assert_eq!(lines[1]["user"], serde_json::Value::Null, "not yet proved");
        assert_eq!(lines[2]["user"], "alice");
        assert_eq!(lines[2]["instance"], home.as_str());
        assert_eq!(
            (&lines[2]["bytes"], &lines[2]["status"]),
            (&3.into(), &200.into())
        );
        assert_eq!(lines[3]["status"], 404);
        assert_eq!(lines[3]["instance"], serde_json::Value::Null);
        std::fs::rename(&file, folder.path().join("rotated")).unwrap();
        gate.front.reopen_access_log().unwrap();
        client.get("/hub/home", &[HTML]).await;
        assert!(logged(&gate, &file, 1).contains("/hub/home"));
    }
}

/// The log once it has so many lines: an answer's end is seen by the client a moment before the gate lets go of it.
fn logged(gate: &Gate, file: &Path, lines: usize) -> String {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        gate.front.access_log.as_ref().unwrap().flush();
        let text = std::fs::read_to_string(file).unwrap();
        if text.lines().count() >= lines {
            return text;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
        std::thread::yield_now();
    }
}
