//! Webhooks beside a receiver of the test: what is told, in which order, once, and what becomes of what is not taken.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::{self, WebhookForm};
use crate::telemetry::audit::AuditLog;

const WAIT: Duration = Duration::from_secs(20);

/// Takes messages and answers with these heads, the last for all that follow.
async fn receiver(answers: &'static [&'static str]) -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook/s3cret", listener.local_addr().unwrap());
    let (told, messages) = mpsc::channel(8);
    tokio::spawn(async move {
        for count in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let body = loop {
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                request.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&request);
                let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
                if let Some(Ok(body)) = body.map(|body| serde_json::from_str(&body)) {
                    break body;
                }
                assert!(read > 0, "{text}");
            };
            told.send(body).await.unwrap();
            let answer = answers.get(count).or(answers.last()).unwrap();
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, messages)
}

struct Scene {
    events: Events,
    webhooks: Webhooks,
    config: BTreeMap<String, WebhookConfig>,
    tasks: TaskTracker,
    ending: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url_file = folder.path().join("url");
        std::fs::write(&url_file, format!("{url}\n")).unwrap();
        let config = WebhookConfig {
            url_file,
            form: WebhookForm::Json,
            events: ["fault", "evict"].into(),
            pools: BTreeSet::from(["main".to_owned()]),
            ca_file: None,
            timeout: Duration::from_secs(10),
            messages_per_minute: 60,
        };
        let events = Events::new(AuditLog::open(None).unwrap());
        Self {
            webhooks: Webhooks::new(events.clone(), Metrics::new()),
            events,
            config: [("team".to_owned(), config)].into(),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
            _folder: folder,
        }
    }

    fn change(&mut self) {
        let next = Webhooks::prepare(&self.config).unwrap();
        self.webhooks.change(next, &self.tasks, &self.ending);
    }

    fn tell(&self, pool: &str, kind: EventKind, text: &str) {
        self.events.tell(pool, None, kind, text.to_owned());
    }
}

async fn next(messages: &mut mpsc::Receiver<Value>) -> Vec<String> {
    let message = tokio::time::timeout(WAIT, messages.recv()).await;
    let message = message.expect("a message").unwrap();
    let events = message["events"].as_array().unwrap();
    let text = |event: &Value| event["text"].as_str().unwrap().to_owned();
    events.iter().map(text).collect()
}

#[tokio::test]
async fn only_what_is_wanted_is_told_and_a_reload_tells_nothing_twice() {
    let (url, mut messages) = receiver(&["200 OK"]).await;
    let mut scene = Scene::new(&url);
    scene.tell("main", EventKind::Fault, "before the gate began");
    scene.change();
    scene.tell("gpu", EventKind::Fault, "of another pool");
    scene.tell("main", EventKind::Up, "of another kind");
    scene.tell("main", EventKind::Fault, "one");
    assert_eq!(next(&mut messages).await, ["one"]);
    scene.tell("", EventKind::Evict, "of no pool");
    assert_eq!(next(&mut messages).await, ["of no pool"]);
    scene.change();
    scene.tell("main", EventKind::Evict, "two");
    assert_eq!(next(&mut messages).await, ["two"]);
    scene.config.clear();
    scene.change();
    scene.tasks.close();
    tokio::time::timeout(WAIT, scene.tasks.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn what_is_refused_for_good_is_given_up_and_told_in_the_story_alone() {
    let (url, mut messages) =
        receiver(&["404 Not Found", "302 Found\r\nlocation: /x", "200 OK"]).await;
    let mut scene = Scene::new(&url);
    scene.change();
    let mut newest = scene.events.newest();
    for (text, why) in [
        ("one", "404 Not Found: is the address"),
        ("two", "302 Found: redirects"),
    ] {
        scene.tell("main", EventKind::Fault, text);
        assert_eq!(next(&mut messages).await, [text]);
        let told = || {
            let story = scene.events.after(0);
            let last = story.last().unwrap();
            (last.kind == EventKind::WebhookFailed).then(|| last.text.clone())
        };
        while told().is_none() {
            tokio::time::timeout(WAIT, newest.changed())
                .await
                .unwrap()
                .unwrap();
        }
        let told = told().unwrap();
        assert!(told.contains(why) && !told.contains("s3cret"), "{told}");
    }
    scene.tell("main", EventKind::Fault, "three");
    assert_eq!(next(&mut messages).await, ["three"]);
}

#[tokio::test]
async fn a_receiver_that_is_busy_is_asked_again() {
    let (url, mut messages) = receiver(&["503 Busy", "429 Slow\r\nretry-after: 1", "200 OK"]).await;
    let mut scene = Scene::new(&url);
    scene.change();
    scene.tell("main", EventKind::Fault, "one");
    for _ in 0..2 {
        assert_eq!(next(&mut messages).await, ["one"]);
    }
    scene.tell("main", EventKind::Fault, "two");
    assert_eq!(
        next(&mut messages).await,
        ["one"],
        "what is on its way stays as it is"
    );
    assert_eq!(next(&mut messages).await, ["two"]);
}

#[tokio::test]
async fn a_file_without_an_address_is_a_fault_that_does_not_show_it() {
    let scene = Scene::new("hooks.example/s3cret");
    let told = Webhooks::prepare(&scene.config).err().unwrap();
    assert!(told.starts_with("webhooks.team: url_file /") && told.contains("holds no address"));
    assert!(!told.contains("s3cret"), "{told}");
}

#[test]
fn the_config_takes_each_kind_that_may_be_told() {
    let head = "[ssh]\nlisten = [\"127.0.0.1:22\"]\nhost_keys = [\"k\"]\nuser_ca = \"c\"\n[pools.a.fleet]\nprovider = \"static\"\ninstances = [{ name = \"vm1\", address = \"10.0.0.4\" }]\n[webhooks.team]\nurl_file = \"u\"\nform = \"json\"";
    let read = |kind: EventKind| {
        let text = format!("{head}\nevents = [\"{}\"]", kind.name());
        config::parse(Path::new("x.toml"), &text, std::collections::HashMap::new()).is_ok()
    };
    for kind in EventKind::value_variants() {
        // It would be told of itself.
        let is_own = matches!(kind, EventKind::WebhookFailed | EventKind::Test);
        assert_eq!(read(*kind), !is_own, "{}", kind.name());
    }
}
